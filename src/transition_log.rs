//! The log at info and warn: one line per state transition, with reason, scope and cause, and a reminder every half hour while
//! something stays down.

use crate::config::{Config, Target};
use crate::health::TrackState;
use crate::key_expiry_log::KeyExpiryLog;
use crate::reason::Failure;
use crate::state::{Change, PathChange, PeerChange, Snapshot, StateChange};
use crate::tailscale::{OLDEST_TESTED, is_at_least};
use crate::untrusted::escape;
use std::time::Duration;
use std::time::SystemTime;
use tokio::time::Instant;
use tracing::{info, warn};

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
}

/// containerboot exits if tailscaled has not logged in by then.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
const REMINDER_INTERVAL: Duration = Duration::from_secs(30 * 60);

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
        }
    }

    /// Logs the changes of a status or of a turn.
    pub fn record(&mut self, changes: &[Change], snapshot: &Snapshot, now: Instant) {
        for change in changes {
            match change {
                Change::Node(change) => node(change, snapshot),
                Change::Target(of, change) => target(of, change, snapshot),
                Change::Path(of, change) => path(of, change),
                Change::Peer(of, PeerChange { from, to }) => {
                    info!(target = of.name, before = %from, after = %to, "The target's peer changed");
                }
            }
            if matches!(change, Change::Node(_) | Change::Target(..)) {
                self.last_reminder = now;
            }
        }
        if let Some(release) = snapshot.gate.filter(|_| !self.gate_open) {
            self.gate_open = true;
            let after = seconds(now.duration_since(self.started));
            info!(cause = release.slug(), after_seconds = after, "Startup gate opened");
        }
        self.log_never_up(snapshot, now);
        self.log_untested_path(snapshot);
        self.log_untested_version(snapshot);
        self.key_expiries.record(snapshot, SystemTime::now());
        self.remind(snapshot, now);
    }

    /// Logs that a new configuration is in force.
    pub fn reloaded(&self, old: &Config, new: &Config, needs_restart: &[&str]) {
        let names = |config: &Config| config.targets.iter().map(|target| target.name.clone()).collect::<Vec<_>>();
        let (before, after) = (names(old), names(new));
        let added: Vec<_> = after.iter().filter(|name| !before.contains(name)).collect();
        let removed: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
        info!(hash = new.hash, ?added, ?removed, "Configuration reloaded");
        if !needs_restart.is_empty() {
            warn!(settings = ?needs_restart, "Other settings changed, too; they take effect after a restart");
        }
    }

    /// Logs why a new configuration was rejected.
    pub fn reload_refused(&self, problems: &str) {
        for problem in problems.lines() {
            warn!(problem = escape(problem), "New configuration rejected; the old one stays in force");
        }
    }

    fn log_never_up(&mut self, snapshot: &Snapshot, now: Instant) {
        if let Some(fault) = &snapshot.node.fault
            && !snapshot.was_running
            && !self.never_up_logged
            && now.duration_since(self.started) >= LOGIN_TIMEOUT
        {
            (self.never_up_logged, self.last_reminder) = (true, now);
            node_down(fault, snapshot);
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

fn path(target: &Target, change: &PathChange) {
    let region = change.region.as_ref().map(|region| escape(&region.code));
    let (name, from, to, expect) = (&target.name, change.from.slug(), change.to.slug(), target.expect.slug());
    if change.to.breaks(target.expect) {
        warn!(target = name, from, to, region, expect, "Path is unexpected");
    } else {
        info!(target = name, from, to, region, expect, "Path changed");
    }
}

fn node(change: &StateChange, snapshot: &Snapshot) {
    match (change.to, &change.failure) {
        // Info during startup; a warning follows after 60 s.
        (TrackState::Down, Some(fault)) if !snapshot.was_running => {
            info!(reason = slug(fault), cause = fault.cause, "Node is not up yet: {}", fault.reason.sentence());
        }
        (TrackState::Down, Some(fault)) => node_down(fault, snapshot),
        _ => info!(
            for_seconds = seconds(change.lasted),
            from = change.from.slug(),
            ready = snapshot.readiness().ready,
            "Node is up"
        ),
    }
}

fn node_down(fault: &Failure, snapshot: &Snapshot) {
    warn!(
        reason = slug(fault),
        scope = fault.reason.scope().slug(),
        cause = fault.cause,
        ready = snapshot.readiness().ready,
        "Node is down: {}",
        fault.reason.sentence()
    );
}

fn target(target: &Target, change: &StateChange, snapshot: &Snapshot) {
    let ready = snapshot.readiness().ready;
    match &change.failure {
        Some(failure) if change.to == TrackState::Down => warn!(
            target = target.name,
            reason = slug(failure),
            scope = failure.reason.scope().slug(),
            cause = failure.cause,
            ready,
            "Target is down: {}",
            failure.reason.sentence()
        ),
        _ => info!(
            target = target.name,
            for_seconds = seconds(change.lasted),
            from = change.from.slug(),
            ready,
            "Target is up"
        ),
    }
}

fn slug(failure: &Failure) -> &'static str {
    failure.reason.slug()
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
