//! Over which path packets go, read from a snapshot for every page.

use super::gauges::{slugs, unix};
use super::rows::Rows;
use super::{flag, sanitize_label};
use crate::path::Path;
use crate::state::{Snapshot, TargetView};
use prometheus::{Registry, Result};

/// The paths' families.
#[derive(Debug)]
pub(super) struct PathRows {
    path: Rows<2>,
    seconds: Rows<2>,
    changes: Rows<2>,
    unexpected: Rows<1>,
    round_trip: Rows<1>,
    derp: Rows<3>,
    peer_changes: Rows<1>,
    peer_expiry: Rows<1>,
}

impl PathRows {
    pub(super) fn new(r: &Registry) -> Result<Self> {
        let path = "Over which path packets reach a target's node, 1 for the one that they take.";
        let seconds = "Time that a target's node was reached over each path; adds up to the time it was watched.";
        let changes = "Changes of the path to a target's node, by the path taken.";
        let unexpected = "Whether the path breaks what the target expects (1); idle and unknown never do.";
        let round_trip = "Round trip of a disco ping to a target's node, in seconds; absent after two misses.";
        let derp = "The DERP region that relays to a target's node; always 1, absent unless the path is derp.";
        let peer_changes = "How often another node, or another address, came to carry a target.";
        let expiry = "Unix time at which the key of a target's node expires, in seconds; absent if never.";
        let expiry_name = "telltail_peer_key_expiry_timestamp_seconds";
        Ok(Self {
            path: Rows::gauge(r, "telltail_path", path, ["target", "path"])?,
            seconds: Rows::counter(r, "telltail_path_seconds_total", seconds, ["target", "path"])?,
            changes: Rows::counter(r, "telltail_path_changes_total", changes, ["target", "to"])?,
            unexpected: Rows::gauge(r, "telltail_path_unexpected", unexpected, ["target"])?,
            round_trip: Rows::gauge(r, "telltail_path_rtt_seconds", round_trip, ["target"])?,
            derp: Rows::gauge(r, "telltail_path_derp_info", derp, ["target", "region", "region_id"])?,
            peer_changes: Rows::counter(r, "telltail_peer_changes_total", peer_changes, ["target"])?,
            peer_expiry: Rows::gauge(r, expiry_name, expiry, ["target"])?,
        })
    }

    pub(super) fn set(&self, snapshot: &Snapshot) {
        let views = &snapshot.targets;
        let name = |view: &TargetView| [view.target.name.clone()];
        let labels = |view: &TargetView, path: Path| slugs([&view.target.name, path.slug()]);
        self.path.fill(views.iter().flat_map(|view| {
            let current = view.path.path();
            Path::ALL.map(|path| (labels(view, path), flag(path == current)))
        }));
        self.seconds.fill(views.iter().flat_map(|view| {
            let seconds = view.path.seconds(snapshot.at);
            Path::ALL.map(|path| (labels(view, path), seconds[path as usize].as_secs_f64()))
        }));
        self.changes.fill(views.iter().flat_map(|view| {
            let changes = view.path.changes();
            Path::ALL.map(|path| (labels(view, path), f64::from(changes[path as usize])))
        }));
        self.unexpected.fill(views.iter().map(|view| (name(view), flag(view.path_is_unexpected()))));
        self.round_trip.fill(views.iter().filter_map(|view| Some((name(view), view.round_trip.get()?.as_secs_f64()))));
        self.derp.fill(views.iter().filter_map(|view| {
            let region = view.path.region()?;
            Some(([view.target.name.clone(), sanitize_label(&region.code), region.id.to_string()], 1.0))
        }));
        self.peer_changes.fill(views.iter().map(|view| (name(view), view.peer_changes as f64)));
        self.peer_expiry
            .fill(views.iter().filter_map(|view| Some((name(view), unix(view.peer.as_ref()?.key_expiry?)))));
    }
}
