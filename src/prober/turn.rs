//! One turn of a target: its path, its probe if that is due, and pings after a timeout that lasts.

use super::Backend;
use crate::config::{LONG_INTERVAL, Target};
use crate::descriptor_budget::{REFINING_TURN_SOCKETS, TURN_SOCKETS};
use crate::diagnose::{PingEvidence, Testimony, refine_timeout};
use crate::network_mode::NetworkMode;
use crate::peer::{PathObservation, PathProbe, RoundTripSample};
use crate::probe::ProbeMemory;
use crate::probe::path_probe::PingPolicy;
use crate::probe::resolve::Resolution;
use crate::probe::witness::Witness;
use crate::probe_result::{ProbeOutcome, ProbeResult};
use crate::reason::{Failure, Reason};
use crate::state::{Snapshot, State, TurnRecord};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What a target's turn needs to know.
pub(super) struct Turn {
    pub target: Arc<Target>,
    pub resolution: Resolution,
    pub mode: NetworkMode,
    /// Is a probe due?
    pub probe_due: bool,
    /// Is a sample of the path due, because a path change is pending?
    pub sample_due: bool,
    /// Does a failure take the target down, or keep it down?
    pub at_down_threshold: bool,
    /// The peers to ask if the target's machine is silent.
    pub witnesses: Vec<Witness>,
    /// What other targets find out meanwhile.
    pub state: Arc<State>,
}

/// What a turn leaves to the next one.
#[derive(Default)]
pub(super) struct TurnMemory {
    probe: ProbeMemory,
    /// When the last disco ping was sent.
    pinged: Option<Instant>,
    /// When the last probe ended.
    probed: Option<Instant>,
    /// The timeout that the last probe met, if it met one.
    timeout: Option<OngoingTimeout>,
}

/// A timeout that lasts. Any other outcome ends it and discards its pings.
struct OngoingTimeout {
    reason: Reason,
    /// When it was first met, or last looked into: what was reached before is no witness.
    since: SystemTime,
    /// The first that there were: tailscaled forgets peers that are silent for long.
    witnesses: Vec<Witness>,
    evidence: Option<(Instant, PingEvidence)>,
}

/// A probe that took this much longer than its timeout was cut short by our own stall.
pub(super) const ABORT_MARGIN: Duration = Duration::from_secs(1);
/// Evidence is gathered again after this time, if the timeout lasts. 1,000 pods that share one witness then ping it three times a
/// second, which costs its tailscaled a thousandth of a core.
const EVIDENCE_FOR: Duration = Duration::from_secs(300);
/// For so long after a probe `status` may show what the probe itself woke: the peer is active for 45 s after the last packet to it,
/// and a keepalive of WireGuard follows up to 10 s after the last answer (measured on 1.80.3 and 1.102.5).
const AWAKE_AFTER_PROBE: Duration = Duration::from_secs(55);
/// A disco ping measures the round trip this often; nearer ones only decide on a path.
const ROUND_TRIP_EVERY: Duration = Duration::from_secs(60);

impl Turn {
    pub async fn run(self, memory: &mut TurnMemory, backend: &impl Backend) -> TurnRecord {
        // Pinged while the probe waits, or refining a timeout would delay its detection.
        let ongoing = memory.timeout.as_ref().filter(|_| self.probe_due && self.at_down_threshold);
        let ongoing = ongoing.filter(|timeout| timeout.needs_evidence());
        let policy = self.ping_policy(memory);
        let evidence = async { self.ping(ongoing?, backend).await };
        let (probe, path, evidence) =
            tokio::join!(self.probe(&mut memory.probe, backend), self.observe_path(policy, backend), evidence);
        if path.as_ref().is_some_and(|path| path.probe.round_trip != RoundTripSample::NotMeasured) {
            memory.pinged = Some(Instant::now());
        }
        if probe.is_some() {
            memory.probed = Some(Instant::now());
        }
        let probe = match probe {
            None => ProbeOutcome::NotDue,
            Some(result) if result.elapsed > self.target.timeout + ABORT_MARGIN => ProbeOutcome::Aborted(None),
            Some(ProbeResult { outcome: Err(failure), .. }) if failure.reason.is_own_shortage() => {
                ProbeOutcome::Aborted(Some(failure))
            }
            Some(result) => ProbeOutcome::Done(self.refine(result, evidence, memory, backend).await),
        };
        TurnRecord { at: SystemTime::now(), probe, path }
    }

