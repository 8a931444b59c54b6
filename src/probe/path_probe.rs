//! One look at the path to a target's node: what `status` tells for nothing, and a disco ping only where it cannot tell.

use super::resolve::Resolved;
use crate::path::{DerpRegion, Sample};
use crate::tailscale::{Dialer, Peer, PingKind, PingReply, Pong, PongVia};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longest wait for a pong. Over DERP across an ocean a pong takes 0.3 s; a path that is just being lost answers nothing for
/// 5 to 7 s, so longer waits gain nothing.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What tells the path and the round trip.
const PING: PingKind = PingKind::Disco { size: 0 };

/// Without a trusted address tailscaled asks over every way at once, and the pong through DERP can be the first although a
/// direct one comes a moment later (seen on 1.80.3 and 1.102.5). So a second ping, when those are in, decides.
const SECOND_PING: Duration = Duration::from_millis(300);

/// What was seen of a target's path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathProbe {
    /// For the path's tracker; none if it was not looked for or cannot be told yet.
    pub sample: Option<Sample>,
    /// Round trip of a disco ping, or that it was missed; none if none was sent.
    pub round_trip: Option<Option<Duration>>,
}

/// What `status` tells of a peer's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPath {
    /// A UDP address is trusted.
    Direct,
    /// A peer relay is trusted.
    PeerRelay,
    /// Something is sent, and nothing is trusted: DERP, or discovery under way.
    Nothing,
    /// Nothing was sent lately.
    Idle,
}

impl StatusPath {
    /// Reads a peer of `status`. A trusted address outlives the last packet by some seconds, in which it is of no use.
    pub fn of(peer: &Peer) -> Self {
        if !peer.active {
            Self::Idle
        } else if !peer.cur_addr.is_empty() {
            Self::Direct
        } else if !peer.peer_relay.is_empty() {
            Self::PeerRelay
        } else {
            Self::Nothing
        }
    }

    /// What it is worth by itself; none where only a ping can tell.
    pub const fn sample(self) -> Option<Sample> {
        match self {
            Self::Direct => Some(Sample::Direct),
            Self::PeerRelay => Some(Sample::PeerRelay),
            Self::Nothing => None,
            Self::Idle => Some(Sample::Idle),
        }
    }

    /// Is a ping worth its price? Never for an idle peer: it would wake it.
    pub fn asks_for_ping(self, sample_wanted: bool, round_trip_wanted: bool) -> bool {
        match self {
            Self::Direct | Self::PeerRelay => round_trip_wanted,
            Self::Nothing => sample_wanted,
            Self::Idle => false,
        }
    }
}

/// Looks at the path to the node that was resolved. `sample_wanted` allows a ping where `status` cannot tell,
/// `round_trip_wanted` one where it can.
pub async fn probe_path(
    resolved: &Resolved<'_>,
    sample_wanted: bool,
    round_trip_wanted: bool,
    dialer: &Dialer,
) -> PathProbe {
    let told = StatusPath::of(resolved.peer);
    let sample = told.sample();
    if !told.asks_for_ping(sample_wanted, round_trip_wanted) {
        return PathProbe { sample, round_trip: None };
    }
    let ping = || timeout(PING_TIMEOUT, dialer.ping(resolved.address, &resolved.peer.addresses, PING));
    let mut answer = ping().await;
    if told == StatusPath::Nothing
        && let Ok(Ok(PingReply::Pong(Pong { via: PongVia::Derp { .. }, .. }))) = answer
    {
        sleep(SECOND_PING).await;
        if let second @ Ok(Ok(PingReply::Pong(_))) = ping().await {
            answer = second;
        }
    }
    match answer {
        Err(_) => PathProbe { sample: sample.or(Some(Sample::Silent)), round_trip: Some(None) },
        Ok(Ok(PingReply::Pong(pong))) => {
            PathProbe { sample: sample.or(seen(pong.via)), round_trip: Some(Some(pong.latency)) }
        }
        // Said by the local tailscaled, for example that it does not know the peer's key yet: nothing to judge by.
        Ok(Ok(PingReply::Refused) | Err(_)) => PathProbe { sample, round_trip: None },
    }
}

/// What the way of a pong is worth; none if it does not tell.
pub fn seen(via: PongVia) -> Option<Sample> {
    match via {
        PongVia::Direct => Some(Sample::Direct),
        PongVia::PeerRelay => Some(Sample::PeerRelay),
        PongVia::Derp { region_id, region_code } => Some(Sample::Derp(DerpRegion { id: region_id, code: region_code })),
        PongVia::Unreported => None,
    }
}
