//! The loop: when whose turn is, one status for all that are due, turns that overlap, and the record of each.
//!
//! A round reads the status once and begins a turn of every target that has none. Each turn is a task of its own and is
//! recorded when it ends, so that no target waits for another.

mod backend;
mod entry;
mod node_reader;
mod tailnet;
#[cfg(test)]
mod tests;
mod turn;

pub use backend::Backend;
pub use tailnet::Tailnet;

use crate::config::{Config, Source, needs_restart};
use crate::duration::ms_f64;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::probe::ProbeResult;
use crate::probe::resolve::{Interest, resolve};
use crate::schedule::Schedule;
use crate::state::{Change, NodeReading, State, TurnRecord};
use crate::tailscale::Status;
use crate::transition_log::TransitionLog;
use entry::{Entry, TurnState};
use node_reader::{HomeRegion, StatusReading, read_node};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use turn::{ProbeOutcome, Turn, TurnMemory, TurnOutcome};

/// Runs the probes and records what they find out.
pub struct Prober<B> {
    state: Arc<State>,
    metrics: Arc<Metrics>,
    source: Source,
    config: Arc<Config>,
    interest: Arc<Interest>,
    backend: Arc<B>,
    schedule: Schedule,
    /// In the configuration's order.
    entries: Vec<Entry>,
    tasks: JoinSet<Event>,
    /// Is the status being read?
    reading: bool,
    home: Option<HomeRegion>,
    /// When the last round began.
    round_began: Instant,
    /// When the node is read at the latest, for targets that are down are seldom due.
    next_round: Instant,
    lags: VecDeque<(Instant, Duration)>,
    log: TransitionLog,
}

/// What a task of the loop brings.
enum Event {
    Status(StatusReading),
    Turn(TurnMemory, TurnOutcome),
}

/// Until tailscaled is Running for the first time it is asked this often: the startup gate waits for it.
const UNTIL_RUNNING: Duration = Duration::from_secs(1);
/// Shortest time from one round to another that the IPN bus asks for: in a large tailnet it always has notifications.
const BETWEEN_WAKES: Duration = Duration::from_secs(2);
/// Over this time the worst lateness of a round is exported.
const LAG_WINDOW: Duration = Duration::from_secs(60);

impl<B: Backend> Prober<B> {
    /// A loop that has not begun.
    pub fn new(
        state: Arc<State>,
        metrics: Arc<Metrics>,
        config: Arc<Config>,
        source: Source,
        backend: B,
        pod_uid: &str,
    ) -> Self {
        let now = Instant::now();
        let schedule = Schedule::new(pod_uid, now);
        let first = schedule.first(shortest_interval(&config));
        let mut prober = Self {
            state,
            metrics,
            source,
            interest: Arc::default(),
            backend: Arc::new(backend),
            schedule,
            entries: Vec::new(),
            tasks: JoinSet::new(),
            reading: false,
            home: None,
            round_began: now,
            next_round: first,
            lags: VecDeque::new(),
            log: TransitionLog::new(now),
            config,
        };
        let none_kept = vec![None; prober.config.targets.len()];
        prober.fill_entries(&none_kept, first);
        prober
    }

