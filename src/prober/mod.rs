//! The loop: whose turn it is, status, probes side by side, record.

mod slot;
mod tailnet;
#[cfg(test)]
mod tests;

pub use tailnet::Tailnet;

use crate::config::{Config, Source, Target, needs_restart};
use crate::diagnose::PingEvidence;
use crate::metrics::{Metrics, ProbeOutcome};
use crate::node::Node;
use crate::probe::Timings;
use crate::probe::path_probe::PathProbe;
use crate::probe::resolve::{Interest, Resolved};
use crate::probe::{PooledConnection, Probe};
use crate::reason::Failure;
use crate::schedule::Schedule;
use crate::state::{Change, PeerObservation, ProbeRecord, Probed, Round, State, same_service};
use crate::tailscale::Status;
use crate::transition_log::TransitionLog;
use futures_util::future::join_all;
use slot::{Slot, is_void};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// What a round looks at: the [`Tailnet`], or a test's script.
pub trait Backend: Sync {
    /// The local tailscaled, with the peers that are of interest.
    fn status(&mut self, interest: &Interest) -> impl Future<Output = Result<Status, Failure>> + Send;

    /// The number of the DERP region with this code, if it can be had.
    fn region_id(&mut self, code: &str) -> impl Future<Output = Option<u32>> + Send;

    /// One probe of a target while the node is fine; `held` lives until the next.
    fn probe(
        &self,
        target: &Target,
        held: &mut Option<PooledConnection>,
        status: &Status,
    ) -> impl Future<Output = Probe> + Send;

    /// One look at the path to a target's node; see [`crate::probe::path_probe::probe_path`].
    fn look(
        &self,
        resolved: &Resolved<'_>,
        sample_wanted: bool,
        round_trip_wanted: bool,
    ) -> impl Future<Output = PathProbe> + Send;

    /// What the layers below TCP say of a silent target.
    fn evidence(&self, resolved: &Resolved<'_>) -> impl Future<Output = PingEvidence> + Send;
}

/// Runs the probes and records what they find out.
pub struct Prober<W> {
    state: Arc<State>,
    metrics: Arc<Metrics>,
    source: Source,
    config: Arc<Config>,
    backend: W,
    schedule: Schedule,
    slots: Vec<Slot>,
    home: Option<Home>,
    /// When the last round began.
    round_began: Instant,
    /// When the node's turn is at the latest, for targets that are down are seldom due.
    next_look: Instant,
    lags: VecDeque<(Instant, Duration)>,
    reporter: TransitionLog,
}

/// The home DERP region.
struct Home {
    code: String,
    /// Its number, if it could be had when it was last asked for.
    id: Option<u32>,
    asked: Instant,
}

/// A region's number that could not be had is asked for again after this time: nothing depends on it.
const REGION_AGAIN: Duration = Duration::from_secs(60);
/// Until tailscaled is Running for the first time it is asked this often: the startup gate waits for it.
const UNTIL_RUNNING: Duration = Duration::from_secs(1);
/// Shortest time from a round's begin to one that tailscaled's news ask for: in a large tailnet there is always news.
const BETWEEN_WAKES: Duration = Duration::from_secs(2);
/// Over this time the worst lateness of a round is exported.
const LAG_WINDOW: Duration = Duration::from_secs(60);

impl<W: Backend> Prober<W> {
    /// A loop that has not begun.
    pub fn new(
        state: Arc<State>,
        metrics: Arc<Metrics>,
        config: Arc<Config>,
        source: Source,
        backend: W,
        pod_uid: &str,
    ) -> Self {
        let now = Instant::now();
        let schedule = Schedule::new(pod_uid, now);
        let mut prober = Self {
            state,
            metrics,
            source,
            backend,
            schedule,
            slots: Vec::new(),
            home: None,
            round_began: now,
            next_look: now,
            lags: VecDeque::new(),
            reporter: TransitionLog::new(now),
            config,
        };
        let first = prober.first_due();
        prober.fill_slots(first);
        prober.next_look = first;
        prober
    }

