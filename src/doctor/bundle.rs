//! One file with everything for a ticket. It is built from data without secrets, never copied from tailscaled's
//! answers; then sensitive names and addresses are redacted.

use super::DoctorReport;
use super::redact::Redactor;
use crate::config::{Config, show};
use serde_json::{Value, json};

/// The bundle of a configuration and its report.
pub fn bundle(report: &DoctorReport, config: &Config) -> Value {
    let bundle = json!({
        "bundle": 1,
        "telltail": { "version": env!("CARGO_PKG_VERSION"), "revision": option_env!("TELLTAIL_REVISION") },
        "configuration": show(config).lines().collect::<Vec<_>>(),
        "doctor": report.json(),
        "metrics": report.agent.as_ref().map(|agent| agent.metrics.lines().collect::<Vec<_>>()),
    });
    Redactor::new(config, report.suffix.as_deref()).redact(bundle)
}
