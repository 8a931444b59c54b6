//! The one truth. The loop writes it, every reader takes a [`Snapshot`].

use crate::config::{Config, Gate, Mode, Target};
use crate::health::{self, NODE_CHECK, Standing, Thresholds, Track, TrackState, Transition, Verdict};
use crate::node::Node;
use crate::probe::Detail;
use crate::reason::Failure;
use crate::schedule::Pace;
use std::collections::HashMap;
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
    /// The configuration in force.
    pub config: Arc<Config>,
    /// How the last attempt to read the configuration went.
    pub reload: Reload,
    /// The local tailscaled.
    pub node: Node,
    /// The node's own track.
    pub node_track: Track,
    /// Was tailscaled ever Running? Before, nothing is counted.
    pub was_running: bool,
    /// The targets, in the configuration's order.
    pub targets: Vec<TargetView>,
    /// Was every required target up at some time?
    pub reached: bool,
    /// Why the startup gate opened; none while it is shut.
    pub gate: Option<Release>,
    /// SIGTERM was received.
    pub draining: bool,
    /// Worst lateness of a round in the last minute.
    pub lag: Duration,
}

/// One target at one moment.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// Its configuration.
    pub target: Target,
    /// After rise and fall.
    pub track: Track,
    /// Was it up at some time?
    pub reached: bool,
    /// Does the netmap know it? As of the last round.
    pub in_netmap: bool,
    /// The last probe; none before the first.
    pub last: Option<Probed>,
    /// When it last succeeded.
    pub last_success: Option<SystemTime>,
    /// Time to the next probe.
    pub pace: Pace,
}

/// What one probe found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// When it ended.
    pub at: SystemTime,
    /// What was proven, or why it failed.
    pub outcome: Result<Detail, Failure>,
    /// How long each stage took that succeeded.
    pub timings: Timings,
}

/// How long each stage took; none for a stage that was not needed or did not succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Name to address.
    pub resolve: Option<Duration>,
    /// Address to connection.
    pub connect: Option<Duration>,
    /// Question to answer.
    pub protocol: Option<Duration>,
}

/// Why the startup gate opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// What it waited for came true.
    Condition,
    /// The release time was over.
    Timeout,
    /// There is no gate.
    Disabled,
}

impl Release {
    /// The label value.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Timeout => "timeout",
            Self::Disabled => "disabled",
        }
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
        let standings: Vec<_> = self.targets.iter().map(TargetView::standing).filter(|s| counts(s.name)).collect();
        health::verdict(mode, node, &standings, self.reached, self.draining)
    }

    /// Ready in the mode in force?
    pub fn readiness(&self) -> Verdict {
        self.verdict(self.config.readiness)
    }

    fn required_up(&self) -> bool {
        self.required().all(|view| view.track.state() == TrackState::Up)
    }

    fn required(&self) -> impl Iterator<Item = &TargetView> {
        self.targets.iter().filter(|view| view.target.required)
    }

    fn gate_condition(&self) -> bool {
        match self.config.startup_gate {
            Gate::Tailnet => self.node.is_fine() && self.required().all(|view| view.in_netmap),
            Gate::Targets => self.required_up(),
            Gate::None => true,
        }
    }
}

impl TargetView {
    fn new(target: Target, now: Instant) -> Self {
        let pace = Pace::Regular(target.interval);
        Self { target, track: Track::new(now), reached: false, in_netmap: false, last: None, last_success: None, pace }
    }

    /// Why the last probe failed; none if it did not.
    pub fn failure(&self) -> Option<&Failure> {
        self.last.as_ref().and_then(|probed| probed.outcome.as_ref().err())
    }

    fn standing(&self) -> Standing<'_> {
        Standing {
            name: &self.target.name,
            required: self.target.required,
            state: self.track.state(),
            fault: self.failure().map(|failure| failure.reason.scope()),
        }
    }
}

/// What one round found out.
#[derive(Clone, Debug)]
pub struct Round {
    /// The local tailscaled.
    pub node: Node,
    /// The targets whose turn it was.
    pub probes: Vec<ProbeRecord>,
    /// Names of the targets that the netmap knows; none if tailscaled gave no netmap.
    pub known: Vec<String>,
    /// Worst lateness of a round in the last minute.
    pub lag: Duration,
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
}

impl State {
    /// The state before the first round.
    pub fn new(config: Arc<Config>, now: Instant, wall: SystemTime) -> Self {
        let gate = (config.startup_gate == Gate::None).then_some(Release::Disabled);
        let targets = config.targets.iter().map(|target| TargetView::new(target.clone(), now)).collect();
        let snapshot = Snapshot {
            config,
            reload: Reload { at: wall, problem: None },
            node: Node::unasked(),
            node_track: Track::new(now),
            was_running: false,
            targets,
            reached: false,
            gate,
            draining: false,
            lag: Duration::ZERO,
        };
        Self { inner: Mutex::new(snapshot), started: now }
    }

    /// Everything there is to know. The startup gate's release time is looked at here, so that it opens even if the loop
    /// hangs.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let mut inner = self.lock();
        self.open_gate(&mut inner, now);
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
        let thresholds = Thresholds { rise: inner.config.rise, fall: inner.config.fall };
        let definite = round.node.fault.as_ref().is_some_and(|fault| fault.reason.is_definite());
        let fall = if definite { thresholds.fall.min(DEFINITE_FALL) } else { thresholds.fall };
        let fine = round.node.is_fine();
        inner.was_running |= fine;
        inner.node = round.node;
        changes.extend(inner.node_track.record(fine, Thresholds { fall, ..thresholds }, now).map(Change::Node));
        for record in round.probes {
            let fault_is_nodes = !fine;
            let thresholds = if fault_is_nodes { Thresholds { fall, ..thresholds } } else { thresholds };
            changes.extend(inner.record_probe(record, thresholds, now));
        }
        if fine {
            for view in &mut inner.targets {
                view.in_netmap = round.known.contains(&view.target.name);
            }
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

    /// Not ready from now on.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    fn open_gate(&self, inner: &mut Snapshot, now: Instant) {
        if inner.gate.is_some() {
            return;
        }
        if inner.gate_condition() {
            inner.gate = Some(Release::Condition);
        } else if now.duration_since(self.started) >= inner.config.startup_release {
            inner.gate = Some(Release::Timeout);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rounds after which a node fault that does not flicker takes node and targets down (design, "Timing").
const DEFINITE_FALL: u32 = 2;

impl Snapshot {
    fn record_probe(&mut self, record: ProbeRecord, thresholds: Thresholds, now: Instant) -> Option<Change> {
        let view = self.targets.iter_mut().find(|view| view.target.name == record.target)?;
        let success = record.probed.outcome.is_ok();
        if success {
            view.last_success = Some(record.probed.at);
        }
        view.last = Some(record.probed);
        let transition = view.track.record(success, thresholds, now);
        view.pace = Pace::after(view.target.interval, &view.track, view.failure().map(|failure| failure.reason));
        view.reached |= view.track.state() == TrackState::Up;
        transition.map(|transition| Change::Target(record.target, transition))
    }
}

/// Is it still the same thing that is probed, so that what is known of it stays true?
pub fn same_service(old: &Target, new: &Target) -> bool {
    let key = |target: &Target| {
        (
            target.kind,
            target.host.clone(),
            target.port,
            target.user.clone(),
            target.database.clone(),
            target.via,
            target.depth,
        )
    };
    key(old) == key(new)
}