    /// Goes round until `shutdown` says true. `reload` asks for the configuration to be read anew, `wake` for a round in
    /// between: tailscaled has news.
    pub async fn run(mut self, reload: Arc<Notify>, wake: Arc<Notify>, mut shutdown: watch::Receiver<bool>) {
        loop {
            let now = Instant::now();
            // What came due while another target kept us waiting is not late by our own fault.
            let due = self.slots.iter().map(Slot::next).fold(self.next_look, Instant::min).max(now);
            let calm = self.round_began + BETWEEN_WAKES;
            let turn = async {
                tokio::select! {
                    biased;
                    () = reload.notified() => self.reload(true),
                    () = sleep_until(due) => self.round(due).await,
                    () = woken(&wake, calm) => self.round(Instant::now()).await,
                }
            };
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|down| *down) => break,
                () = turn => {}
            }
        }
        // Before the first Running nothing is counted.
        let counts = self.state.snapshot(Instant::now()).was_running;
        for slot in self.slots.iter().filter(|slot| counts && slot.probing) {
            self.metrics.probe(&slot.target.name, ProbeOutcome::Void);
        }
    }

    async fn round(&mut self, planned: Instant) {
        self.reload(false);
        let started = Instant::now();
        self.round_began = started;
        let lag = self.note_lag(started, started.saturating_duration_since(planned));
        for slot in &mut self.slots {
            // Targets that are due a little later come along: one waking up instead of two.
            slot.probing = slot.due <= started + slot.target.interval / 20;
        }
        let interest = Interest::of(self.slots.iter().map(|slot| &slot.target));
        let answer = self.backend.status(&interest).await;
        let mut node = match &answer {
            Ok(status) => Node::of(status, SystemTime::now()),
            Err(failure) => Node::unreachable(failure.clone()),
        };
        self.look_up_home(&mut node).await;
        let before = self.state.snapshot(started);
        let was_running = before.was_running;
        let changed = was_running && before.node.is_fine() != node.is_fine();
        if changed || !node.is_fine() && !self.slots.iter().any(|slot| slot.probing) {
            // Every target's standing has just changed, or all are down and would be asked later, but that they cannot be
            // reached now is known.
            self.slots.iter_mut().for_each(|slot| slot.probing = true);
        }
        let (probes, observations) = match &answer {
            Ok(status) if node.is_fine() => self.probe_and_look(status, started).await,
            _ if was_running => (self.fail_all(&node), Vec::new()),
            _ => (Vec::new(), Vec::new()),
        };
        self.record(Round { at: SystemTime::now(), node, probes, observations, lag });
    }

    fn record(&mut self, round: Round) {
        let now = Instant::now();
        self.next_look = now + self.shortest_interval();
        for record in &round.probes {
            self.metrics.probe(&record.target, ProbeOutcome::Done(&record.probed));
        }
        let changes = self.state.record(round, now);
        for change in &changes {
            if let Change::Target(target, transition) = change {
                self.metrics.transition(target, transition.to);
            }
        }
        let snapshot = self.state.snapshot(now);
        self.reporter.record(&changes, &snapshot, now);
        for slot in &mut self.slots {
            let view = snapshot.targets.iter().find(|view| view.target.name == slot.target.name);
            slot.look_due = view.and_then(|view| view.path.next_sample(now));
            if std::mem::take(&mut slot.probing) {
                slot.due = match view {
                    Some(view) if snapshot.was_running => self.schedule.next(view.pace, now),
                    _ => now + UNTIL_RUNNING.min(slot.target.interval),
                };
            }
        }
    }

    /// Adds the number of the home DERP region, which the status does not tell.
    async fn look_up_home(&mut self, node: &mut Node) {
        let Some(facts) = node.facts.as_mut().filter(|facts| !facts.home_region.is_empty()) else { return };
        let known =
            |home: &Home| home.code == facts.home_region && (home.id.is_some() || home.asked.elapsed() < REGION_AGAIN);
        if !self.home.as_ref().is_some_and(known) {
            let id = self.backend.region_id(&facts.home_region).await;
            self.home = Some(Home { code: facts.home_region.clone(), id, asked: Instant::now() });
        }
        facts.home_region_id = self.home.as_ref().and_then(|home| home.id);
    }

    /// Probes the targets that are due, and looks at every target's path meanwhile.
    async fn probe_and_look(&mut self, status: &Status, now: Instant) -> (Vec<ProbeRecord>, Vec<PeerObservation>) {
        let backend = &self.backend;
        let fall = self.config.fall;
        let results = join_all(self.slots.iter_mut().map(async |slot| {
            let (probe, observation) = slot.take_turn(now, fall, status, backend).await;
            (&slot.target, probe, observation)
        }))
        .await;
        let (mut records, mut observations) = (Vec::new(), Vec::new());
        for (target, probe, observation) in results {
            observations.extend(observation);
            let Some(probe) = probe else { continue };
            say_probed(target, &probe);
            if is_void(target, &probe) {
                self.metrics.probe(&target.name, ProbeOutcome::Void);
            } else {
                records.push(record(target.name.clone(), probe));
            }
        }
        (records, observations)
    }

    /// While the node is at fault nothing is dialled, and each probe that is due has failed for the node's reason.
    fn fail_all(&mut self, node: &Node) -> Vec<ProbeRecord> {
        let Some(fault) = &node.fault else { return Vec::new() };
        let mut records = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| slot.probing) {
            slot.fail();
            let probe = Probe { outcome: Err(fault.clone()), timings: Default::default(), elapsed: Duration::ZERO };
            records.push(record(slot.target.name.clone(), probe));
        }
        records
    }

    /// Reads the configuration anew and puts it in force if it has changed, or reads it in any case if `asked`.
    fn reload(&mut self, asked: bool) {
        match self.source.changed(asked) {
            None => {}
            Some(Err(problems)) => {
                self.reporter.reload_refused(&problems);
                self.state.refuse_reload(problems, SystemTime::now());
            }
            Some(Ok(config)) => {
                let needs_restart = needs_restart(&self.config, &config);
                let config = Arc::new(self.config.reloaded(config));
                self.reporter.reloaded(&self.config, &config, &needs_restart);
                self.metrics.configure(&config);
                self.state.reconfigure(Arc::clone(&config), Instant::now(), SystemTime::now());
                self.config = config;
                self.fill_slots(Instant::now());
            }
        }
    }

    fn fill_slots(&mut self, new_due: Instant) {
        let mut old = std::mem::take(&mut self.slots);
        for target in &self.config.targets {
            let kept = old.iter().position(|slot| same_service(&slot.target, target)).map(|at| old.swap_remove(at));
            let slot = match kept {
                Some(slot) => slot.renewed(target.clone(), new_due),
                None => Slot::new(target.clone(), new_due),
            };
            self.slots.push(slot);
        }
    }

    fn first_due(&self) -> Instant {
        self.schedule.first(self.shortest_interval())
    }

    fn shortest_interval(&self) -> Duration {
        self.config.targets.iter().map(|target| target.interval).min().unwrap_or_default()
    }

    fn note_lag(&mut self, now: Instant, lag: Duration) -> Duration {
        self.lags.push_back((now, lag));
        while self.lags.front().is_some_and(|(at, _)| now.duration_since(*at) > LAG_WINDOW) {
            self.lags.pop_front();
        }
        self.lags.iter().map(|(_, lag)| *lag).max().unwrap_or_default()
    }
}

fn say_probed(target: &Target, probe: &Probe) {
    let milliseconds = |took: Option<Duration>| took.map(crate::duration::ms_f64);
    let Timings { resolve, connect, protocol } = probe.timings;
    tracing::debug!(
        target = target.name,
        outcome = ?probe.outcome,
        resolve_ms = milliseconds(resolve),
        connect_ms = milliseconds(connect),
        protocol_ms = milliseconds(protocol),
        "Probed"
    );
}

/// Returns when tailscaled has news, but not before `calm`. News are taken last, so that a reload meanwhile loses none.
async fn woken(wake: &Notify, calm: Instant) {
    sleep_until(calm).await;
    wake.notified().await;
}

fn record(target: String, probe: Probe) -> ProbeRecord {
    let probed = Probed { at: SystemTime::now(), outcome: probe.outcome, timings: probe.timings };
    ProbeRecord { target, probed }
}