    /// The sockets that it may open side by side.
    pub fn sockets(&self) -> u32 {
        if self.probe_due && self.at_down_threshold { REFINING_TURN_SOCKETS } else { TURN_SOCKETS }
    }

    /// How the path is sampled; none where it is not. A probe gives one sample, and a pending change asks for more; what `status`
    /// shows in between is the trace of the last probe.
    fn ping_policy(&self, memory: &TurnMemory) -> Option<PingPolicy> {
        // As often as the others are, the peer stays awake, or a probe wakes it and shows its path.
        let may_sleep = self.target.interval > LONG_INTERVAL;
        let own_trace = may_sleep && memory.probed.is_some_and(|last| last.elapsed() < AWAKE_AFTER_PROBE);
        let round_trip = memory.pinged.is_none_or(|last| last.elapsed() >= ROUND_TRIP_EVERY);
        let sampled = self.sample_due || (self.probe_due && !own_trace);
        sampled.then_some(PingPolicy { round_trip, wake: !may_sleep })
    }

    async fn probe(&self, memory: &mut ProbeMemory, backend: &impl Backend) -> Option<ProbeResult> {
        if !self.probe_due {
            return None;
        }
        Some(backend.probe(&self.target, &self.resolution, memory, self.mode, self.at_down_threshold).await)
    }

    async fn observe_path(&self, policy: Option<PingPolicy>, backend: &impl Backend) -> Option<PathObservation> {
        let resolved = self.resolution.dialable().ok()?;
        let probe = match policy {
            Some(policy) => backend.probe_path(resolved, policy).await,
            None => PathProbe::default(),
        };
        Some(PathObservation { peer: resolved.peer.clone(), probe })
    }

    async fn ping(&self, timeout: &OngoingTimeout, backend: &impl Backend) -> Option<PingEvidence> {
        let peer = &self.resolution.dialable().ok()?.peer;
        let witnesses = if timeout.witnesses.is_empty() { &self.witnesses } else { &timeout.witnesses };
        let testimony = async {
            // One that another target has just reached costs no ping.
            let reached = |state: &Snapshot| state.reached_since(peer, timeout.since).map(|other| other.name.clone());
            match self.state.read(reached) {
                Some(name) => Testimony::Answered(name),
                None => backend.ask_witnesses(witnesses).await,
            }
        };
        Some(backend.ping_evidence(peer, testimony).await)
    }

    /// Refines the reason of a timeout by pings, with the failure that takes the target down and then rarely.
    async fn refine(
        self,
        result: ProbeResult,
        evidence: Option<PingEvidence>,
        memory: &mut TurnMemory,
        backend: &impl Backend,
    ) -> ProbeResult {
        let before = memory.timeout.take();
        let failure = match &result.outcome {
            Err(failure) if failure.reason.is_timeout() => failure.clone(),
            Ok(_) | Err(_) => return result,
        };
        let lasts = before.filter(|timeout| timeout.reason == failure.reason);
        let (reason, since) = (failure.reason, result.at);
        let mut timeout = lasts.unwrap_or(OngoingTimeout { reason, since, witnesses: Vec::new(), evidence: None });
        let evidence = match evidence {
            None if self.at_down_threshold && timeout.needs_evidence() => self.ping(&timeout, backend).await,
            gathered => gathered,
        };
        if let Some(evidence) = evidence {
            timeout.since = SystemTime::now();
            timeout.evidence = Some((Instant::now(), evidence));
        }
        if timeout.witnesses.is_empty() {
            timeout.witnesses = self.witnesses;
        }
        let outcome = Err(timeout.refine(failure));
        memory.timeout = Some(timeout);
        ProbeResult { outcome, ..result }
    }
}

impl OngoingTimeout {
    fn needs_evidence(&self) -> bool {
        self.evidence.as_ref().is_none_or(|(at, _)| at.elapsed() >= EVIDENCE_FOR)
    }

    fn refine(&self, failure: Failure) -> Failure {
        match &self.evidence {
            Some((_, evidence)) => refine_timeout(failure, evidence),
            None => failure,
        }
    }
}
