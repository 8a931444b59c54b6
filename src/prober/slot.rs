//! A target's place in the loop: its turns, and what is remembered from one to the next.

use super::Backend;
use crate::config::Target;
use crate::diagnose::{PingEvidence, refine_timeout};
use crate::probe::{PooledConnection, Probe, resolve};
use crate::reason::Reason;
use crate::state::{PeerObservation, TargetPeer};
use crate::tailscale::Status;
use std::time::Duration;
use tokio::time::Instant;

/// A target's place in the loop.
pub(super) struct Slot {
    pub target: Target,
    /// When it is probed next.
    pub due: Instant,
    /// When its path is looked at in between, because a change is being decided on.
    pub look_due: Option<Instant>,
    /// When the last disco ping was sent.
    pinged: Option<Instant>,
    held: Option<PooledConnection>,
    /// Failures in a row.
    failed: u32,
    /// What the last probe met, if it was mere silence.
    silence: Option<Silence>,
    pub probing: bool,
}

/// A silence that lasts: as soon as a probe meets anything else, what is known of it says nothing any more.
struct Silence {
    reason: Reason,
    /// What the layers below TCP said, and when.
    evidence: Option<(Instant, PingEvidence)>,
}

impl Silence {
    fn asks_for_evidence(&self) -> bool {
        self.evidence.is_none_or(|(at, _)| at.elapsed() >= EVIDENCE_FOR)
    }
}

/// A probe that took this much longer than its timeout was cut short by our own stall.
pub(super) const STALL: Duration = Duration::from_secs(1);
/// What the layers below TCP said of a silence is asked again after this time, if it still lasts.
const EVIDENCE_FOR: Duration = Duration::from_secs(300);
/// A disco ping tells the round trip this often; nearer ones only decide on a path.
const ROUND_TRIP_EVERY: Duration = Duration::from_secs(60);

impl Slot {
    pub fn new(target: Target, due: Instant) -> Self {
        Self { target, due, look_due: None, pinged: None, held: None, failed: 0, silence: None, probing: false }
    }

    /// Keeps what is known of the same service; another interval begins at `new_due`.
    pub fn renewed(self, target: Target, new_due: Instant) -> Self {
        let due = if self.target.interval == target.interval { self.due } else { new_due };
        Self { target, due, ..self }
    }

    /// Looks at the path, and probes if it is the target's turn.
    pub async fn take_turn(
        &mut self,
        now: Instant,
        fall: u32,
        status: &Status,
        backend: &impl Backend,
    ) -> (Option<Probe>, Option<PeerObservation>) {
        let wanted = self.probing || self.look_due.is_some_and(|due| due <= now);
        // Asked while the probe waits, or a silence would be found out the later for being named.
        let last = self.silence.as_ref().filter(|_| self.failed + 1 >= fall);
        let evidence_wanted = last.is_some_and(Silence::asks_for_evidence);
        let Self { target, pinged, held, probing, .. } = self;
        let observation = sight(target, wanted, pinged, status, backend);
        if !*probing {
            return (None, observation.await);
        }
        let meanwhile = async { if evidence_wanted { ask_below(target, status, backend).await } else { None } };
        let (probe, observation, evidence) = tokio::join!(backend.probe(target, held, status), observation, meanwhile);
        if is_void(target, &probe) {
            return (Some(probe), observation);
        }
        (Some(self.examine(probe, evidence, fall, status, backend).await), observation)
    }

    /// Takes part in a fault of the node, by which nothing was dialled.
    pub fn fail(&mut self) {
        (self.held, self.silence) = (None, None);
        self.failed += 1;
    }

    /// Names a silence by what the layers below answer, once it takes the target down and then rarely.
    async fn examine(
        &mut self,
        mut probe: Probe,
        evidence: Option<PingEvidence>,
        fall: u32,
        status: &Status,
        backend: &impl Backend,
    ) -> Probe {
        let before = self.silence.take();
        let Err(failure) = probe.outcome else {
            self.failed = 0;
            return probe;
        };
        self.failed += 1;
        if !failure.reason.is_timeout() {
            probe.outcome = Err(failure);
            return probe;
        }
        let lasts = before.filter(|silence| silence.reason == failure.reason);
        let mut silence = lasts.unwrap_or(Silence { reason: failure.reason, evidence: None });
        let evidence = match evidence {
            None if self.failed >= fall && silence.asks_for_evidence() => {
                ask_below(&self.target, status, backend).await
            }
            asked => asked,
        };
        silence.evidence = evidence.map(|evidence| (Instant::now(), evidence)).or(silence.evidence);
        probe.outcome = Err(match silence.evidence {
            Some((_, evidence)) => refine_timeout(failure, evidence),
            None => failure,
        });
        self.silence = Some(silence);
        probe
    }

    pub fn next(&self) -> Instant {
        self.look_due.map_or(self.due, |look| look.min(self.due))
    }
}

/// Was a probe cut short by our own stall, so that it proves nothing?
pub(super) fn is_void(target: &Target, probe: &Probe) -> bool {
    probe.elapsed > target.timeout + STALL
}

/// What the layers below TCP say of a target's silence; none if the netmap knows no node that carries it.
async fn ask_below(target: &Target, status: &Status, backend: &impl Backend) -> Option<PingEvidence> {
    let resolved = resolve::resolve(status, &target.host).ok()?;
    Some(backend.evidence(&resolved).await)
}

/// What is seen of the node that carries a target; none if the netmap knows none.
async fn sight(
    target: &Target,
    wanted: bool,
    pinged: &mut Option<Instant>,
    status: &Status,
    backend: &impl Backend,
) -> Option<PeerObservation> {
    let resolved = resolve::resolve(status, &target.host).ok()?;
    let round_trip_wanted = wanted && pinged.is_none_or(|last| last.elapsed() >= ROUND_TRIP_EVERY);
    let look = backend.look(&resolved, wanted, round_trip_wanted).await;
    if look.round_trip.is_some() {
        *pinged = Some(Instant::now());
    }
    let peer = resolved.peer;
    let carrier = TargetPeer { id: peer.id.clone(), address: resolved.address, key_expiry: peer.key_expiry };
    Some(PeerObservation { target: target.name.clone(), carrier, look })
}
