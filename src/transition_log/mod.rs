//! The log at info and warn: one line per state transition, with reason, scope and cause, and a reminder every half hour while
//! something stays down. What flaps is rationed: the next line tells how many were left out, and the last state is always told.

mod budget;
mod line;
#[cfg(test)]
mod tests;
mod write;

use crate::config::Config;
use crate::health::TrackState;
use crate::key_expiry_log::KeyExpiryLog;
use crate::state::{Change, Snapshot};
use crate::tailscale::{OLDEST_TESTED, is_at_least};
use crate::untrusted::escape;
use budget::LineBudget;
use line::{Line, Subject};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tracing::{info, warn};
use write::{Backlog, node_down, seconds, slug};

/// Logs transitions, and the warnings that are logged once.
#[derive(Debug)]
pub struct TransitionLog {
    started: Instant,
    last_reminder: Instant,
    gate_open: bool,
    never_up_logged: bool,
    untested_path_logged: bool,
    untested_version_logged: bool,
    key_expiries: KeyExpiryLog,
    budget: LineBudget<Subject>,
    /// At most one per subject, in the order in which they are written.
    waiting: Vec<WaitingLine>,
}

/// A line that was not written yet.
#[derive(Debug)]
struct WaitingLine {
    subject: Subject,
    line: Line,
    since: Instant,
    /// Older ones in whose place it is.
    left_out: u64,
}

/// containerboot exits if tailscaled has not logged in by then.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
const REMINDER_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// A line that waited for less is not called late.
const TOLD_FROM: Duration = Duration::from_secs(1);

impl TransitionLog {
    /// Nothing was logged yet.
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            last_reminder: now,
            gate_open: false,
            never_up_logged: false,
            untested_path_logged: false,
            untested_version_logged: false,
            key_expiries: KeyExpiryLog::default(),
            budget: LineBudget::new(now),
            waiting: Vec::new(),
        }
    }

    /// Logs the changes of a status or of a turn, and what had to wait.
    pub fn record(&mut self, changes: &[Change], snapshot: &Snapshot, now: Instant) {
        for change in changes {
            if matches!(change, Change::Node(_) | Change::Target(..)) {
                self.last_reminder = now;
            }
            self.add(Line::Change(change.clone()), now);
        }
        for key in self.key_expiries.due_keys(snapshot, SystemTime::now()) {
            self.add(Line::Key(key), now);
        }
        self.write_waiting(snapshot, now);
        if let Some(release) = snapshot.gate.filter(|_| !self.gate_open) {
            self.gate_open = true;
            let after = seconds(now.duration_since(self.started));
            info!(cause = release.slug(), after_seconds = after, "Startup gate opened");
        }
        self.log_never_up(snapshot, now);
        self.log_untested_path(snapshot);
        self.log_untested_version(snapshot);
        self.remind(snapshot, now);
    }

    /// A new configuration is in force; the next record logs it.
    pub fn reloaded(&mut self, old: &Config, new: &Config, needs_restart: &[&str], now: Instant) {
        self.add(Line::reloaded(old, new), now);
        if !needs_restart.is_empty() {
            self.add(Line::NeedsRestart(needs_restart.iter().map(|name| (*name).to_owned()).collect()), now);
        }
        // Of a target that is gone, only the number of lines is told.
        let is_gone = |waiting: &mut WaitingLine| {
            waiting.subject.target().is_some_and(|name| new.targets.iter().all(|target| target.name != name))
        };
        let gone: u64 = self.waiting.extract_if(.., is_gone).map(|waiting| 1 + waiting.left_out).sum();
        if let Some(reloaded) = self.waiting.iter_mut().find(|waiting| waiting.subject == Subject::Reloaded) {
            reloaded.left_out += gone;
        }
    }

    /// A new configuration was rejected; the next record logs why.
    pub fn reload_refused(&mut self, problems: &str, now: Instant) {
        self.add(Line::rejected(problems), now);
    }

    /// Nothing is recorded any more: tells of how many lines there is none.
    pub fn end(&self) {
        let left_out: u64 = self.waiting.iter().map(|waiting| 1 + waiting.left_out).sum();
        if left_out > 0 {
            info!(left_out, "Last changes not logged");
        }
    }

    fn add(&mut self, line: Line, now: Instant) {
        let subject = line.subject();
        match self.waiting.iter_mut().find(|waiting| waiting.subject == subject) {
            Some(waiting) => {
                (waiting.line, waiting.since) = (line, now);
                waiting.left_out += 1;
            }
            None => self.waiting.push(WaitingLine { subject, line, since: now, left_out: 0 }),
        }
    }

    /// Writes the lines for which there is room, oldest subject first.
    fn write_waiting(&mut self, snapshot: &Snapshot, now: Instant) {
        let budget = &mut self.budget;
        self.waiting.retain(|WaitingLine { subject, line, since, left_out }| {
            let written = budget.take(subject.clone(), now);
            if written {
                let left_out = Some(*left_out).filter(|count| *count > 0);
                let waited = now.saturating_duration_since(*since);
                let seconds_ago = Some(waited).filter(|waited| *waited >= TOLD_FROM).map(seconds);
                line.write(snapshot, Backlog { left_out, seconds_ago });
            }
            !written
        });
    }

    fn log_never_up(&mut self, snapshot: &Snapshot, now: Instant) {
        if let Some(fault) = &snapshot.node.fault
            && !snapshot.was_running
            && !self.never_up_logged
            && now.duration_since(self.started) >= LOGIN_TIMEOUT
        {
            (self.never_up_logged, self.last_reminder) = (true, now);
            node_down(fault, snapshot, Backlog::default());
        }
    }

    fn log_untested_path(&mut self, snapshot: &Snapshot) {
        let targets: Vec<_> = snapshot.worker_path_untested().map(|view| view.target.name.as_str()).collect();
        if let Some(facts) = snapshot.node.facts.as_ref().filter(|_| !self.untested_path_logged && !targets.is_empty())
        {
            self.untested_path_logged = true;
            warn!(
                ?targets,
                "tailscaled runs in {} mode and the targets do not name {} in via=: the worker's own path is not tested",
                facts.mode.name(),
                facts.mode.worker_via()
            );
        }
    }

    fn log_untested_version(&mut self, snapshot: &Snapshot) {
        if let Some(facts) = &snapshot.node.facts
            && !self.untested_version_logged
            && !is_at_least(&facts.version, OLDEST_TESTED)
        {
            self.untested_version_logged = true;
            warn!(version = escape(&facts.version), "telltail is not tested with a tailscaled this old");
        }
    }

    fn remind(&mut self, snapshot: &Snapshot, now: Instant) {
        if now.duration_since(self.last_reminder) < REMINDER_INTERVAL {
            return;
        }
        self.last_reminder = now;
        let down = |state| state == TrackState::Down;
        let targets: Vec<_> = snapshot.targets.iter().filter(|view| down(view.track.state())).collect();
        if !targets.is_empty() || down(snapshot.node_track.state()) {
            let targets: Vec<_> = targets.iter().map(|view| (&view.target.name, view.failure().map(slug))).collect();
            warn!(?targets, node = snapshot.node.state.slug(), ready = snapshot.readiness().ready, "Still down");
        }
    }
}
