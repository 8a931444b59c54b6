//! The targets' peers and the paths to them.

use super::per_target;
use crate::metrics::family::{LabelledValue, counter, flag, gauge, labelled, sanitize_label, unix};
use crate::path::Path;
use crate::state::{Snapshot, TargetView};
use prometheus::proto::MetricFamily;

pub(super) fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let views = &snapshot.targets;
    vec![
        gauge(
            "telltail_path",
            "Path to a target's peer: 1 for the current one, 0 for the others.",
            views.iter().flat_map(|view| {
                let current = view.path.path();
                per_path(view, "path", move |path| flag(path == current))
            }),
        ),
        counter(
            "telltail_path_seconds_total",
            "Time on each path to a target's peer, in seconds; adds up to the time since the target was configured.",
            views.iter().flat_map(|view| {
                let seconds = view.path.seconds(snapshot.at);
                per_path(view, "path", move |path| seconds[path as usize].as_secs_f64())
            }),
        ),
        counter(
            "telltail_path_changes_total",
            "Changes of the path to a target's peer, by the new path.",
            views.iter().flat_map(|view| {
                let changes = view.path.changes();
                per_path(view, "to", move |path| f64::from(changes[path as usize]))
            }),
        ),
        gauge(
            "telltail_path_unexpected",
            "Whether the path violates the target's expect setting (1); idle and unknown never do.",
            per_target(snapshot, |view| Some(flag(view.path_is_unexpected()))),
        ),
        gauge(
            "telltail_path_rtt_seconds",
            "Round-trip time of a disco ping to a target's peer, in seconds; absent after two missed pongs.",
            per_target(snapshot, |view| Some(view.round_trip.get()?.as_secs_f64())),
        ),
        gauge(
            "telltail_path_derp_info",
            "DERP region that relays to a target's peer; always 1, absent unless the path is derp.",
            views.iter().filter_map(|view| {
                let region = view.path.region()?;
                let (code, id) = (sanitize_label(&region.code), region.id.to_string());
                Some(labelled(&[("target", &view.target.name), ("region", &code), ("region_id", &id)], 1.0))
            }),
        ),
        counter(
            "telltail_peer_changes_total",
            "Changes of a target's peer to another node or another address.",
            per_target(snapshot, |view| Some(view.peer_changes as f64)),
        ),
        gauge(
            "telltail_peer_key_expiry_timestamp_seconds",
            "Unix time at which the key of a target's peer expires, in seconds; absent if never.",
            per_target(snapshot, |view| view.peer.as_ref()?.key_expiry.map(unix)),
        ),
    ]
}

/// One series of a target for each path.
fn per_path(view: &TargetView, label: &str, value: impl Fn(Path) -> f64) -> [LabelledValue; Path::ALL.len()] {
    Path::ALL.map(|path| labelled(&[("target", &view.target.name), (label, path.slug())], value(path)))
}
