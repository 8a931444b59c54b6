//! What the log says: one line per change, with reason, scope and cause, and in an outage one reminder in half an hour.

use crate::config::{Config, Target, Via};
use crate::expiry::Expiries;
use crate::health::TrackState;
use crate::reason::{Failure, escape};
use crate::state::{Change, PathChange, PeerChange, Snapshot, StateChange};
use crate::tailscale::is_at_least;
use std::time::Duration;
use std::time::SystemTime;
use tokio::time::Instant;
use tracing::{info, warn};

/// Remembers what was said already.
#[derive(Debug)]
pub struct Reporter {
    started: Instant,
    reminded: Instant,
    gate_open: bool,
    never_up_said: bool,
    way_untested_said: bool,
    version_untested_said: bool,
    expiries: Expiries,
}

/// The oldest tailscaled that the tests run with (docs/compatibility.md).
pub const OLDEST_TESTED: (u32, u32) = (1, 80);
/// A tailscaled that starts logs in within this time; the sidecar image's
/// entrypoint gives up after it.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// Time between two reminders of an outage.
const REMIND_EVERY: Duration = Duration::from_secs(30 * 60);

impl Reporter {
    /// A reporter that has said nothing.
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            reminded: now,
            gate_open: false,
            never_up_said: false,
            way_untested_said: false,
            version_untested_said: false,
            expiries: Expiries::default(),
        }
    }

    /// Says what a round changed.
    pub fn report(&mut self, changes: &[Change], snapshot: &Snapshot, now: Instant) {
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
                self.reminded = now;
            }
        }
        if let Some(release) = snapshot.gate.filter(|_| !self.gate_open) {
            self.gate_open = true;
            let after = seconds(now.duration_since(self.started));
            info!(cause = release.slug(), after_seconds = after, "Startup gate opened");
        }
        self.say_never_up(snapshot, now);
        self.say_untested_way(snapshot);
        self.say_untested_version(snapshot);
        self.expiries.report(snapshot, SystemTime::now());
        self.remind(snapshot, now);
    }

    /// Says that a new configuration is in force.
    pub fn reloaded(&self, old: &Config, new: &Config, needs_restart: &[&str]) {
        let names = |config: &Config| config.targets.iter().map(|target| target.name.clone()).collect::<Vec<_>>();
        let (before, after) = (names(old), names(new));
        let added: Vec<_> = after.iter().filter(|name| !before.contains(name)).collect();
        let removed: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
        info!(hash = new.hash, ?added, ?removed, "Configuration reloaded");
        if !needs_restart.is_empty() {
            warn!(settings = ?needs_restart, "These settings have changed too, but need a restart");
        }
    }

    /// Says that a new configuration was refused.
    pub fn reload_refused(&self, problems: &str) {
        for problem in problems.lines() {
            warn!(problem = escape(problem), "The new configuration is refused, the old one stays in force");
        }
    }

    fn say_never_up(&mut self, snapshot: &Snapshot, now: Instant) {
        if let Some(fault) = &snapshot.node.fault
            && !snapshot.was_running
            && !self.never_up_said
            && now.duration_since(self.started) >= STARTS_WITHIN
        {
            (self.never_up_said, self.reminded) = (true, now);
            node_down(fault, snapshot);
        }
    }

    fn say_untested_way(&mut self, snapshot: &Snapshot) {
        if !self.way_untested_said && snapshot.way_untested().next().is_some() {
            self.way_untested_said = true;
            let targets: Vec<_> = snapshot.way_untested().map(|view| view.target.name.as_str()).collect();
            warn!(
                ?targets,
                "tailscaled runs in userspace mode and the targets name no proxy: the worker's own way is not tested. \
                 Name the proxy that the worker uses with via=socks5://HOST:PORT"
            );
        }
    }

    fn say_untested_version(&mut self, snapshot: &Snapshot) {
        if let Some(facts) = &snapshot.node.facts
            && !self.version_untested_said
            && !is_at_least(&facts.version, OLDEST_TESTED)
        {
            self.version_untested_said = true;
            warn!(version = escape(&facts.version), "telltail was not tested with a tailscaled this old");
        }
    }

    fn remind(&mut self, snapshot: &Snapshot, now: Instant) {
        if now.duration_since(self.reminded) < REMIND_EVERY {
            return;
        }
        self.reminded = now;
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
        // No alarm at each start of a pod: whether it stays so will be said.
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

impl Snapshot {
    /// Targets of which it is not known whether the worker itself could reach them: in userspace mode the worker needs a
    /// proxy, and these name none.
    pub fn way_untested(&self) -> impl Iterator<Item = &crate::state::TargetView> {
        let userspace = self.node.facts.as_ref().is_some_and(|facts| !facts.tun);
        self.targets.iter().filter(move |view| userspace && !matches!(view.target.via, Via::Socks5(_)))
    }
}
