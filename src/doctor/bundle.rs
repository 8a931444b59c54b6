//! One file with everything that belongs to a ticket. It is put together from what is known to hold no secret, not taken
//! from what tailscaled says; then names and addresses that others need not see are replaced.

use super::Report;
use super::redact::Redactor;
use crate::config::{Config, show};
use serde_json::{Value, json};

/// The bundle, for a configuration and what was found with it.
pub fn bundle(report: &Report, config: &Config) -> Value {
    let bundle = json!({
        "bundle": 1,
        "telltail": { "version": env!("CARGO_PKG_VERSION"), "revision": option_env!("TELLTAIL_REVISION") },
        "configuration": show(config).lines().collect::<Vec<_>>(),
        "doctor": report.json(),
        "metrics": report.agent.as_ref().map(|agent| agent.metrics.lines().collect::<Vec<_>>()),
    });
    Redactor::new(config, report.suffix.as_deref()).redact(bundle)
}
