//! Every metric of the agent.
//!
//! Gauges, and counters that the state keeps, are read from one [`Snapshot`] when a page is rendered: see `snapshot`.
//! Everything else is counted where it happens, in a registry of our own. Names, labels and help texts are a contract:
//! `docs/metrics.md` lists it and `tests/metrics.prom` holds it.

mod family;
mod process;
mod snapshot;
mod target_metrics;

pub use target_metrics::TargetMetrics;

use crate::config::Target;
use crate::state::Snapshot;
use crate::tailscale::{Call, CallResult};
use family::{gauge, labelled, sanitize_label};
use process::ProcessMetrics;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts, Registry, Result, TextEncoder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use target_metrics::ProbeFamilies;

/// Every metric. One for the process; it is shared by reference.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    build: Build,
    process: ProcessMetrics,
    probes: ProbeFamilies,
    /// The targets whose series are on the page.
    targets: Mutex<BTreeMap<String, Weak<TargetMetrics>>>,
    localapi: IntCounterVec,
    http: IntCounterVec,
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

    fn family(self) -> MetricFamily {
        let (version, revision) = (sanitize_label(self.version), sanitize_label(self.revision.unwrap_or_default()));
        let labels = [("version", version.as_str()), ("revision", &revision)];
        gauge(
            "telltail_build_info",
            "Version and git revision of the running telltail; always 1.",
            [labelled(&labels, 1.0)],
        )
    }
}

impl Metrics {
    /// Registers what is counted. Fails only if a name is taken or wrong, which a test would see.
    pub fn new(registry: Registry, build: Build) -> Result<Self> {
        let localapi = counters(
            &registry,
            "telltail_localapi_requests_total",
            "Calls to tailscaled's LocalAPI, by call and result; ok if tailscaled answered, even that a dial failed.",
            &["call", "result"],
        )?;
        for (call, result) in Call::ALL.into_iter().flat_map(|call| CallResult::ALL.map(|result| (call, result))) {
            localapi.with_label_values(&[call.slug(), result.slug()]);
        }
        let http = counters(
            &registry,
            "telltail_http_requests_total",
            "HTTP requests that telltail answered, by route and status code; absent until the first.",
            &["route", "code"],
        )?;
        Ok(Self {
            build,
            process: ProcessMetrics::new(),
            probes: ProbeFamilies::new(&registry)?,
            targets: Mutex::default(),
            localapi,
            http,
            registry,
        })
    }

    /// Makes a target's series, at zero. They stay on the page until the last reference is dropped, or until the series
    /// of another target of this name are made.
    pub fn target(&self, target: &Target) -> Arc<TargetMetrics> {
        let mut targets = self.live_targets();
        self.probes.remove(&target.name);
        let metrics = Arc::new(self.probes.target(target));
        targets.insert(target.name.clone(), Arc::downgrade(&metrics));
        metrics
    }

    /// Counts one call to the LocalAPI.
    pub fn localapi(&self, call: Call, result: CallResult) {
        self.localapi.with_label_values(&[call.slug(), result.slug()]).inc();
    }

    /// Counts one HTTP answer. `route` is the route that matched, never the path of the request.
    pub fn http(&self, route: &'static str, code: u16) {
        self.http.with_label_values(&[route, &code.to_string()]).inc();
    }

    /// Every family that has series, by name.
    pub fn families(&self, snapshot: &Snapshot) -> Vec<MetricFamily> {
        let mut families = {
            let _no_target_comes_or_goes = self.live_targets();
            self.registry.gather()
        };
        families.push(self.build.family());
        families.extend(self.process.families());
        families.extend(snapshot::families(snapshot));
        families.retain(|family| !family.get_metric().is_empty());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        families
    }

    /// The page for Prometheus, in text format 0.0.4.
    pub fn render(&self, snapshot: &Snapshot) -> String {
        let mut page = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.families(snapshot), &mut page) {
            tracing::error!(%error, "The metrics page is incomplete");
        }
        page
    }

    /// Removes the series of targets that are gone. Not when a target is dropped: by then its name may have a successor.
    fn live_targets(&self) -> MutexGuard<'_, BTreeMap<String, Weak<TargetMetrics>>> {
        let mut targets = lock(&self.targets);
        targets.retain(|name, metrics| {
            let is_live = metrics.strong_count() > 0;
            if !is_live {
                self.probes.remove(name);
            }
            is_live
        });
        targets
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
