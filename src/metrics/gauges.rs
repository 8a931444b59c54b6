//! What is read from a snapshot for every page.

use super::rows::Rows;
use super::{flag, sanitize_label};
use crate::config::{Mode, Target};
use crate::health::TrackState;
use crate::node::{Facts, NodeState};
use crate::state::{Snapshot, TargetView};
use prometheus::{Registry, Result};
use std::collections::BTreeSet;
use std::time::SystemTime;

/// The pod's families.
#[derive(Debug)]
pub(super) struct PodGauges {
    ready: Rows<0>,
    ready_by_mode: Rows<1>,
    readiness_info: Rows<1>,
    draining: Rows<0>,
    gate_open: Rows<0>,
    gate_release: Rows<1>,
    lag: Rows<0>,
    node_state: Rows<1>,
    node_online: Rows<0>,
    node_info: Rows<3>,
    node_expiry: Rows<0>,
    node_derp: Rows<2>,
    node_warning: Rows<2>,
    config_info: Rows<1>,
    reload_successful: Rows<0>,
    reload_time: Rows<0>,
}

impl PodGauges {
    pub(super) fn new(r: &Registry) -> Result<Self> {
        let ready = "Whether /healthz answers ready (1) or not ready (0).";
        let by_mode = "Whether /healthz would answer ready (1) or not (0) in each readiness mode.";
        let mode = "The readiness mode in force; always 1.";
        let draining = "Whether the pod is shutting down (1) and hence not ready in any mode.";
        let open = "Whether /startupz answers that the pod has started (1).";
        let release = "Why the startup gate opened; always 1, absent until it is open.";
        let lag = "Worst lateness of a round in the last minute, in seconds; shows a throttled CPU.";
        let state = "tailscaled's state, 1 for the one that it is in; unreachable if it gives no answer.";
        let online = "Whether tailscaled is connected to its control plane (1); absent while it is unreachable.";
        let info = "The local tailscaled: version, mode and host name; always 1, absent while it is unreachable.";
        let expiry = "Unix time at which this node's own key expires, in seconds; absent if never.";
        let derp = "This node's home DERP region; always 1, absent while it has none.";
        let warning = "A health warning of tailscaled by its code and severity; always 1, absent unless active.";
        let config = "Hash of the configuration in force; always 1.";
        let successful = "Whether the last attempt to read the configuration put it in force (1) or failed (0).";
        let reload = "Unix time of the last attempt to put a configuration in force, in seconds.";
        Ok(Self {
            ready: Rows::gauge(r, "telltail_ready", ready, [])?,
            ready_by_mode: Rows::gauge(r, "telltail_ready_by_mode", by_mode, ["mode"])?,
            readiness_info: Rows::gauge(r, "telltail_readiness_info", mode, ["mode"])?,
            draining: Rows::gauge(r, "telltail_draining", draining, [])?,
            gate_open: Rows::gauge(r, "telltail_startup_gate_open", open, [])?,
            gate_release: Rows::gauge(r, "telltail_startup_gate_release_info", release, ["cause"])?,
            lag: Rows::gauge(r, "telltail_probe_lag_seconds", lag, [])?,
            node_state: Rows::gauge(r, "telltail_node_state", state, ["state"])?,
            node_online: Rows::gauge(r, "telltail_node_online", online, [])?,
            node_info: Rows::gauge(r, "telltail_node_info", info, ["version", "mode", "hostname"])?,
            node_expiry: Rows::gauge(r, "telltail_node_key_expiry_timestamp_seconds", expiry, [])?,
            node_derp: Rows::gauge(r, "telltail_node_derp_info", derp, ["region", "region_id"])?,
            node_warning: Rows::gauge(r, "telltail_node_health_warning", warning, ["code", "severity"])?,
            config_info: Rows::gauge(r, "telltail_config_info", config, ["hash"])?,
            reload_successful: Rows::gauge(r, "telltail_config_last_reload_successful", successful, [])?,
            reload_time: Rows::gauge(r, "telltail_config_last_reload_timestamp_seconds", reload, [])?,
        })
    }

    pub(super) fn set(&self, snapshot: &Snapshot) {
        let (config, node) = (&snapshot.config, &snapshot.node);
        let facts = node.facts.as_ref();
        self.ready.set(Some(flag(snapshot.readiness().ready)));
        self.ready_by_mode.fill(Mode::ALL.map(|mode| (slugs([mode.slug()]), flag(snapshot.verdict(mode).ready))));
        self.readiness_info.fill([(slugs([config.readiness.slug()]), 1.0)]);
        self.draining.set(Some(flag(snapshot.draining)));
        self.gate_open.set(Some(flag(snapshot.gate.is_some())));
        self.gate_release.fill(snapshot.gate.map(|cause| (slugs([cause.slug()]), 1.0)));
        self.lag.set(Some(snapshot.lag.as_secs_f64()));
        self.node_state.fill(NodeState::ALL.map(|state| (slugs([state.slug()]), flag(state == node.state))));
        self.node_online.set(facts.map(|facts| flag(facts.online)));
        self.node_info.fill(facts.map(|facts| {
            let mode = if facts.tun { "tun" } else { "userspace" };
            ([sanitize_label(&facts.version), mode.to_owned(), sanitize_label(&facts.hostname)], 1.0)
        }));
        self.node_expiry.set(facts.and_then(|facts| facts.key_expiry).map(unix));
        let home = facts.filter(|facts| !facts.home_region.is_empty());
        self.node_derp.fill(home.map(|facts| {
            let id = facts.home_region_id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
            ([sanitize_label(&facts.home_region), id], 1.0)
        }));
        let warnings = snapshot.warnings.iter().map(|warning| (known(&warning.code), warning.severity.slug()));
        let warnings: BTreeSet<_> = warnings.collect();
        self.node_warning.fill(warnings.into_iter().map(|(code, severity)| (slugs([code, severity]), 1.0)));
        self.config_info.fill([([config.hash.clone()], 1.0)]);
        self.reload_successful.set(Some(flag(snapshot.reload.problem.is_none())));
        self.reload_time.set(Some(unix(snapshot.reload.at)));
    }
}

