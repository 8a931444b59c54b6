//! The last changes of the node or of a target, in memory.
//!
//! Changes of state and of path are kept apart, so that a path that flaps does not push out when and why a target went
//! down.

use crate::health::{TrackState, Transition};
use crate::path::{DerpRegion, Path};
use crate::probe_result::Timings;
use crate::reason::Failure;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Changes of each kind that are kept. 16: eight outages and their ends, in at most 7 KiB per target.
pub const KEPT: usize = 16;

/// The last changes, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    state_changes: VecDeque<StateChange>,
    path_changes: VecDeque<PathChange>,
    /// When the target's peer last changed.
    pub peer_changed_at: Option<SystemTime>,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateChange {
    /// When.
    pub at: SystemTime,
    /// The state left behind.
    pub from: TrackState,
    /// The state entered.
    pub to: TrackState,
    /// How long `from` had lasted.
    pub lasted: Duration,
    /// Why the probe that decided failed; none if it succeeded.
    pub failure: Option<Failure>,
    /// How long its stages took; nothing for the node.
    pub timings: Timings,
    /// The path at that moment; none for the node.
    pub path: Option<Path>,
}

/// A change of path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// When.
    pub at: SystemTime,
    /// The path left behind.
    pub from: Path,
    /// The path taken.
    pub to: Path,
    /// Its DERP region; none unless `to` is DERP.
    pub region: Option<DerpRegion>,
}

/// A change of the peer that carries a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerChange {
    /// The target's address before.
    pub from: IpAddr,
    /// The target's address now; the same if only the node changed.
    pub to: IpAddr,
}

impl StateChange {
    /// A change about which no more is known.
    pub(super) fn new(transition: Transition, at: SystemTime, now: Instant) -> Self {
        let Transition { from, to, since } = transition;
        let lasted = now.saturating_duration_since(since);
        Self { at, from, to, lasted, failure: None, timings: Timings::default(), path: None }
    }
}

impl History {
    /// Changes of state, newest first.
    pub fn state_changes(&self) -> impl Iterator<Item = &StateChange> {
        self.state_changes.iter().rev()
    }

    /// Changes of path, newest first.
    pub fn path_changes(&self) -> impl Iterator<Item = &PathChange> {
        self.path_changes.iter().rev()
    }

    pub(super) fn record_state(&mut self, change: StateChange) {
        keep(&mut self.state_changes, change);
    }

    pub(super) fn record_path(&mut self, path_change: PathChange) {
        keep(&mut self.path_changes, path_change);
    }
}

fn keep<T>(changes: &mut VecDeque<T>, change: T) {
    if changes.len() == KEPT {
        changes.pop_front();
    }
    changes.push_back(change);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(second: u64) -> StateChange {
        let now = Instant::now();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        StateChange::new(Transition { from: TrackState::Up, to: TrackState::Down, since: now }, at, now)
    }

    #[test]
    fn the_newest_changes_stay_and_a_path_that_flaps_pushes_out_no_state() {
        let mut history = History::default();
        history.record_state(change(1));
        for second in 0..100 {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            history.record_path(PathChange { at, from: Path::Direct, to: Path::Idle, region: None });
        }
        assert_eq!(history.state_changes().count(), 1);
        let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let kept: Vec<_> = history.path_changes().map(|change| seconds(change.at)).collect();
        assert_eq!(kept, (84..100).rev().collect::<Vec<_>>());
        (2..40).for_each(|second| history.record_state(change(second)));
        assert_eq!(
            history.state_changes().map(|change| seconds(change.at)).collect::<Vec<_>>(),
            (24..40).rev().collect::<Vec<_>>()
        );
    }
}
