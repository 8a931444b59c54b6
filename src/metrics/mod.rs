//! Every metric of the agent.
//!
//! Gauges, and counters that the state keeps, are read from one [`Snapshot`] when a page is rendered: see `snapshot`.
//! Everything else is counted where it happens, in a registry of our own. Names, labels and help texts are a contract:
//! `docs/metrics.md` lists it and `tests/metrics.prom` holds it.

mod family;
mod process;
mod snapshot;
mod target_metrics;

pub use process::{descriptor_limit, open_descriptors};
pub use target_metrics::TargetMetrics;

use crate::config::Target;
use crate::state::Snapshot;
use crate::tailscale::{Call, CallResult};
use family::{counter, gauge, labelled, sanitize_label, unlabelled};
use process::ProcessMetrics;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry, Result, TextEncoder};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use target_metrics::ProbeFamilies;

/// Every metric. One for the process; it is shared by reference.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    build: Build,
    process: ProcessMetrics,
    probes: ProbeFamilies,
    localapi: IntCounterVec,
    http: IntCounterVec,
    out_of_resources: IntCounter,
    dropped_lines: Arc<AtomicU64>,
}

/// Build information.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The package's version.
    pub version: &'static str,
    /// The git revision, if set at build time.
    pub revision: Option<&'static str>,
}

impl Build {
    /// The running build. `TELLTAIL_REVISION` sets the revision at build time.
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
    /// Registers what is counted; the log counts the lines that it drops. Fails only if a name is taken or wrong, which a test
    /// would see.
    pub fn new(registry: Registry, build: Build, dropped_lines: Arc<AtomicU64>) -> Result<Self> {
        let localapi = counters(
            &registry,
            "telltail_localapi_requests_total",
            "Calls to tailscaled's LocalAPI, by call and result; ok also for a failed dial.",
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
        let out_of_resources = IntCounter::new(
            "telltail_out_of_resources_total",
            "Times that telltail itself lacked a file descriptor, a local port or memory, for a probe, a status, a file or a client.",
        )?;
        registry.register(Box::new(out_of_resources.clone()))?;
        Ok(Self {
            build,
            process: ProcessMetrics::new(),
            probes: ProbeFamilies::new(&registry)?,
            localapi,
            http,
            out_of_resources,
            dropped_lines,
            registry,
        })
    }

    /// Makes a target's series, at zero. They stay on the page until [`Self::remove_target`].
    pub fn target(&self, target: &Target) -> TargetMetrics {
        self.probes.target(target)
    }

    /// Removes the series of the target with this name, after which its [`TargetMetrics`] count nothing that is shown.
    pub fn remove_target(&self, name: &str) {
        self.probes.remove(name);
    }

    /// Counts one call to the LocalAPI.
    pub fn localapi(&self, call: Call, result: CallResult) {
        self.localapi.with_label_values(&[call.slug(), result.slug()]).inc();
    }

    /// Counts one HTTP answer. `route` is the route that matched, never the path of the request.
    pub fn http(&self, route: &'static str, code: u16) {
        self.http.with_label_values(&[route, &code.to_string()]).inc();
    }

    /// Counts an own shortage.
    pub fn out_of_resources(&self) {
        self.out_of_resources.inc();
    }

    /// Every family that has series, by name.
    pub fn families(&self, snapshot: &Snapshot) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        families.push(self.build.family());
        families.push(counter(
            "telltail_log_lines_dropped_total",
            "Lines that are missing in the log because they were not read in time or could not be written.",
            unlabelled(self.dropped_lines.load(Ordering::Relaxed) as f64),
        ));
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
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}
