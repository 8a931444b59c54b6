//! Pings of the layers below TCP, after a probe has timed out.

use crate::diagnose::{PingEvidence, PingOutcome};
use crate::peer::TargetPeer;
use crate::tailscale::{Dialer, FULL_SIZE, PingKind, PingReply, PongVia};
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for one pong; each ping is sent twice, so that one lost packet proves nothing.
const WAIT: Duration = Duration::from_secs(1);

/// Sends all three pings side by side.
pub async fn gather(peer: &TargetPeer, dialer: &Dialer) -> PingEvidence {
    let (disco, tunnel, full_size) = tokio::join!(
        ping(peer, PingKind::Disco { size: 0 }, dialer),
        ping(peer, PingKind::Tsmp, dialer),
        ping(peer, PingKind::Disco { size: FULL_SIZE }, dialer),
    );
    // A ping with a size goes over every way at once: what does not fit through the direct one comes back over DERP.
    let detour = matches!((&disco, &full_size), (Ok(Some(PongVia::Direct)), Ok(Some(PongVia::Derp { .. }))));
    PingEvidence {
        disco: outcome(disco),
        tunnel: outcome(tunnel),
        full_size: if detour { PingOutcome::Timeout } else { outcome(full_size) },
    }
}

/// The path of the pong, none if there was none, or an error if tailscaled did not send the ping.
async fn ping(peer: &TargetPeer, kind: PingKind, dialer: &Dialer) -> Result<Option<PongVia>, ()> {
    for _ in 0..2 {
        match timeout(WAIT, dialer.ping(peer.address, &peer.node_addresses, kind)).await {
            Ok(Ok(PingReply::Pong(pong))) => return Ok(Some(pong.via)),
            Ok(Ok(PingReply::Refused) | Err(_)) => return Err(()),
            Err(_) => {}
        }
    }
    Ok(None)
}

fn outcome(answer: Result<Option<PongVia>, ()>) -> PingOutcome {
    match answer {
        Ok(Some(_)) => PingOutcome::Reply,
        Ok(None) => PingOutcome::Timeout,
        Err(()) => PingOutcome::Inconclusive,
    }
}
