//! Pings of the layers below TCP, after a probe has timed out; and of other peers, where the target's machine is silent.

use super::witness::Witness;
use crate::diagnose::{PingEvidence, PingOutcome, Testimony};
use crate::peer::TargetPeer;
use crate::tailscale::{Dialer, FULL_SIZE, PingKind, PingReply, PongVia};
use futures_util::future::join_all;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for one pong; each ping is sent twice, so that one lost packet proves nothing.
const WAIT: Duration = Duration::from_secs(1);

const SMALL: PingKind = PingKind::Disco { size: 0 };

/// The path of the pong, none if there was none, or an error if tailscaled did not send the ping.
type PingAnswer = Result<Option<PongVia>, ()>;
const NO_REPLY: PingAnswer = Ok(None);

/// Sends all three pings side by side, and again those without a reply. `witnesses` runs beside the second ones, so that it costs
/// a second more at most, and only if neither disco nor TSMP has an answer by then.
pub async fn gather(peer: &TargetPeer, witnesses: impl Future<Output = Testimony>, dialer: &Dialer) -> PingEvidence {
    let first = ping_layers(peer, [NO_REPLY; 3], dialer).await;
    let silent = matches!(first, [NO_REPLY, NO_REPLY, _]);
    let witnesses = async { if silent { witnesses.await } else { Testimony::NotAsked } };
    let ([disco, tunnel, full_size], witnesses) = tokio::join!(ping_layers(peer, first, dialer), witnesses);
    // A ping with a size goes over every way at once: what does not fit through the direct one comes back over DERP.
    let detour = matches!((&disco, &full_size), (Ok(Some(PongVia::Direct)), Ok(Some(PongVia::Derp { .. }))));
    PingEvidence {
        disco: outcome(&disco),
        tunnel: outcome(&tunnel),
        full_size: if detour { PingOutcome::Timeout } else { outcome(&full_size) },
        witnesses,
    }
}

/// Pings the witnesses side by side. What tailscaled refuses to send proves nothing.
pub async fn ask(witnesses: &[Witness], dialer: &Dialer) -> Testimony {
    let ask = async |witness: &Witness| {
        let first = ping(witness.address, &witness.addresses, NO_REPLY, SMALL, dialer).await;
        ping(witness.address, &witness.addresses, first, SMALL, dialer).await
    };
    let answers = join_all(witnesses.iter().map(ask)).await;
    let names = |wanted: PingOutcome| {
        let found = witnesses.iter().zip(&answers).filter(move |(_, answer)| outcome(answer) == wanted);
        found.map(|(witness, _)| witness.name.clone())
    };
    let silent: Vec<_> = names(PingOutcome::Timeout).collect();
    match names(PingOutcome::Reply).next() {
        Some(name) => Testimony::Answered(name),
        None if silent.is_empty() => Testimony::NotAsked,
        None => Testimony::Silent(silent),
    }
}

/// Disco, TSMP and a disco ping of full size, where the answers `before` lack a reply.
async fn ping_layers(peer: &TargetPeer, before: [PingAnswer; 3], dialer: &Dialer) -> [PingAnswer; 3] {
    let [disco, tunnel, full_size] = before;
    let ping = |before, kind| ping(peer.address, &peer.node_addresses, before, kind, dialer);
    let full = PingKind::Disco { size: FULL_SIZE };
    tokio::join!(ping(disco, SMALL), ping(tunnel, PingKind::Tsmp), ping(full_size, full)).into()
}

/// Sends a ping, unless the answer `before` has more than no reply.
async fn ping(address: IpAddr, peer: &[IpAddr], before: PingAnswer, kind: PingKind, dialer: &Dialer) -> PingAnswer {
    if before != NO_REPLY {
        return before;
    }
    match timeout(WAIT, dialer.ping(address, peer, kind)).await {
        Ok(Ok(PingReply::Pong(pong))) => Ok(Some(pong.via)),
        Ok(Ok(PingReply::Refused) | Err(_)) => Err(()),
        Err(_) => NO_REPLY,
    }
}

fn outcome(answer: &PingAnswer) -> PingOutcome {
    match answer {
        Ok(Some(_)) => PingOutcome::Reply,
        Ok(None) => PingOutcome::Timeout,
        Err(()) => PingOutcome::Inconclusive,
    }
}
