//! The whole state at one moment.

use super::history::History;
use super::target::TargetView;
use crate::config::{Config, Gate, Mode};
use crate::health::{NODE_CHECK, ReadinessInput, Thresholds, Track, TrackState, Verdict};
use crate::node::Node;
use crate::peer::TargetPeer;
use crate::slug::slug_enum;
use crate::tailscale::Warning;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The whole state at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The moment.
    pub at: Instant,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// How the last attempt to read the configuration went.
    pub reload: Reload,
    /// The local tailscaled.
    pub node: Node,
    /// The node's own track.
    pub node_track: Track,
    /// The node's last changes.
    pub node_history: Arc<History>,
    /// Was tailscaled ever Running? Before, nothing is counted.
    pub was_running: bool,
    /// The targets, in the configuration's order.
    pub targets: Vec<TargetView>,
    /// Was every required target up at some time?
    pub reached: bool,
    /// Why the startup gate opened; none while it is closed.
    pub gate: Option<GateRelease>,
    /// SIGTERM was received.
    pub draining: bool,
    /// Worst lateness of a round in the last minute.
    pub lag: Duration,
    /// tailscaled's health warnings, as its bus last reported them.
    pub warnings: Vec<Warning>,
}

slug_enum! {
    /// Why the startup gate opened.
    pub enum GateRelease {
        /// What it waited for came true.
        Condition = "condition",
        /// The release time was over.
        Timeout = "timeout",
        /// There is no gate.
        Disabled = "disabled",
    }
}

/// How the last attempt to read the configuration went.
#[derive(Clone, Debug, PartialEq)]
pub struct Reload {
    /// When.
    pub at: SystemTime,
    /// What was wrong; none if it is in force.
    pub problem: Option<String>,
}

/// Rounds after which a persistent fault of the node takes node and targets down: it does not recover by itself.
const PERSISTENT_FALL: u32 = 2;

impl Snapshot {
    /// Ready in `mode`?
    pub fn verdict(&self, mode: Mode) -> Verdict {
        self.verdict_without(mode, &[])
    }

    /// Ready in `mode`, were it not for the checks of these names?
    pub fn verdict_without(&self, mode: Mode, excluded: &[&str]) -> Verdict {
        let counts = |name: &str| !excluded.contains(&name);
        let node = if counts(NODE_CHECK) { self.node_track.state() } else { TrackState::Up };
        let targets = self.targets.iter().map(TargetView::health).filter(|target| counts(target.name)).collect();
        ReadinessInput { node, targets, reached: self.reached, draining: self.draining }.verdict(mode)
    }

    /// Ready in the mode in force?
    pub fn readiness(&self) -> Verdict {
        self.verdict(self.config.readiness)
    }

    /// Targets whose probes do not take the worker's own path; none while tailscaled's mode is not known.
    pub fn worker_path_untested(&self) -> impl Iterator<Item = &TargetView> {
        let mode = self.node.facts.as_ref().map(|facts| facts.mode);
        self.targets.iter().filter(move |view| mode.is_some_and(|mode| !view.target.via.tests_worker_path(mode)))
    }

    /// A target's machine other than `peer` that was reached after `since`, and not found silent again.
    pub fn reached_since(&self, peer: &TargetPeer, since: SystemTime) -> Option<&TargetPeer> {
        let reached =
            |view: &&TargetView| view.last.as_ref().is_some_and(|last| last.outcome.is_ok() && last.at > since);
        self.targets.iter().filter(reached).filter_map(|view| view.peer.as_ref()).find(|other| other.id != peer.id)
    }

    fn required_up(&self) -> bool {
        self.required().all(|view| view.track.state() == TrackState::Up)
    }

    pub(super) fn required(&self) -> impl Iterator<Item = &TargetView> {
        self.targets.iter().filter(|view| view.target.required)
    }

    pub(super) fn gate_condition(&self) -> bool {
        match self.config.startup_gate {
            Gate::Tailnet => self.node.is_fine() && self.required().all(|view| view.peer.is_some()),
            Gate::Targets => self.required_up(),
            Gate::None => true,
        }
    }

    /// For each target, does a failure take it down, or keep it down?
    pub fn at_down_threshold(&self) -> Vec<bool> {
        let thresholds = self.thresholds();
        self.targets.iter().map(|view| view.track.is_at_down_threshold(thresholds)).collect()
    }

    pub(super) fn thresholds(&self) -> Thresholds {
        let persistent = self.node.fault.as_ref().is_some_and(|fault| fault.reason.is_persistent());
        let fall = if persistent { self.config.fall.min(PERSISTENT_FALL) } else { self.config.fall };
        Thresholds { rise: self.config.rise, fall }
    }
}
