//! How a line is written: its level, message and fields.

use super::line::Line;
use crate::config::Target;
use crate::health::TrackState;
use crate::key_expiry_log::{ExpiringKey, KeyOwner};
use crate::reason::Failure;
use crate::state::{Change, PathChange, PeerChange, Snapshot, StateChange};
use crate::untrusted::escape;
use std::time::Duration;
use tracing::{info, warn};

/// What a line tells of those that were not written before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    /// Lines of the same subject that were left out since the last one.
    pub left_out: Option<u64>,
    /// Time since the change, if it is not told at once.
    pub seconds_ago: Option<f64>,
}

impl Line {
    /// Writes it.
    pub fn write(&self, snapshot: &Snapshot, backlog: Backlog) {
        let Backlog { left_out, seconds_ago } = backlog;
        match self {
            Self::Change(Change::Node(change)) => node(change, snapshot, backlog),
            Self::Change(Change::Target(of, change)) => target(of, change, snapshot, backlog),
            Self::Change(Change::Path(of, change)) => path(of, change, backlog),
            Self::Change(Change::Peer(of, PeerChange { from, to })) => info!(
                target = of.name,
                before = %from,
                after = %to,
                left_out,
                seconds_ago,
                "The target's peer changed"
            ),
            Self::Key(key) => key_expires(key, backlog),
            Self::Reloaded { hash, added, removed } => {
                info!(hash, ?added, ?removed, left_out, seconds_ago, "Configuration reloaded");
            }
            Self::NeedsRestart(settings) => {
                warn!(?settings, left_out, seconds_ago, "Other settings changed, too; they take effect after a restart")
            }
            Self::Rejected { problem, problems } => warn!(
                problem,
                problems, left_out, seconds_ago, "New configuration rejected; the old one stays in force"
            ),
        }
    }
}

fn path(target: &Target, change: &PathChange, Backlog { left_out, seconds_ago }: Backlog) {
    let region = change.region.as_ref().map(|region| escape(&region.code));
    let (name, from, to, expect) = (&target.name, change.from.slug(), change.to.slug(), target.expect.slug());
    if change.to.breaks(target.expect) {
        warn!(target = name, from, to, region, expect, left_out, seconds_ago, "Path is unexpected");
    } else {
        info!(target = name, from, to, region, expect, left_out, seconds_ago, "Path changed");
    }
}

fn node(change: &StateChange, snapshot: &Snapshot, backlog: Backlog) {
    let Backlog { left_out, seconds_ago } = backlog;
    match (change.to, &change.failure) {
        // Info during startup; a warning follows after 60 s.
        (TrackState::Down, Some(fault)) if !snapshot.was_running => info!(
            reason = slug(fault),
            cause = fault.cause,
            left_out,
            seconds_ago,
            "Node is not up yet: {}",
            fault.reason.sentence()
        ),
        (TrackState::Down, Some(fault)) => node_down(fault, snapshot, backlog),
        _ => info!(
            for_seconds = seconds(change.lasted),
            from = change.from.slug(),
            ready = snapshot.readiness().ready,
            left_out,
            seconds_ago,
            "Node is up"
        ),
    }
}

/// Writes that the node is down.
pub(super) fn node_down(fault: &Failure, snapshot: &Snapshot, Backlog { left_out, seconds_ago }: Backlog) {
    warn!(
        reason = slug(fault),
        scope = fault.reason.scope().slug(),
        cause = fault.cause,
        ready = snapshot.readiness().ready,
        left_out,
        seconds_ago,
        "Node is down: {}",
        fault.reason.sentence()
    );
}

fn target(target: &Target, change: &StateChange, snapshot: &Snapshot, Backlog { left_out, seconds_ago }: Backlog) {
    let ready = snapshot.readiness().ready;
    match &change.failure {
        Some(failure) if change.to == TrackState::Down => warn!(
            target = target.name,
            reason = slug(failure),
            scope = failure.reason.scope().slug(),
            cause = failure.cause,
            ready,
            left_out,
            seconds_ago,
            "Target is down: {}",
            failure.reason.sentence()
        ),
        _ => info!(
            target = target.name,
            for_seconds = seconds(change.lasted),
            from = change.from.slug(),
            ready,
            left_out,
            seconds_ago,
            "Target is up"
        ),
    }
}

fn key_expires(key: &ExpiringKey, Backlog { left_out, seconds_ago }: Backlog) {
    let (days, state) = (key.days, if key.days == 0 { "has expired" } else { "expires soon" });
    match &key.owner {
        KeyOwner::Node => warn!(
            days,
            left_out,
            seconds_ago,
            "This node's own key {state}: log it in again, or tag it so that its key does not expire"
        ),
        KeyOwner::Target(name) => warn!(
            target = name,
            days, left_out, seconds_ago, "The key of the target's node {state}: log that machine in again"
        ),
    }
}

/// The name of a failure's reason.
pub(super) fn slug(failure: &Failure) -> &'static str {
    failure.reason.slug()
}

/// Seconds with one decimal.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
