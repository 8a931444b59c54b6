//! The targets: what they are, their state and their last probe.

use super::per_target;
use crate::config::Target;
use crate::health::TrackState;
use crate::metrics::family::{LabelledValue, flag, gauge, labelled, unix};
use crate::node::Facts;
use crate::state::Snapshot;
use prometheus::proto::MetricFamily;

pub(super) fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let (views, facts) = (&snapshot.targets, snapshot.node.facts.as_ref());
    vec![
        gauge(
            "telltail_target_state",
            "State of a target after rise and fall: 1 for the current one, 0 for the others.",
            views.iter().flat_map(|view| {
                let series = |state: TrackState| [("target", view.target.name.as_str()), ("state", state.slug())];
                TrackState::ALL.map(|state| labelled(&series(state), flag(state == view.track.state())))
            }),
        ),
        gauge(
            "telltail_target_up",
            "Whether a target is up (1) or not (0).",
            per_target(snapshot, |view| Some(flag(view.track.state() == TrackState::Up))),
        ),
        gauge(
            "telltail_target_failing_info",
            "Why a target's last probe failed, and whose fault it is; always 1, absent after a success.",
            views.iter().filter_map(|view| {
                let reason = view.failure()?.reason;
                let scope = reason.scope().slug();
                Some(labelled(&[("target", &view.target.name), ("reason", reason.slug()), ("scope", scope)], 1.0))
            }),
        ),
        gauge(
            "telltail_target_info",
            "Settings of a target, and the via in use; localapi does not test the worker's own connection.",
            views.iter().map(|view| info(&view.target, facts)),
        ),
        gauge(
            "telltail_probe_success",
            "Whether a target's last probe succeeded (1), before rise and fall; 0 before the first.",
            per_target(snapshot, |view| Some(flag(view.last.as_ref().is_some_and(|last| last.outcome.is_ok())))),
        ),
        gauge(
            "telltail_probe_last_timestamp_seconds",
            "Unix time at which a target's last probe ended, in seconds; absent before the first.",
            per_target(snapshot, |view| view.last.as_ref().map(|last| unix(last.at))),
        ),
        gauge(
            "telltail_probe_last_success_timestamp_seconds",
            "Unix time at which a target's last successful probe ended, in seconds; absent before the first.",
            per_target(snapshot, |view| view.last_success.map(unix)),
        ),
        gauge(
            "telltail_probe_interval_seconds",
            "Current time from one probe of a target to the next, without jitter, in seconds.",
            per_target(snapshot, |view| Some(view.pace().duration().as_secs_f64())),
        ),
    ]
}

fn info(target: &Target, facts: Option<&Facts>) -> LabelledValue {
    // `auto` as it is resolved now, `localapi` does not test the worker's connection.
    let via = facts.map_or(target.via, |facts| target.via.effective(facts.mode));
    let labels = [
        ("target", target.name.as_str()),
        ("kind", target.kind.slug()),
        ("host", &target.host.to_string()),
        ("port", &target.port.to_string()),
        ("required", if target.required { "true" } else { "false" }),
        ("expect", target.expect.slug()),
        ("via", &via.to_string()),
    ];
    labelled(&labels, 1.0)
}
