//! A round: one status, the turns that begin with it, and the record of each.

use super::entry::{Entry, TurnState};
use super::node_reader::{StatusReading, read_node};
use super::turn::{Turn, TurnMemory};
use super::{Backend, Event, Prober, shortest_interval};
use crate::duration::ms_f64;
use crate::node::Node;
use crate::probe::resolve::resolve;
use crate::probe::witness;
use crate::probe_result::{ProbeOutcome, ProbeResult};
use crate::reason::Failure;
use crate::schedule::{Pace, RETRY_INTERVAL};
use crate::state::{Change, NodeReading, TurnRecord};
use crate::tailscale::Status;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::Id;
use tokio::time::Instant;

/// Time from status to status until tailscaled is Running for the first time: the startup gate waits for it.
const STARTUP_INTERVAL: Duration = Duration::from_secs(1);

impl<B: Backend> Prober<B> {
    pub(super) fn begin_round(&mut self, planned: Instant) {
        self.reload(false);
        let now = Instant::now();
        self.round_began = now;
        self.lags.note(now, now.saturating_duration_since(planned));
        let (backend, filter, home) = (Arc::clone(&self.backend), Arc::clone(&self.filter), self.home.clone());
        let read = async move { Event::Status(read_node(&*backend, &filter, home).await) };
        self.reading = Some(self.tasks.spawn(read.boxed()));
    }

    /// Records the node, and begins the turns of the round.
    pub(super) fn take_status(&mut self, StatusReading { node, status, home }: StatusReading) {
        let now = Instant::now();
        self.home = home;
        self.status_read = now;
        if let Some(shortage) = node.fault.as_ref().filter(|fault| fault.reason.is_own_shortage()) {
            return self.abort_round(shortage, now);
        }
        self.next_round = now + shortest_interval(&self.config);
        let (was_running, was_fine) = self.state.read(|state| (state.was_running, state.node.is_fine()));
        let fine = node.is_fine();
        let reading = NodeReading { at: SystemTime::now(), node: node.clone(), lag: self.lags.worst() };
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
                    entry.due = now + STARTUP_INTERVAL.min(entry.target.interval);
                }
            }
        }
    }

    /// Nothing was learnt of the node, so that its state and those of the targets stay. What was due is aborted.
    fn abort_round(&mut self, shortage: &Failure, now: Instant) {
        self.note_shortage(shortage, now);
        let (was_running, schedule) = (self.state.read(|state| state.was_running), self.schedule);
        self.next_round = now + shortest_interval(&self.config);
        for entry in self.entries.iter_mut().filter(|entry| entry.next_turn().is_some_and(|turn| turn <= now)) {
            if entry.due <= now {
                let interval = entry.target.interval;
                if was_running {
                    entry.metrics.aborted();
                }
                entry.due = schedule.next(Pace::Retry(RETRY_INTERVAL.min(interval)), now);
            }
            // The next turn plans it again.
            entry.sample_due = None;
        }
    }

    /// Counts and logs what telltail itself lacked.
    pub(super) fn note_shortage(&mut self, shortage: &Failure, now: Instant) {
        self.metrics.out_of_resources();
        self.shortages.note(shortage, now);
    }

    fn begin_turns(&mut self, status: &Status, due: &[bool]) {
        let round_began = self.round_began;
        let at_down_threshold = self.state.read(|state| state.at_down_threshold());
        for ((entry, &probe_due), at_down_threshold) in self.entries.iter_mut().zip(due).zip(at_down_threshold) {
            let TurnState::Idle(memory) = &mut entry.turn else { continue };
            let (mut memory, backend) = (std::mem::take(memory), Arc::clone(&self.backend));
            let resolution = resolve(status, &entry.target.host);
            // Only a target that falls asks for witnesses.
            let falls = resolution.peer().filter(|_| at_down_threshold);
            let turn = Turn {
                target: Arc::clone(&entry.target),
                state: Arc::clone(&self.state),
                witnesses: falls.map(|peer| witness::choose(status, peer)).unwrap_or_default(),
                resolution,
                mode: status.mode,
                probe_due,
                sample_due: entry.sample_due.is_some_and(|due| due <= round_began),
                at_down_threshold,
            };
            let sockets = Arc::clone(&self.sockets);
            let run = async move {
                // Never closed; no turn needs more than there are.
                let _held = sockets.acquire_many(turn.sockets()).await.ok();
                let record = turn.run(&mut memory, &*backend).await;
                Event::Turn(memory, record)
            };
            let abort = self.tasks.spawn(run.boxed());
            entry.turn = TurnState::Running { abort, probing: probe_due };
        }
    }

    pub(super) fn take_turn(&mut self, task: Id, memory: TurnMemory, turn: TurnRecord) {
        // None, if the target was removed by a reload or the turn cut short meanwhile.
        let Some(index) = self.entries.iter().position(|entry| entry.runs(task)) else { return };
        if let Some(entry) = self.entries.get_mut(index) {
            entry.turn = TurnState::Idle(memory);
        }
        self.record(index, turn, Instant::now());
    }

    /// While the node is at fault nothing is dialled: these probes fail for the node's reason.
    fn fail_by_node(&mut self, node: &Node, due: &[bool]) {
        let Some(fault) = &node.fault else { return };
        let now = Instant::now();
        for (index, _) in due.iter().enumerate().filter(|(_, due)| **due) {
            let Some(entry) = self.entries.get_mut(index) else { continue };
            entry.fail_by_node();
            let probe = ProbeOutcome::Done(ProbeResult::not_dialled(fault.clone()));
            self.record(index, TurnRecord { at: SystemTime::now(), probe, path: None }, now);
        }
    }

    /// Records a turn and plans the next one.
    fn record(&mut self, index: usize, turn: TurnRecord, now: Instant) {
        if let ProbeOutcome::Aborted(Some(shortage)) = &turn.probe {
            self.note_shortage(shortage, now);
        }
        let Some(entry) = self.entries.get_mut(index) else { return };
        let probed = turn.probe != ProbeOutcome::NotDue;
        match &turn.probe {
            ProbeOutcome::NotDue => {}
            ProbeOutcome::Aborted(_) => entry.metrics.aborted(),
            ProbeOutcome::Done(result) => {
                log_probe(&entry.target.name, result);
                entry.metrics.probe(result);
            }
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

    pub(super) fn report(&mut self, changes: &[Change], now: Instant) {
        self.log.record(changes, &self.state.snapshot(now), now);
    }
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
