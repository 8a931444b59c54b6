//! Every metric, in a registry of our own.
//!
//! Whoever measures pushes counters and histograms; gauges are read from one [`Snapshot`] when a page is rendered. Names,
//! labels and help texts are a contract: `docs/metrics.md` lists it and `tests/metrics.prom` holds it.

mod gauges;
mod localapi;
mod paths;
mod process;
mod rows;
mod targets;

use crate::config::Config;
use crate::health::TrackState;
use crate::state::{Probed, Snapshot, same_service};
use crate::tailscale::{Call, CallResult};
use gauges::{PodGauges, TargetGauges};
use localapi::LocalApi;
use paths::PathRows;
use process::Process;
use prometheus::{IntCounterVec, Opts, Registry, Result, TextEncoder};
use rows::Rows;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use targets::{Counters, Series};

/// Every metric. One for the process; it is shared by reference.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pod: PodGauges,
    targets: TargetGauges,
    paths: PathRows,
    process: Process,
    counters: Counters,
    series: Mutex<BTreeMap<String, Series>>,
    localapi: LocalApi,
    http: IntCounterVec,
    /// One page at a time, so that none mixes two snapshots.
    page: Mutex<()>,
}

/// Which telltail this is.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The package's version.
    pub version: &'static str,
    /// The git revision, where the build was told it.
    pub revision: Option<&'static str>,
}

impl Build {
    /// The running build. Only who builds a release knows the revision: it sets `TELLTAIL_REVISION` for cargo.
    pub const THIS: Self = Self { version: env!("CARGO_PKG_VERSION"), revision: option_env!("TELLTAIL_REVISION") };
}

/// How a probe ended.
#[derive(Clone, Copy, Debug)]
pub enum ProbeOutcome<'a> {
    /// It succeeded or failed.
    Done(&'a Probed),
    /// Shutdown, reload or our own stall cut it short: it says nothing of the target.
    Void,
}

/// The stages of a probe, in the order in which they are climbed.
const STAGES: [&str; 3] = ["resolve", "connect", "protocol"];

impl Metrics {
    /// Makes every family in `registry`. Fails only if a name is taken or wrong, which a test would see.
    pub fn new(registry: Registry, build: Build) -> Result<Self> {
        let help = "HTTP requests that telltail answered, by route and status code; absent until the first.";
        let http = counters(&registry, "telltail_http_requests_total", help, &["route", "code"])?;
        let help = "The telltail that runs; always 1.";
        let info = Rows::gauge(&registry, "telltail_build_info", help, ["version", "revision"])?;
        info.fill([([sanitize_label(build.version), sanitize_label(build.revision.unwrap_or_default())], 1.0)]);
        Ok(Self {
            pod: PodGauges::new(&registry)?,
            targets: TargetGauges::new(&registry)?,
            paths: PathRows::new(&registry)?,
            process: Process::new(&registry)?,
            counters: Counters::new(&registry)?,
            series: Mutex::default(),
            localapi: LocalApi::new(&registry)?,
            http,
            page: Mutex::default(),
            registry,
        })
    }

    /// Makes the series of new targets and removes those of targets that are gone; who stays the same service keeps its
    /// counts. To be called at start and whenever a configuration comes in force, in one go with the state.
    pub fn configure(&self, config: &Config) {
        let mut series = lock(&self.series);
        series.retain(|name, old| {
            let stays = config.targets.iter().any(|new| new.name == *name && same_service(&old.target, new));
            if !stays {
                self.counters.remove(old);
            }
            stays
        });
        for target in &config.targets {
            series.entry(target.name.clone()).or_insert_with(|| self.counters.make(target));
        }
    }

    /// Counts one probe. One of a target that is no longer configured is dropped.
    pub fn probe(&self, target: &str, outcome: ProbeOutcome<'_>) {
        if let Some(series) = lock(&self.series).get_mut(target) {
            self.counters.probe(series, outcome);
        }
    }

    /// Counts a target's change of state.
    pub fn transition(&self, target: &str, to: TrackState) {
        if let Some(series) = lock(&self.series).get(target) {
            series.transition(to);
        }
    }

    /// Counts one call to the LocalAPI.
    pub fn localapi(&self, call: Call, result: CallResult) {
        self.localapi.count(call, result);
    }

    /// Counts one HTTP answer. `route` is the route that matched, never the path that was asked for.
    pub fn http(&self, route: &'static str, code: u16) {
        self.http.with_label_values(&[route, &code.to_string()]).inc();
    }

    /// The page for Prometheus, in text format 0.0.4.
    pub fn render(&self, snapshot: &Snapshot) -> String {
        let _one_at_a_time = lock(&self.page);
        self.pod.set(snapshot);
        self.targets.set(snapshot);
        self.paths.set(snapshot);
        self.process.set();
        let mut page = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut page) {
            tracing::error!(%error, "The metrics page is incomplete");
        }
        page
    }
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Longest label value from sanitize_label, as long as a DNS label.
const MAX_LABEL: usize = 63;

/// Makes text from outside a label value: `[a-z0-9.-]{1,63}`, so that nobody fills Prometheus with what he calls himself.
fn sanitize_label(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    if text.is_empty() { "unknown".to_owned() } else { text.chars().take(MAX_LABEL).map(allowed).collect() }
}
