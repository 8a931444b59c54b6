//! The one truth. The loop writes it, every reader takes a [`Snapshot`].

mod history;
mod target;

pub use history::{History, KEPT, PathChange, StateChange};
pub use target::{Probed, RoundTrip, TargetPeer, TargetView, same_service};

use crate::config::{Config, Gate, Mode};
use crate::health::{self, NODE_CHECK, Thresholds, Track, TrackState, Transition, Verdict};
use crate::node::Node;
use crate::path;
use crate::probe::path_probe::PathProbe;
use crate::slug::slug_enum;
use crate::tailscale::Warning;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Shared between the loop and its readers. The lock is never held across an await.
#[derive(Debug)]
pub struct State {
    inner: Mutex<Snapshot>,
    started: Instant,
}

/// Everything there is to know, at one moment.
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
    /// Why the startup gate opened; none while it is shut.
    pub gate: Option<GateRelease>,
    /// SIGTERM was received.
    pub draining: bool,
    /// Worst lateness of a round in the last minute.
    pub lag: Duration,
    /// What tailscaled warns of, as its bus last told.
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

impl Snapshot {
    /// Ready in `mode`?
    pub fn verdict(&self, mode: Mode) -> Verdict {
        self.verdict_without(mode, &[])
    }

    /// Ready in `mode`, were it not for the checks of these names?
    pub fn verdict_without(&self, mode: Mode, excluded: &[&str]) -> Verdict {
        let counts = |name: &str| !excluded.contains(&name);
        let node = if counts(NODE_CHECK) { self.node_track.state() } else { TrackState::Up };
        let targets: Vec<_> = self.targets.iter().map(TargetView::health).filter(|s| counts(s.name)).collect();
        health::verdict(mode, node, &targets, self.reached, self.draining)
    }

    /// Ready in the mode in force?
    pub fn readiness(&self) -> Verdict {
        self.verdict(self.config.readiness)
    }

    /// Targets whose probes do not take the worker's own path; none while tailscaled's mode is not known.
    pub fn worker_path_untested(&self) -> impl Iterator<Item = &TargetView> {
        let tun = self.node.facts.as_ref().is_none_or(|facts| facts.tun);
        self.targets.iter().filter(move |view| !view.target.via.tests_worker_path(tun))
    }

    fn required_up(&self) -> bool {
        self.required().all(|view| view.track.state() == TrackState::Up)
    }

    fn required(&self) -> impl Iterator<Item = &TargetView> {
        self.targets.iter().filter(|view| view.target.required)
    }

    fn gate_condition(&self) -> bool {
        match self.config.startup_gate {
            Gate::Tailnet => self.node.is_fine() && self.required().all(|view| view.peer.is_some()),
            Gate::Targets => self.required_up(),
            Gate::None => true,
        }
    }
}

/// What one round found out.
#[derive(Clone, Debug)]
pub struct Round {
    /// When it ended.
    pub at: SystemTime,
    /// The local tailscaled.
    pub node: Node,
    /// The targets whose turn it was.
    pub probes: Vec<ProbeRecord>,
    /// What was seen of the targets' nodes; nothing while the node is at fault.
    pub observations: Vec<PeerObservation>,
    /// Worst lateness of a round in the last minute.
    pub lag: Duration,
}

/// What a round saw of a target's node.
#[derive(Clone, Debug)]
pub struct PeerObservation {
    /// The target's name.
    pub target: String,
    /// The node that carries it.
    pub carrier: TargetPeer,
    /// What was seen of the path to it.
    pub look: PathProbe,
}

/// One finished probe. A void one is not recorded.
#[derive(Clone, Debug)]
pub struct ProbeRecord {
    /// The target's name.
    pub target: String,
    /// What was found out.
    pub probed: Probed,
}

/// What changed by a round, for log and metrics.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The node's track.
    Node(Transition),
    /// A target's track.
    Target(String, Transition),
    /// A target's path.
    Path(String, path::PathTransition),
    /// Another node carries a target: its address before, and now.
    TargetPeer(String, IpAddr, IpAddr),
}

impl State {
    /// The state before the first round.
    pub fn new(config: Arc<Config>, now: Instant, wall: SystemTime) -> Self {
        let gate = (config.startup_gate == Gate::None).then_some(GateRelease::Disabled);
        let targets = config.targets.iter().map(|target| TargetView::new(target.clone(), now)).collect();
        let snapshot = Snapshot {
            at: now,
            config,
            reload: Reload { at: wall, problem: None },
            node: Node::unasked(),
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

    /// Everything there is to know. The startup gate's release time is looked at here, so that it opens even if the loop
    /// hangs.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let mut inner = self.lock();
        self.open_gate(&mut inner, now);
        inner.at = now;
        inner.clone()
    }

    /// Takes in a round and answers what changed. While draining nothing changes any more.
    pub fn record(&self, round: Round, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut inner = self.lock();
        if inner.draining {
            return changes;
        }
        inner.lag = round.lag;
        let persistent = round.node.fault.as_ref().is_some_and(|fault| fault.reason.is_persistent());
        let fall = if persistent { inner.config.fall.min(PERSISTENT_FALL) } else { inner.config.fall };
        let thresholds = Thresholds { rise: inner.config.rise, fall };
        // A node that was never Running was starting, and has nothing to recover from.
        let node_rise = if inner.was_running { inner.config.rise } else { 1 };
        let fine = round.node.is_fine();
        inner.was_running |= fine;
        inner.node = round.node;
        let turn = inner.node_track.record(fine, Thresholds { rise: node_rise, fall }, now);
        changes.extend(turn.map(Change::Node));
        for record in round.probes {
            changes.extend(inner.record_probe(record, thresholds, now));
        }
        for view in &mut inner.targets {
            let observation = round.observations.iter().find(|observation| observation.target == view.target.name);
            changes.extend(view.sight(observation, now));
        }
        for change in &changes {
            inner.remember(change, round.at, now);
        }
        let reached = inner.required().all(|view| view.reached);
        inner.reached |= reached;
        self.open_gate(&mut inner, now);
        changes
    }

    /// Puts a new configuration in force: targets that are in both keep their state, what was reached stays reached.
    pub fn reconfigure(&self, config: Arc<Config>, now: Instant, wall: SystemTime) {
        let mut inner = self.lock();
        let mut old: HashMap<String, TargetView> =
            inner.targets.drain(..).map(|view| (view.target.name.clone(), view)).collect();
        inner.targets = config
            .targets
            .iter()
            .map(|target| match old.remove(&target.name) {
                Some(view) if same_service(&view.target, target) => TargetView { target: target.clone(), ..view },
                _ => TargetView::new(target.clone(), now),
            })
            .collect();
        inner.config = config;
        inner.reload = Reload { at: wall, problem: None };
    }

    /// Keeps the configuration in force and remembers what was wrong with the new one.
    pub fn refuse_reload(&self, problem: String, wall: SystemTime) {
        self.lock().reload = Reload { at: wall, problem: Some(problem) };
    }

    /// What tailscaled warns of from now on.
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

/// Rounds after which a node fault that does not flicker takes node and targets down (design, "Timing").
const PERSISTENT_FALL: u32 = 2;

impl Snapshot {
    fn record_probe(&mut self, record: ProbeRecord, thresholds: Thresholds, now: Instant) -> Option<Change> {
        let view = self.targets.iter_mut().find(|view| view.target.name == record.target)?;
        let transition = view.record(record.probed, thresholds, now);
        transition.map(|transition| Change::Target(record.target, transition))
    }
}
