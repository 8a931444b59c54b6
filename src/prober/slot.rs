//! A target's place in the loop: its turns, and what is remembered from one to the next.

use crate::config::Target;
use crate::diagnose::{Evidence, diagnose};
use crate::probe::look::look;
use crate::probe::resolve;
use crate::probe::{self, Context, Held, Probe, evidence};
use crate::state::{Carrier, Sighting};
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
    pub held: Option<Held>,
    /// Failures in a row.
    failed: u32,
    /// What the layers below TCP said of the silence, and when.
    evidence: Option<(Instant, Evidence)>,
    pub probing: bool,
}

/// What the layers below TCP said of a silence is asked again after this time, if the target is still down.
const EVIDENCE_FOR: Duration = Duration::from_secs(300);
/// A disco ping tells the round trip this often; nearer ones only decide on a path.
const ROUND_TRIP_EVERY: Duration = Duration::from_secs(60);

impl Slot {
    pub fn new(target: Target, due: Instant) -> Self {
        Self { target, due, look_due: None, pinged: None, held: None, failed: 0, evidence: None, probing: false }
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
        context: Context<'_>,
    ) -> (Option<Probe>, Option<Sighting>) {
        let wanted = self.probing || self.look_due.is_some_and(|due| due <= now);
        let Self { target, pinged, held, probing, .. } = self;
        let sighting = sight(target, wanted, pinged, context);
        if !*probing {
            return (None, sighting.await);
        }
        let (probe, sighting) = tokio::join!(probe::run(target, held, context), sighting);
        (Some(self.examine(probe, fall, context).await), sighting)
    }

    /// Names a silence by what the layers below answer, once it is about to take the target down and then rarely.
    async fn examine(&mut self, mut probe: Probe, fall: u32, context: Context<'_>) -> Probe {
        let Err(failure) = probe.outcome else {
            (self.failed, self.evidence) = (0, None);
            return probe;
        };
        self.failed += 1;
        let resolved = resolve::resolve(context.status, &self.target.host);
        let stale = self.evidence.is_none_or(|(at, _)| at.elapsed() >= EVIDENCE_FOR);
        if let Ok(resolved) = resolved
            && failure.reason.is_silence()
            && self.failed >= fall
            && stale
        {
            let evidence = evidence::gather(resolved.address, &resolved.peer.addresses, context.dialer).await;
            self.evidence = Some((Instant::now(), evidence));
        }
        probe.outcome = Err(match self.evidence {
            Some((_, evidence)) => diagnose(failure, evidence),
            None => failure,
        });
        probe
    }

    pub fn next(&self) -> Instant {
        self.look_due.map_or(self.due, |look| look.min(self.due))
    }
}

/// What is seen of the node that carries a target; none if the netmap knows none.
async fn sight(target: &Target, wanted: bool, pinged: &mut Option<Instant>, context: Context<'_>) -> Option<Sighting> {
    let resolved = resolve::resolve(context.status, &target.host).ok()?;
    let round_trip_wanted = wanted && pinged.is_none_or(|last| last.elapsed() >= ROUND_TRIP_EVERY);
    let look = look(&resolved, wanted, round_trip_wanted, context.dialer).await;
    if look.round_trip.is_some() {
        *pinged = Some(Instant::now());
    }
    let peer = resolved.peer;
    let carrier = Carrier { id: peer.id.clone(), address: resolved.address, key_expiry: peer.key_expiry };
    Some(Sighting { target: target.name.clone(), carrier, look })
}
