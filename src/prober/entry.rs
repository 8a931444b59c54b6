//! A target in the loop: when its turn is, and the turn that runs.

use super::turn::TurnMemory;
use crate::config::Target;
use crate::metrics::TargetMetrics;
use std::sync::Arc;
use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;

/// A target in the loop. Its index is that of the target in the configuration and in the state.
pub(super) struct Entry {
    pub target: Arc<Target>,
    pub metrics: TargetMetrics,
    /// When its probe is due.
    pub due: Instant,
    /// When a sample of its path is due before that, because a path change is pending.
    pub sample_due: Option<Instant>,
    pub turn: TurnState,
}

/// Does a turn of the target run?
#[expect(clippy::large_enum_variant, reason = "one per target: a box saves nothing")]
pub(super) enum TurnState {
    Idle(TurnMemory),
    Running { abort: AbortHandle, probing: bool },
}

impl Entry {
    pub fn new(target: Arc<Target>, metrics: TargetMetrics, due: Instant) -> Self {
        Self { target, metrics, due, sample_due: None, turn: TurnState::Idle(TurnMemory::default()) }
    }

    /// Keeps what is known of the same service. With another interval it is due at `due`, or as planned when its turn ends.
    pub fn reconfigure(&mut self, target: Arc<Target>, due: Instant) {
        if self.target.interval != target.interval {
            self.due = due;
        }
        self.target = target;
    }

    /// When its next turn begins; none while one runs.
    pub fn next_turn(&self) -> Option<Instant> {
        match self.turn {
            TurnState::Idle(_) => Some(self.sample_due.map_or(self.due, |sample| sample.min(self.due))),
            TurnState::Running { .. } => None,
        }
    }

    /// Is this the task of the turn that runs? A turn that was cut short is not, although it may just have ended.
    pub fn runs(&self, task: Id) -> bool {
        matches!(&self.turn, TurnState::Running { abort, .. } if abort.id() == task)
    }

    /// Cuts short what runs, and forgets it: the node is at fault.
    pub fn fail_by_node(&mut self) {
        if let TurnState::Running { abort, .. } = &self.turn {
            abort.abort();
        }
        self.turn = TurnState::Idle(TurnMemory::default());
    }
}

impl Drop for Entry {
    /// A target that is gone is not probed on.
    fn drop(&mut self) {
        if let TurnState::Running { abort, .. } = &self.turn {
            abort.abort();
        }
    }
}
