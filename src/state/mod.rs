//! Shared state. The loop writes it, every reader takes a [`Snapshot`].

mod history;
mod snapshot;
mod target;

pub use history::{History, KEPT, PathChange, PeerChange, StateChange};
pub use snapshot::{GateRelease, Reload, Snapshot};
pub use target::{RoundTrip, TargetView};

use crate::config::{Config, Gate, Target, carry_over};
use crate::health::{Thresholds, Track};
use crate::node::Node;
use crate::peer::PathObservation;
use crate::probe_result::ProbeOutcome;
use crate::tailscale::Warning;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Shared between the loop and its readers. The lock is never held across an await.
#[derive(Debug)]
pub struct State {
    inner: Mutex<Snapshot>,
    started: Instant,
}

/// The node, as one status shows it.
#[derive(Clone, Debug)]
pub struct NodeReading {
    /// When it was read.
    pub at: SystemTime,
    /// The local tailscaled.
    pub node: Node,
    /// Worst lateness of a round in the last minute.
    pub lag: Duration,
}

/// The result of one turn of a target.
#[derive(Clone, Debug)]
pub struct TurnRecord {
    /// When it ended.
    pub at: SystemTime,
    /// Its probe.
    pub probe: ProbeOutcome,
    /// The target's peer and the path to it; none where the netmap has no such peer or the node is at fault.
    pub path: Option<PathObservation>,
}

/// A change that log, history and metrics report.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The node's state.
    Node(StateChange),
    /// A target's state.
    Target(Arc<Target>, StateChange),
    /// A target's path.
    Path(Arc<Target>, PathChange),
    /// A target's peer.
    Peer(Arc<Target>, PeerChange),
}

impl State {
    /// The state before the first round.
    pub fn new(config: Arc<Config>, now: Instant, wall: SystemTime) -> Self {
        let gate = (config.startup_gate == Gate::None).then_some(GateRelease::Disabled);
        let targets = config.targets.iter().map(|target| TargetView::new(Arc::clone(target), now)).collect();
        let snapshot = Snapshot {
            at: now,
            config,
            reload: Reload { at: wall, problem: None },
            node: Node::initial(),
            node_track: Track::new(now),
            node_history: Arc::default(),
            was_running: false,
            targets,
            reached: false,
            gate,
            draining: false,
            lag: Duration::ZERO,
            warnings: Vec::new(),
        };
        Self { inner: Mutex::new(snapshot), started: now }
    }

    /// The whole state. The startup gate's release time is looked at here, so that it opens even if the loop
    /// hangs.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let mut inner = self.lock();
        self.open_gate(&mut inner, now);
        inner.at = now;
        inner.clone()
    }

    /// Reads without a copy. `read` runs under the lock.
    pub fn read<T>(&self, read: impl FnOnce(&Snapshot) -> T) -> T {
        read(&self.lock())
    }

    /// Records the node; returns what changed. Ignored while draining.
    pub fn record_node(&self, reading: NodeReading, now: Instant) -> Vec<Change> {
        let mut inner = self.lock();
        if inner.draining {
            return Vec::new();
        }
        let fine = reading.node.is_fine();
        // A node that was never Running was starting, and has nothing to recover from.
        let rise = if inner.was_running { inner.config.rise } else { 1 };
        inner.lag = reading.lag;
        inner.was_running |= fine;
        inner.node = reading.node;
        let thresholds = Thresholds { rise, ..inner.thresholds() };
        let mut changes = Vec::new();
        if let Some(transition) = inner.node_track.record(fine, thresholds, now) {
            let failure = inner.node.fault.clone();
            let change = StateChange { failure, ..StateChange::new(transition, reading.at, now) };
            Arc::make_mut(&mut inner.node_history).record_state(change.clone());
            changes.push(Change::Node(change));
        }
        if !fine {
            changes.extend(inner.targets.iter_mut().flat_map(|view| view.observe(None, reading.at, now)));
        }
        self.open_gate(&mut inner, now);
        changes
    }

    /// Records a turn of the target at `index` in the configuration; returns what changed. Ignored
    /// while draining.
    pub fn record_turn(&self, index: usize, turn: TurnRecord, now: Instant) -> Vec<Change> {
        let mut inner = self.lock();
        let thresholds = inner.thresholds();
        if inner.draining {
            return Vec::new();
        }
        let Some(view) = inner.targets.get_mut(index) else { return Vec::new() };
        // The path first, for a change of state remembers it.
        let path_changes = view.observe(turn.path.as_ref(), turn.at, now);
        let change = match turn.probe {
            ProbeOutcome::Done(result) => view.record(result, thresholds, now),
            ProbeOutcome::NotDue | ProbeOutcome::Aborted(_) => None,
        };
        let changes = change.into_iter().chain(path_changes).collect();
        let reached = inner.required().all(|view| view.reached);
        inner.reached |= reached;
        self.open_gate(&mut inner, now);
        changes
    }

    /// Puts a new configuration in force; returns for each of its targets the index of the old one that is the same
    /// service, whose state stays. What was reached stays reached.
    pub fn reconfigure(&self, config: Arc<Config>, now: Instant, wall: SystemTime) -> Vec<Option<usize>> {
        let mut inner = self.lock();
        let kept = config.kept_from(&inner.config);
        let old = carry_over(std::mem::take(&mut inner.targets), &kept);
        let views = config.targets.iter().zip(old).map(|(target, old)| match old {
            Some(view) => TargetView { target: Arc::clone(target), ..view },
            None => TargetView::new(Arc::clone(target), now),
        });
        inner.targets = views.collect();
        inner.config = config;
        inner.reload = Reload { at: wall, problem: None };
        kept
    }

    /// Keeps the configuration in force and remembers what was wrong with the new one.
    pub fn refuse_reload(&self, problem: String, wall: SystemTime) {
        self.lock().reload = Reload { at: wall, problem: Some(problem) };
    }

    /// tailscaled's health warnings from now on.
    pub fn set_warnings(&self, warnings: Vec<Warning>) {
        self.lock().warnings = warnings;
    }

    /// Not ready from now on.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    fn open_gate(&self, inner: &mut Snapshot, now: Instant) {
        if inner.gate.is_some() {
            return;
        }
        if inner.gate_condition() {
            inner.gate = Some(GateRelease::Condition);
        } else if now.duration_since(self.started) >= inner.config.startup_release {
            inner.gate = Some(GateRelease::Timeout);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
