//! Which container starts, is probed, is restarted and ends when. No I/O: it is told what happened and says what to do.

use std::time::Duration;

use super::{
    event::Event,
    managed_container::{ManagedContainer, Phase, ProbeKind},
    spec::PodSpec,
};

/// What is left between the signals when the grace period is over.
const LAST_RESPITE: Duration = Duration::from_secs(2);

/// The life of a pod's containers: sidecars in their order, then the others. They are named by their place in it.
#[derive(Debug)]
pub(super) struct PodLifecycle {
    containers: Vec<ManagedContainer>,
    grace: Duration,
    /// When the grace period of a deletion is over.
    deadline: Option<Duration>,
    ready: bool,
    actions: Vec<Action>,
    events: Vec<Event>,
}

/// A probe that is due, of one run of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DueProbe {
    pub container: usize,
    pub kind: ProbeKind,
    run: u32,
}

/// What is to be done with a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start(usize),
    Probe(DueProbe),
    Terminate(usize),
    Kill(usize),
}

impl PodLifecycle {
    pub(super) fn new(spec: &PodSpec) -> Self {
        let all = spec.init_containers.iter().chain(&spec.containers);
        assert!(
            spec.init_containers.iter().all(|container| container.restart_policy.is_some()),
            "an init container that ends before the next starts: nobody needed one yet"
        );
        let grace = Duration::from_secs(spec.termination_grace_period_seconds);
        let containers = all.map(|spec| ManagedContainer::new(spec.clone())).collect();
        Self { containers, grace, deadline: None, ready: false, actions: Vec::new(), events: Vec::new() }
    }

    /// What is to be done now. Each action is given once.
    pub(super) fn next(&mut self, now: Duration) -> Vec<Action> {
        if self.deadline.is_none() {
            self.start(now);
        } else {
            self.wind_down(now);
        }
        for (index, container) in self.containers.iter_mut().enumerate() {
            let run = container.starts;
            self.actions.extend(container.due(now).map(|kind| Action::Probe(DueProbe { container: index, kind, run })));
            if matches!(container.phase, Phase::Stopping(at) if at <= now) {
                container.phase = Phase::Stopping(Duration::MAX);
                self.actions.push(Action::Kill(index));
            }
        }
        self.judge();
        std::mem::take(&mut self.actions)
    }

    /// A container has ended.
    pub(super) fn exited(&mut self, index: usize, code: i32, now: Duration) {
        let container = &mut self.containers[index];
        self.events.push(Event::Exited(container.name(), code));
        container.reset();
        container.phase =
            if self.deadline.is_some() { Phase::Ended } else { Phase::Waiting(now + container.backoff()) };
        self.judge();
    }

    /// A probe was answered.
    pub(super) fn probed(&mut self, probe: DueProbe, answer: &Result<(), String>, now: Duration) {
        let (grace, kind) = (self.grace, probe.kind);
        let container = &mut self.containers[probe.container];
        if container.starts != probe.run || !container.alive() {
            return; // of a run that is over
        }
        let name = container.name();
        let Some(prober) = container.prober(kind) else { return };
        let verdict = prober.record(answer.is_ok());
        if let (Err(why), 1) = (answer, prober.in_a_row()) {
            self.events.push(Event::ProbeFailed(name.clone(), kind, why.clone()));
        }
        let running = container.phase == Phase::Running;
        match (kind, verdict) {
            (ProbeKind::Startup, Some(true)) if running => {
                container.begin(now);
                self.events.push(Event::Started(name));
            }
            (ProbeKind::Startup | ProbeKind::Liveness, Some(false)) if running => {
                container.stop(now + grace);
                self.events.push(Event::Restarting(name, kind));
                self.actions.push(Action::Terminate(probe.container));
            }
            (ProbeKind::Startup | ProbeKind::Readiness | ProbeKind::Liveness, _) => {}
        }
        self.judge();
    }

    /// The pod is to end within its grace period.
    pub(super) fn delete(&mut self, now: Duration) {
        self.deadline = Some(now + self.grace);
        self.events.push(Event::Deleted(self.grace));
    }

    /// Every container is ready.
    pub(super) fn ready(&self) -> bool {
        self.containers.iter().all(ManagedContainer::ready)
    }

    /// Nothing runs and nothing will.
    pub(super) fn over(&self) -> bool {
        self.containers.iter().all(|container| container.phase == Phase::Ended)
    }

    /// What has happened since the last call.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn start(&mut self, now: Duration) {
        let mut gate = true;
        for (index, container) in self.containers.iter_mut().enumerate() {
            // Once past its gate, a container need not wait for the others again.
            let may = gate || container.starts > 0;
            if may && matches!(container.phase, Phase::Waiting(from) if from <= now) {
                container.run(now);
                self.events.push(Event::Running(container.name(), container.starts - 1));
                if container.started {
                    self.events.push(Event::Started(container.name()));
                }
                self.actions.push(Action::Start(index));
            }
            if container.sidecar() {
                gate &= container.started;
            }
        }
    }

    /// The others first, then sidecars in reverse order, one at a time; in the end all at once.
    fn wind_down(&mut self, now: Duration) {
        let deadline = self.deadline.unwrap_or(now);
        let late = deadline <= now;
        for container in self.containers.iter_mut().filter(|c| matches!(c.phase, Phase::Waiting(_))) {
            container.phase = Phase::Ended;
        }
        let mut clear = true;
        for (index, container) in self.containers.iter_mut().enumerate().rev() {
            if container.phase == Phase::Running && (late || clear || !container.sidecar()) {
                container.stop(if late { now + LAST_RESPITE } else { deadline + LAST_RESPITE });
                self.events.push(Event::Terminating(container.name()));
                self.actions.push(Action::Terminate(index));
            }
            clear &= container.phase == Phase::Ended;
        }
    }

    fn judge(&mut self) {
        let ready = self.ready();
        if ready != self.ready {
            self.ready = ready;
            self.events.push(Event::Ready(ready));
        }
    }
}

#[cfg(test)]
mod tests;
