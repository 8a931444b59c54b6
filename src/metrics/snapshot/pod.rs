//! Readiness, startup gate and configuration.

use crate::config::Mode;
use crate::metrics::family::{flag, gauge, labelled, unix, unlabelled};
use crate::state::Snapshot;
use prometheus::proto::MetricFamily;

pub(super) fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    vec![
        gauge(
            "telltail_ready",
            "Whether /healthz answers ready (1) or not ready (0).",
            unlabelled(flag(snapshot.readiness().ready)),
        ),
        gauge(
            "telltail_ready_by_mode",
            "Whether /healthz would answer ready (1) or not (0) in each readiness mode.",
            Mode::ALL.map(|mode| labelled(&[("mode", mode.slug())], flag(snapshot.verdict(mode).ready))),
        ),
        gauge(
            "telltail_readiness_info",
            "The active readiness mode; always 1.",
            [labelled(&[("mode", snapshot.config.readiness.slug())], 1.0)],
        ),
        gauge(
            "telltail_draining",
            "Whether the pod is shutting down (1), which makes it not ready in every mode.",
            unlabelled(flag(snapshot.draining)),
        ),
        gauge(
            "telltail_startup_gate_open",
            "Whether the startup gate is open (1), so that /startupz answers 200.",
            unlabelled(flag(snapshot.gate.is_some())),
        ),
        gauge(
            "telltail_startup_gate_release_info",
            "Why the startup gate opened; always 1, absent until it is open.",
            snapshot.gate.map(|cause| labelled(&[("cause", cause.slug())], 1.0)),
        ),
        gauge(
            "telltail_probe_lag_seconds",
            "Longest delay of a round in the last minute, in seconds; high if the CPU is throttled.",
            unlabelled(snapshot.lag.as_secs_f64()),
        ),
        gauge(
            "telltail_config_info",
            "Hash of the active configuration; always 1.",
            [labelled(&[("hash", &snapshot.config.hash)], 1.0)],
        ),
        gauge(
            "telltail_config_last_reload_successful",
            "Whether the last reload of the configuration succeeded (1) or failed (0).",
            unlabelled(flag(snapshot.reload.problem.is_none())),
        ),
        gauge(
            "telltail_config_last_reload_timestamp_seconds",
            "Unix time of the last reload of the configuration, in seconds.",
            unlabelled(unix(snapshot.reload.at)),
        ),
    ]
}