/// The targets' families.
#[derive(Debug)]
pub(super) struct TargetGauges {
    state: Rows<2>,
    up: Rows<1>,
    failing: Rows<3>,
    info: Rows<7>,
    success: Rows<1>,
    last: Rows<1>,
    last_success: Rows<1>,
    interval: Rows<1>,
}

impl TargetGauges {
    pub(super) fn new(r: &Registry) -> Result<Self> {
        let state = "A target's state after rise and fall, 1 for the one that it is in.";
        let up = "Whether a target's state is up (1) or not (0).";
        let failing = "Why a target's last probe failed and whose fault that is; always 1, absent after a success.";
        let info = "What a target is, and the way in use; a way of localapi says that the worker's own is not tested.";
        let success = "Whether a target's last probe succeeded (1), before rise and fall; 0 before the first.";
        let last = "Unix time at which a target's last probe ended, in seconds; absent before the first.";
        let last_success = "Unix time at which a target's last successful probe ended, in seconds; absent before it.";
        let interval = "Time from a target's last probe to its next as it now is, without jitter, in seconds.";
        let info_labels = ["target", "kind", "host", "port", "required", "expect", "via"];
        let last_success_name = "telltail_probe_last_success_timestamp_seconds";
        Ok(Self {
            state: Rows::gauge(r, "telltail_target_state", state, ["target", "state"])?,
            up: Rows::gauge(r, "telltail_target_up", up, ["target"])?,
            failing: Rows::gauge(r, "telltail_target_failing_info", failing, ["target", "reason", "scope"])?,
            info: Rows::gauge(r, "telltail_target_info", info, info_labels)?,
            success: Rows::gauge(r, "telltail_probe_success", success, ["target"])?,
            last: Rows::gauge(r, "telltail_probe_last_timestamp_seconds", last, ["target"])?,
            last_success: Rows::gauge(r, last_success_name, last_success, ["target"])?,
            interval: Rows::gauge(r, "telltail_probe_interval_seconds", interval, ["target"])?,
        })
    }

    pub(super) fn set(&self, snapshot: &Snapshot) {
        let (views, facts) = (&snapshot.targets, snapshot.node.facts.as_ref());
        let name = |view: &TargetView| [view.target.name.clone()];
        let succeeded = |view: &TargetView| view.last.as_ref().is_some_and(|last| last.outcome.is_ok());
        self.state.fill(views.iter().flat_map(|view| {
            let state = view.track.state();
            TrackState::ALL.map(|one| (slugs([&view.target.name, one.slug()]), flag(one == state)))
        }));
        self.up.fill(views.iter().map(|view| (name(view), flag(view.track.state() == TrackState::Up))));
        self.failing.fill(views.iter().filter_map(|view| {
            let reason = view.failure()?.reason;
            Some((slugs([&view.target.name, reason.slug(), reason.scope().slug()]), 1.0))
        }));
        self.info.fill(views.iter().map(|view| (info(&view.target, facts), 1.0)));
        self.success.fill(views.iter().map(|view| (name(view), flag(succeeded(view)))));
        self.last.fill(views.iter().filter_map(|view| Some((name(view), unix(view.last.as_ref()?.at)))));
        self.last_success.fill(views.iter().filter_map(|view| Some((name(view), unix(view.last_success?)))));
        self.interval.fill(views.iter().map(|view| (name(view), view.pace().duration().as_secs_f64())));
    }
}

fn info(target: &Target, facts: Option<&Facts>) -> [String; 7] {
    // Of `auto` the way that it means now, for `localapi` is not the worker's.
    let via = facts.map_or(target.via, |facts| target.via.in_mode(facts.tun));
    [
        target.name.clone(),
        target.kind.slug().to_owned(),
        target.host.to_string(),
        target.port.to_string(),
        target.required.to_string(),
        target.expect.slug().to_owned(),
        via.to_string(),
    ]
}

pub(super) fn slugs<const N: usize>(labels: [&str; N]) -> [String; N] {
    labels.map(str::to_owned)
}

/// Milliseconds are enough, and keep the page short.
pub(super) fn unix(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_millis() as f64 / 1000.0)
}

/// Codes of tailscaled's health warnings that are label values (tailscaled 1.102: `tsconst/health.go`, `health/warnings.go`,
/// `net/dns`); any other is `other`, since the control plane may invent some.
const CODES: [&str; 17] = [
    "derp-region-error",
    "derp-timed-out",
    "dns-forward-failing",
    "dns-read-os-config-failed",
    "dns-set-os-config-failed",
    "login-state",
    "magicsock-receive-func-error",
    "mapresponse-timeout",
    "network-status",
    "no-derp-connection",
    "no-derp-home",
    "no-udp4-bind",
    "not-in-map-poll",
    "tls-connection-failed",
    "update-available",
    "wantrunning-false",
    "warming-up",
];

fn known(code: &str) -> &'static str {
    CODES.into_iter().find(|known| *known == code).unwrap_or("other")
}
