//! One container: its phase and its probes. No I/O: times are since the pod's start.

use std::time::Duration;

use super::{probe::Prober, spec::Container};

/// From the second restart on, doubling to the greatest.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const GREATEST_BACKOFF: Duration = Duration::from_secs(300);

/// A container over all its runs, each with probers of its own.
#[derive(Debug)]
pub(super) struct ManagedContainer {
    pub phase: Phase,
    spec: Container,
    startup: Option<Prober>,
    readiness: Option<Prober>,
    liveness: Option<Prober>,
    /// Its startup probe has passed, or it has none.
    pub started: bool,
    /// How often it was started.
    pub starts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// May start from this time on.
    Waiting(Duration),
    Running,
    /// Was asked to end, and is killed at this time.
    Stopping(Duration),
    Ended,
}

/// The probes of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeKind {
    /// Holds back the others, and the containers behind.
    Startup,
    /// Says whether the container is ready.
    Readiness,
    /// Restarts the container.
    Liveness,
}

impl ManagedContainer {
    pub(super) fn new(spec: Container) -> Self {
        let phase = Phase::Waiting(Duration::ZERO);
        let mut new = Self { spec, phase, startup: None, readiness: None, liveness: None, started: false, starts: 0 };
        new.reset();
        new
    }

    pub(super) fn name(&self) -> String {
        self.spec.name.clone()
    }

    pub(super) fn sidecar(&self) -> bool {
        self.spec.restart_policy.is_some()
    }

    pub(super) fn alive(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping(_))
    }

    pub(super) fn ready(&self) -> bool {
        self.alive() && self.started && self.readiness.as_ref().is_none_or(Prober::verdict)
    }

    pub(super) fn reset(&mut self) {
        let prober = |spec: &Option<_>, verdict| spec.as_ref().map(|spec| Prober::new(spec, verdict));
        self.startup = prober(&self.spec.startup_probe, false);
        self.readiness = prober(&self.spec.readiness_probe, false);
        self.liveness = prober(&self.spec.liveness_probe, true);
        self.started = false;
    }

    pub(super) fn run(&mut self, now: Duration) {
        self.phase = Phase::Running;
        self.starts += 1;
        match &mut self.startup {
            Some(prober) => prober.begin(now),
            None => self.begin(now),
        }
    }

    /// The startup probe has passed, or there is none: the other probes begin.
    pub(super) fn begin(&mut self, now: Duration) {
        self.started = true;
        if let Some(prober) = &mut self.startup {
            prober.end();
        }
        for prober in [&mut self.readiness, &mut self.liveness].into_iter().flatten() {
            prober.begin(now);
        }
    }

    /// Only readiness is still asked for.
    pub(super) fn stop(&mut self, kill_at: Duration) {
        self.phase = Phase::Stopping(kill_at);
        for prober in [&mut self.startup, &mut self.liveness].into_iter().flatten() {
            prober.end();
        }
    }

    pub(super) fn due(&mut self, now: Duration) -> impl Iterator<Item = ProbeKind> {
        let alive = self.alive();
        let kinds = [ProbeKind::Startup, ProbeKind::Readiness, ProbeKind::Liveness];
        kinds.into_iter().filter(move |kind| alive && self.prober(*kind).as_mut().is_some_and(|p| p.begin_if_due(now)))
    }

    pub(super) fn prober(&mut self, kind: ProbeKind) -> &mut Option<Prober> {
        match kind {
            ProbeKind::Startup => &mut self.startup,
            ProbeKind::Readiness => &mut self.readiness,
            ProbeKind::Liveness => &mut self.liveness,
        }
    }

    pub(super) fn backoff(&self) -> Duration {
        match self.starts {
            0 | 1 => Duration::ZERO,
            starts => (FIRST_BACKOFF * 2_u32.saturating_pow(starts - 2)).min(GREATEST_BACKOFF),
        }
    }
}
