//! The loop: whose turn it is, status, probes side by side, record.

mod tailnet;
#[cfg(test)]
mod tests;

pub use tailnet::Tailnet;

use crate::config::{Config, Source, Target, needs_restart};
use crate::metrics::{Metrics, ProbeOutcome};
use crate::node::Node;
use crate::probe::resolve::{self, Interest};
use crate::probe::{Held, Probe};
use crate::reason::Failure;
use crate::report::Reporter;
use crate::schedule::Schedule;
use crate::state::{Change, ProbeRecord, Probed, Round, State, Timings, same_service};
use crate::tailscale::Status;
use futures_util::future::join_all;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// What a round looks at: the [`Tailnet`], or a test's script.
pub trait World {
    /// The local tailscaled, with the peers that are of interest.
    fn status(&mut self, interest: &Interest) -> impl Future<Output = Result<Status, Failure>> + Send;

    /// One probe of a target while the node is fine; `held` lives until the next.
    fn probe(&self, target: &Target, held: &mut Option<Held>, status: &Status) -> impl Future<Output = Probe> + Send;
}

/// Runs the probes and records what they find out.
pub struct Prober<W> {
    state: Arc<State>,
    metrics: Arc<Metrics>,
    source: Source,
    config: Arc<Config>,
    world: W,
    schedule: Schedule,
    slots: Vec<Slot>,
    /// When the node's turn is at the latest, for targets that are down are seldom due.
    next_look: Instant,
    lags: VecDeque<(Instant, Duration)>,
    reporter: Reporter,
}

/// A target's place in the loop.
struct Slot {
    target: Target,
    due: Instant,
    held: Option<Held>,
    probing: bool,
}

/// Until tailscaled is Running for the first time it is asked this often: the startup gate waits for it.
const UNTIL_RUNNING: Duration = Duration::from_secs(1);
/// A probe that took this much longer than its timeout was cut short by our own stall, and proves nothing.
const STALL: Duration = Duration::from_secs(1);
/// Over this time the worst lateness of a round is exported.
const LAG_WINDOW: Duration = Duration::from_secs(60);

impl<W: World> Prober<W> {
    /// A loop that has not begun.
    pub fn new(
        state: Arc<State>,
        metrics: Arc<Metrics>,
        config: Arc<Config>,
        source: Source,
        world: W,
        pod_uid: &str,
    ) -> Self {
        let now = Instant::now();
        let schedule = Schedule::new(pod_uid, now);
        let mut prober = Self {
            state,
            metrics,
            source,
            world,
            schedule,
            slots: Vec::new(),
            next_look: now,
            lags: VecDeque::new(),
            reporter: Reporter::new(now),
            config,
        };
        let first = prober.first_due();
        prober.fill_slots(first);
        prober.next_look = first;
        prober
    }

    /// Goes round until `shutdown` says true.
    pub async fn run(mut self, reload: Arc<Notify>, mut shutdown: watch::Receiver<bool>) {
        loop {
            let now = Instant::now();
            // What came due while another target kept us waiting is not late by our own fault.
            let due = self.slots.iter().map(|slot| slot.due).fold(self.next_look, Instant::min).max(now);
            let turn = async {
                tokio::select! {
                    biased;
                    () = reload.notified() => self.reload(true),
                    () = sleep_until(due) => self.round(due).await,
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
        let lag = self.note_lag(started, started.saturating_duration_since(planned));
        for slot in &mut self.slots {
            // Targets that are due a little later come along: one waking up instead of two.
            slot.probing = slot.due <= started + slot.target.interval / 20;
        }
        let interest = Interest::of(self.slots.iter().map(|slot| &slot.target));
        let answer = self.world.status(&interest).await;
        let node = match &answer {
            Ok(status) => Node::of(status, SystemTime::now()),
            Err(failure) => Node::unreachable(failure.clone()),
        };
        if !node.is_fine() && !self.slots.iter().any(|slot| slot.probing) {
            // All are down and would be asked later, but that they cannot be reached now is known.
            self.slots.iter_mut().for_each(|slot| slot.probing = true);
        }
        let was_running = self.state.snapshot(Instant::now()).was_running;
        let probes = match &answer {
            Ok(status) if node.is_fine() => self.probe(status).await,
            _ if was_running => self.fail_all(&node),
            _ => Vec::new(),
        };
        let known = match &answer {
            Ok(status) => self.known(status),
            Err(_) => Vec::new(),
        };
        self.record(Round { node, probes, known, lag });
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
        self.reporter.report(&changes, &snapshot, now);
        for slot in self.slots.iter_mut().filter(|slot| slot.probing) {
            slot.probing = false;
            let view = snapshot.targets.iter().find(|view| view.target.name == slot.target.name);
            slot.due = match view {
                Some(view) if snapshot.was_running => self.schedule.next(view.pace, now),
                _ => now + UNTIL_RUNNING.min(slot.target.interval),
            };
        }
    }

    async fn probe(&mut self, status: &Status) -> Vec<ProbeRecord> {
        let world = &self.world;
        let due = self.slots.iter_mut().filter(|slot| slot.probing);
        let probes = join_all(due.map(|Slot { target, held, .. }| {
            let probe = world.probe(target, held, status);
            async { (&*target, probe.await) }
        }))
        .await;
        let mut records = Vec::with_capacity(probes.len());
        for (target, probe) in probes {
            let Timings { resolve, connect, protocol } = probe.timings;
            tracing::debug!(
                target = target.name,
                outcome = ?probe.outcome,
                resolve_ms = resolve.map(milliseconds),
                connect_ms = connect.map(milliseconds),
                protocol_ms = protocol.map(milliseconds),
                "Probed"
            );
            if probe.elapsed > target.timeout + STALL {
                self.metrics.probe(&target.name, ProbeOutcome::Void);
            } else {
                records.push(record(target.name.clone(), probe));
            }
        }
        records
    }

    /// While the node is at fault nothing is dialled, and each probe that is due has failed for the node's reason.
    fn fail_all(&mut self, node: &Node) -> Vec<ProbeRecord> {
        let Some(fault) = &node.fault else { return Vec::new() };
        let mut records = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| slot.probing) {
            slot.held = None;
            let probe = Probe { outcome: Err(fault.clone()), timings: Default::default(), elapsed: Duration::ZERO };
            records.push(record(slot.target.name.clone(), probe));
        }
        records
    }

    fn known(&self, status: &Status) -> Vec<String> {
        let known = self.slots.iter().filter(|slot| resolve::resolve(status, &slot.target.host).is_ok());
        known.map(|slot| slot.target.name.clone()).collect()
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
            let (due, held) = match kept {
                Some(slot) if slot.target.interval == target.interval => (slot.due, slot.held),
                Some(slot) => (new_due, slot.held),
                None => (new_due, None),
            };
            self.slots.push(Slot { target: target.clone(), due, held, probing: false });
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

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn record(target: String, probe: Probe) -> ProbeRecord {
    let probed = Probed { at: SystemTime::now(), outcome: probe.outcome, timings: probe.timings };
    ProbeRecord { target, probed }
}