    /// Goes on until `shutdown` says true. `reload` asks for the configuration to be read anew, `wake` for a round in
    /// between: the IPN bus has a notification.
    pub async fn run(mut self, reload: Arc<Notify>, wake: Arc<Notify>, mut shutdown: watch::Receiver<bool>) {
        loop {
            let due = self.entries.iter().filter_map(Entry::next_turn).fold(self.next_round, Instant::min);
            // What came due while the status was read is not late by our own fault.
            let due = due.max(Instant::now());
            let calm = self.round_began + BETWEEN_WAKES;
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|down| *down) => break,
                () = reload.notified() => self.reload(true),
                Some(event) = self.tasks.join_next_with_id() => self.handle(event),
                () = sleep_until(due), if !self.reading => self.begin_round(due),
                () = woken(&wake, calm), if !self.reading => self.begin_round(Instant::now()),
            }
        }
        for entry in &self.entries {
            if matches!(entry.turn, TurnState::Running { probing: true, .. }) {
                entry.metrics.aborted();
            }
        }
    }

    fn handle(&mut self, event: Result<(Id, Event), JoinError>) {
        match event {
            Ok((_, Event::Status(reading))) => self.take_status(reading),
            Ok((task, Event::Turn(memory, outcome))) => self.take_turn(task, memory, outcome),
            Err(error) if error.is_cancelled() => {}
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn begin_round(&mut self, planned: Instant) {
        self.reload(false);
        let now = Instant::now();
        self.round_began = now;
        self.note_lag(now, now.saturating_duration_since(planned));
        self.reading = true;
        let (backend, interest, home) = (Arc::clone(&self.backend), Arc::clone(&self.interest), self.home.clone());
        self.tasks.spawn(async move { Event::Status(read_node(&*backend, &interest, home).await) });
    }

    /// Records the node, and begins the turns of the round.
    fn take_status(&mut self, StatusReading { node, status, home }: StatusReading) {
        let now = Instant::now();
        self.reading = false;
        self.home = home;
        self.next_round = now + shortest_interval(&self.config);
        let (was_running, was_fine) = self.state.read(|state| (state.was_running, state.node.is_fine()));
        let fine = node.is_fine();
        let reading = NodeReading { at: SystemTime::now(), node: node.clone(), lag: self.worst_lag() };
        let changes = self.state.record_node(reading, now);
        self.report(&changes, now);

        // Targets that are due a little later come along: one waking up instead of two.
        let round_began = self.round_began;
        let due = |entry: &Entry| entry.due <= round_began + entry.target.interval / 20;
        let changed = was_running && was_fine != fine;
        // Either every target's state has just changed, or all are down and would be probed later, but that they cannot be
        // reached now is known.
        let all = changed || !fine && !self.entries.iter().any(due);
        let due: Vec<bool> = self.entries.iter().map(|entry| all || due(entry)).collect();
        match status.filter(|_| fine) {
            Some(status) => self.begin_turns(&status, &due),
            None if was_running => self.fail_by_node(&node, &due),
            None => {
                for (entry, _) in self.entries.iter_mut().zip(due).filter(|(_, due)| *due) {
                    entry.due = now + UNTIL_RUNNING.min(entry.target.interval);
                }
            }
        }
    }

    fn begin_turns(&mut self, status: &Status, due: &[bool]) {
        let round_began = self.round_began;
        for (entry, &probe_due) in self.entries.iter_mut().zip(due) {
            let TurnState::Idle(memory) = &mut entry.turn else { continue };
            let (mut memory, backend) = (std::mem::take(memory), Arc::clone(&self.backend));
            let turn = Turn {
                target: Arc::clone(&entry.target),
                resolution: resolve(status, &entry.target.host),
                tun: status.tun,
                probe_due,
                sample_due: entry.sample_due.is_some_and(|due| due <= round_began),
                fall: self.config.fall,
            };
            let abort = self.tasks.spawn(async move {
                let outcome = turn.run(&mut memory, &*backend).await;
                Event::Turn(memory, outcome)
            });
            entry.turn = TurnState::Running { abort, probing: probe_due };
        }
    }

    fn take_turn(&mut self, task: Id, memory: TurnMemory, TurnOutcome { probe, path }: TurnOutcome) {
        let now = Instant::now();
        // None, if the target was removed by a reload or the turn cut short meanwhile.
        let Some(index) = self.entries.iter().position(|entry| entry.runs(task)) else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.turn = TurnState::Idle(memory);
        let probed = !matches!(probe, ProbeOutcome::NotDue);
        let probe = match probe {
            ProbeOutcome::NotDue => None,
            ProbeOutcome::Aborted => {
                entry.metrics.aborted();
                None
            }
            ProbeOutcome::Done(result) => Some(result),
        };
        self.record(index, TurnRecord { at: SystemTime::now(), probe, path }, probed, now);
    }

    /// While the node is at fault nothing is dialled, and each probe that is due has failed for the node's reason.
    fn fail_by_node(&mut self, node: &Node, due: &[bool]) {
        let Some(fault) = &node.fault else { return };
        let now = Instant::now();
        for (index, _) in due.iter().enumerate().filter(|(_, due)| **due) {
            let Some(entry) = self.entries.get_mut(index) else { continue };
            entry.fail_by_node();
            let probe = Some(ProbeResult::not_dialled(fault.clone()));
            self.record(index, TurnRecord { at: SystemTime::now(), probe, path: None }, true, now);
        }
    }

    /// Records a turn and plans the next one.
    fn record(&mut self, index: usize, turn: TurnRecord, probed: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        if let Some(result) = &turn.probe {
            log_probe(&entry.target.name, result);
            entry.metrics.probe(result);
        }
        let changes = self.state.record_turn(index, turn, now);
        for change in &changes {
            if let Change::Target(_, change) = change {
                entry.metrics.transition(change.to);
            }
        }
        let next =
            self.state.read(|state| state.targets.get(index).map(|view| (view.pace(), view.path.next_sample(now))));
        if let Some((pace, next_sample)) = next {
            entry.sample_due = next_sample;
            if probed {
                entry.due = self.schedule.next(pace, now);
                self.next_round = now + shortest_interval(&self.config);
            }
        }
        if !changes.is_empty() {
            self.report(&changes, now);
        }
    }

    fn report(&mut self, changes: &[Change], now: Instant) {
        self.log.record(changes, &self.state.snapshot(now), now);
    }

    /// Reads the configuration anew and puts it in force if it has changed, or reads it in any case if `asked`.
    fn reload(&mut self, asked: bool) {
        match self.source.changed(asked) {
            None => {}
            Some(Err(problems)) => {
                self.log.reload_refused(&problems);
                self.state.refuse_reload(problems, SystemTime::now());
            }
            Some(Ok(config)) => {
                let needs_restart = needs_restart(&self.config, &config);
                let config = Arc::new(self.config.reloaded(config));
                self.log.reloaded(&self.config, &config, &needs_restart);
                let kept = self.state.reconfigure(Arc::clone(&config), Instant::now(), SystemTime::now());
                self.config = config;
                self.fill_entries(&kept, Instant::now());
            }
        }
    }

    /// An entry for each target: the old one that `kept` names, or a new one that is due at `due`.
    fn fill_entries(&mut self, kept: &[Option<usize>], due: Instant) {
        let mut old: Vec<_> = self.entries.drain(..).map(Some).collect();
        let mut kept: Vec<_> = kept.iter().map(|kept| kept.and_then(|index| old.get_mut(index)?.take())).collect();
        for gone in old.into_iter().flatten() {
            self.metrics.remove_target(&gone.target.name);
        }
        for (target, kept) in self.config.targets.iter().zip(&mut kept) {
            let entry = match kept.take() {
                Some(mut entry) => {
                    entry.reconfigure(Arc::clone(target), due);
                    entry
                }
                None => Entry::new(Arc::clone(target), self.metrics.target(target), due),
            };
            self.entries.push(entry);
        }
        self.interest = Arc::new(Interest::of(self.config.targets.iter().map(|target| &**target)));
    }

    fn note_lag(&mut self, now: Instant, lag: Duration) {
        self.lags.push_back((now, lag));
        while self.lags.front().is_some_and(|(at, _)| now.duration_since(*at) > LAG_WINDOW) {
            self.lags.pop_front();
        }
    }

    fn worst_lag(&self) -> Duration {
        self.lags.iter().map(|(_, lag)| *lag).max().unwrap_or_default()
    }
}

fn shortest_interval(config: &Config) -> Duration {
    config.targets.iter().map(|target| target.interval).min().unwrap_or_default()
}

fn log_probe(target: &str, result: &ProbeResult) {
    let milliseconds = |took: Option<Duration>| took.map(ms_f64);
    tracing::debug!(
        target,
        outcome = ?result.outcome,
        resolve_ms = milliseconds(result.timings.resolve),
        connect_ms = milliseconds(result.timings.connect),
        protocol_ms = milliseconds(result.timings.protocol),
        "Probed"
    );
}

/// Returns when the IPN bus has a notification, but not before `calm`. It is taken last, so that a reload meanwhile loses
/// none.
async fn woken(wake: &Notify, calm: Instant) {
    sleep_until(calm).await;
    wake.notified().await;
}
