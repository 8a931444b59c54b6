//! Asking the layers below TCP after a probe has met silence.

use crate::diagnose::{PingEvidence, PingOutcome};
use crate::tailscale::{Dialer, FULL_SIZE, PingKind, PingReply, PongVia};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for one answer; each question is asked twice, so that one lost packet proves nothing.
const WAIT: Duration = Duration::from_secs(1);

/// Asks all three questions side by side.
pub async fn gather(address: IpAddr, peer: &[IpAddr], dialer: &Dialer) -> PingEvidence {
    let (disco, tunnel, full_size) = tokio::join!(
        ask(address, peer, PingKind::Disco { size: 0 }, dialer),
        ask(address, peer, PingKind::Tsmp, dialer),
        ask(address, peer, PingKind::Disco { size: FULL_SIZE }, dialer),
    );
    // A ping with a size goes over every way at once: what does not fit through the direct one comes back over DERP.
    let detour = matches!((&disco, &full_size), (Ok(Some(PongVia::Direct)), Ok(Some(PongVia::Derp { .. }))));
    PingEvidence {
        disco: seen(disco),
        tunnel: seen(tunnel),
        full_size: if detour { PingOutcome::Timeout } else { seen(full_size) },
    }
}

/// The way of the answer, none if there was none, or an error if it could not be asked.
async fn ask(address: IpAddr, peer: &[IpAddr], kind: PingKind, dialer: &Dialer) -> Result<Option<PongVia>, ()> {
    for _ in 0..2 {
        match timeout(WAIT, dialer.ping(address, peer, kind)).await {
            Ok(Ok(PingReply::Pong(pong))) => return Ok(Some(pong.via)),
            Ok(Ok(PingReply::Refused) | Err(_)) => return Err(()),
            Err(_) => {}
        }
    }
    Ok(None)
}

fn seen(answer: Result<Option<PongVia>, ()>) -> PingOutcome {
    match answer {
        Ok(Some(_)) => PingOutcome::Reply,
        Ok(None) => PingOutcome::Timeout,
        Err(()) => PingOutcome::Inconclusive,
    }
}
