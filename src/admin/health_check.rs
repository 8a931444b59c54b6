//! A check as a line: `[+]` passes, `[-]` fails and blocks, `[ ]` fails but does not count here.

use crate::config::{Depth, Mode};
use crate::health::{NODE_CHECK, Track, TrackState};
use crate::reason::Reason;
use crate::state::{Snapshot, TargetView};
use std::time::Duration;
use tokio::time::Instant;

/// What the failure of a check means for readiness.
#[derive(Clone, Copy)]
pub(super) enum ReadinessEffect {
    /// Not ready.
    Blocks,
    /// The request excludes the check.
    Excluded,
    /// The target is optional.
    Optional,
    /// The mode in force does not count it.
    IgnoredByMode(Mode),
}

/// The check of the node or of a target.
pub(super) struct HealthCheck<'a> {
    pub(super) name: &'a str,
    pub(super) required: bool,
    track: &'a Track,
    /// None for the node.
    depth: Option<Depth>,
    /// The last probe's detail or reason; none before the first.
    last: Option<Result<&'static str, Reason>>,
}

impl<'a> HealthCheck<'a> {
    /// Every check of the snapshot: the node's, then the targets'.
    pub(super) fn all(snapshot: &'a Snapshot) -> impl Iterator<Item = Self> {
        std::iter::once(Self::of_node(snapshot)).chain(snapshot.targets.iter().map(Self::of_target))
    }

    fn of_node(snapshot: &'a Snapshot) -> Self {
        let node = &snapshot.node;
        let last = match &node.fault {
            Some(failure) => Some(Err(failure.reason)),
            None => node.facts.as_ref().map(|_| Ok(node.state.slug())),
        };
        Self { name: NODE_CHECK, required: true, track: &snapshot.node_track, depth: None, last }
    }

    fn of_target(view: &'a TargetView) -> Self {
        let last = view.last.as_ref().map(|probed| match &probed.outcome {
            Ok(detail) => Ok(detail.slug()),
            Err(failure) => Err(failure.reason),
        });
        let target = &view.target;
        Self { name: &target.name, required: target.required, track: &view.track, depth: Some(view.depth()), last }
    }

    /// Up, after rise and fall?
    pub(super) fn is_up(&self) -> bool {
        self.track.state() == TrackState::Up
    }

    /// The line, with its end.
    pub(super) fn line(&self, effect: ReadinessEffect, now: Instant) -> String {
        let up = self.is_up();
        let result = match effect {
            ReadinessEffect::Excluded => "excluded".to_owned(),
            ReadinessEffect::Optional if up => "ok, optional".to_owned(),
            ReadinessEffect::Blocks | ReadinessEffect::IgnoredByMode(_) if up => "ok".to_owned(),
            ReadinessEffect::Blocks => "failed".to_owned(),
            ReadinessEffect::Optional => "failed, optional".to_owned(),
            ReadinessEffect::IgnoredByMode(mode) => format!("failed, does not count in mode {}", mode.slug()),
        };
        let sign = match effect {
            _ if up => '+',
            ReadinessEffect::Blocks => '-',
            ReadinessEffect::Excluded | ReadinessEffect::Optional | ReadinessEffect::IgnoredByMode(_) => ' ',
        };
        format!("[{sign}]{} {result}: {}\n", self.name, self.explanation(now))
    }

    /// Up: since when, the depth, the detail. Not up: the reason first, its sentence last.
    fn explanation(&self, now: Instant) -> String {
        let seconds = now.duration_since(self.track.since()).as_secs();
        let duration = humantime::format_duration(Duration::from_secs(seconds));
        let depth = self.depth.map(|depth| format!(", depth {}", depth.slug())).unwrap_or_default();
        let state = format!("{} for {duration}{depth}", self.track.state().slug());
        match (self.last, self.is_up()) {
            (None, _) => format!("not looked at yet, {state}"),
            (Some(Ok(detail)), true) => format!("{state}, {detail}"),
            (Some(Ok(detail)), false) => format!("{state}, but succeeded last: {detail}"),
            (Some(Err(reason)), true) => format!("{state}, but failed last: {}", with_scope(reason)),
            (Some(Err(reason)), false) => format!("{}, {state}. {}", with_scope(reason), reason.sentence()),
        }
    }
}

fn with_scope(reason: Reason) -> String {
    format!("{} (scope {})", reason.slug(), reason.scope().slug())
}
