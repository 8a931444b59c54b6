//! One check as one line: `[+]` is fine, `[-]` stands in the way, `[ ]` is not fine but does not count here.

use crate::config::{Depth, Mode};
use crate::health::{NODE_CHECK, Track, TrackState};
use crate::reason::Reason;
use crate::state::{Snapshot, TargetView};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// What a failing check means for the verdict.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// It stands in the way.
    Blocks,
    /// The request leaves it out.
    Excluded,
    /// The configuration says that it does not count.
    Optional,
    /// The mode in force says that it does not count.
    Spared(Mode),
}

/// The node or a target, as a line shows it.
pub(super) struct Check<'a> {
    pub(super) name: &'a str,
    pub(super) required: bool,
    track: &'a Track,
    /// None for the node.
    depth: Option<Depth>,
    last: Last,
}

/// What was seen last.
enum Last {
    Nothing,
    Good(&'static str),
    Bad(Reason),
}

impl<'a> Check<'a> {
    /// Every check of the snapshot: the node's, then the targets'.
    pub(super) fn all(snapshot: &'a Snapshot) -> impl Iterator<Item = Self> {
        let node = Self {
            name: NODE_CHECK,
            required: true,
            track: &snapshot.node_track,
            depth: None,
            last: match &snapshot.node.fault {
                Some(failure) => Last::Bad(failure.reason),
                None if snapshot.node.facts.is_none() => Last::Nothing,
                None => Last::Good(snapshot.node.state.slug()),
            },
        };
        std::iter::once(node).chain(snapshot.targets.iter().map(Self::of_target))
    }

    /// Up, after rise and fall?
    pub(super) fn is_up(&self) -> bool {
        self.track.state() == TrackState::Up
    }

    fn of_target(view: &'a TargetView) -> Self {
        let last = match view.last.as_ref().map(|probed| &probed.outcome) {
            None => Last::Nothing,
            Some(Ok(detail)) => Last::Good(detail.slug()),
            Some(Err(failure)) => Last::Bad(failure.reason),
        };
        let target = &view.target;
        Self { name: &target.name, required: target.required, track: &view.track, depth: Some(target.depth), last }
    }

    /// The line, with its end.
    pub(super) fn line(&self, mark: Mark, now: Instant) -> String {
        let fine = self.is_up();
        let standing = match mark {
            Mark::Excluded => "excluded".to_owned(),
            Mark::Optional if fine => "ok, optional".to_owned(),
            Mark::Blocks | Mark::Spared(_) if fine => "ok".to_owned(),
            Mark::Blocks => "failed".to_owned(),
            Mark::Optional => "failed, optional".to_owned(),
            Mark::Spared(mode) => format!("failed, does not count in mode {}", mode.slug()),
        };
        let sign = match mark {
            _ if fine => '+',
            Mark::Blocks => '-',
            Mark::Excluded | Mark::Optional | Mark::Spared(_) => ' ',
        };
        format!("[{sign}]{} {standing}: {}\n", self.name, self.words(now))
    }

    /// Fine: since when, how deep it was looked, what was found. Not fine: the reason first, the sentence last.
    fn words(&self, now: Instant) -> String {
        let state = self.track.state();
        let seconds = now.duration_since(self.track.since()).as_secs();
        let since = humantime::format_duration(Duration::from_secs(seconds));
        let depth = self.depth.map(|depth| format!(", depth {}", depth.slug())).unwrap_or_default();
        let standing = format!("{} for {since}{depth}", state.slug());
        match (&self.last, state) {
            (Last::Nothing, _) => format!("not looked at yet, {standing}"),
            (Last::Good(word), TrackState::Up) => format!("{standing}, {word}"),
            (Last::Bad(reason), TrackState::Up) => format!("{standing}, but failed last: {}", Scoped(*reason)),
            (Last::Good(word), TrackState::Unknown | TrackState::Down) => {
                format!("{standing}, but succeeded last: {word}")
            }
            (Last::Bad(reason), TrackState::Unknown | TrackState::Down) => {
                format!("{}, {standing}. {}", Scoped(*reason), reason.sentence())
            }
        }
    }
}

/// A reason and whose fault it is.
struct Scoped(Reason);

impl fmt::Display for Scoped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (scope {})", self.0.slug(), self.0.scope().slug())
    }
}
