//! One probe of the path to a target's peer: from `status`, which costs nothing, and by a disco ping only where `status` cannot tell.

use super::resolve::Resolved;
use crate::path::{DerpRegion, Sample};
use crate::peer::{PathProbe, RoundTripSample};
use crate::tailscale::{Dialer, Peer, PingKind, PingReply, Pong, PongVia};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longest wait for a pong. Over DERP across an ocean a pong takes 0.3 s; a path that is being lost answers nothing for
/// 5 to 7 s, so longer waits gain nothing.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The ping that shows the path and the round trip.
const PING: PingKind = PingKind::Disco { size: 0 };

/// Without a trusted address tailscaled pings over every path at once, and the pong through DERP can be the first although a
/// direct one comes a moment later (seen on 1.80.3 and 1.102.5). So a second ping, when those are in, decides.
const SECOND_PING: Duration = Duration::from_millis(300);

/// Where a disco ping is sent, beside where something was sent and `status` cannot tell the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingPolicy {
    /// Where `status` tells the path, for the round trip.
    pub round_trip: bool,
    /// To an idle peer, because a probe wakes it anyway.
    pub wake: bool,
}

/// A peer's path, as `status` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPath {
    /// A UDP address is trusted.
    Direct,
    /// A peer relay is trusted.
    PeerRelay,
    /// Something is sent, and nothing is trusted: DERP, or discovery under way.
    Undecided,
    /// Nothing was sent recently.
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
            Self::Undecided
        }
    }

    /// The sample that it is; none where only a ping can tell.
    pub const fn sample(self) -> Option<Sample> {
        match self {
            Self::Direct => Some(Sample::Direct),
            Self::PeerRelay => Some(Sample::PeerRelay),
            Self::Undecided => None,
            Self::Idle => Some(Sample::Idle),
        }
    }

    /// Is a ping to be sent?
    pub const fn needs_ping(self, policy: PingPolicy) -> bool {
        match self {
            Self::Direct | Self::PeerRelay => policy.round_trip,
            Self::Undecided => true,
            Self::Idle => policy.wake,
        }
    }
}

/// Finds out the path to the target's node.
pub async fn probe_path(resolved: &Resolved, policy: PingPolicy, dialer: &Dialer) -> PathProbe {
    if !resolved.path.needs_ping(policy) {
        return PathProbe { sample: resolved.path.sample(), round_trip: RoundTripSample::NotMeasured };
    }
    // A peer that is woken is idle no more.
    let sample = resolved.path.sample().filter(|sample| *sample != Sample::Idle);
    let peer = &resolved.peer;
    let ping = || timeout(PING_TIMEOUT, dialer.ping(peer.address, &peer.node_addresses, PING));
    let mut answer = ping().await;
    if sample.is_none()
        && let Ok(Ok(PingReply::Pong(Pong { via: PongVia::Derp { .. }, .. }))) = answer
    {
        sleep(SECOND_PING).await;
        if let second @ Ok(Ok(PingReply::Pong(_))) = ping().await {
            answer = second;
        }
    }
    match answer {
        Err(_) => PathProbe { sample: sample.or(Some(Sample::NoReply)), round_trip: RoundTripSample::Missed },
        Ok(Ok(PingReply::Pong(pong))) => {
            PathProbe { sample: sample.or(pong_sample(pong.via)), round_trip: RoundTripSample::Measured(pong.latency) }
        }
        // The local tailscaled refused, for example because it does not know the peer's key yet: no evidence.
        Ok(Ok(PingReply::Refused) | Err(_)) => PathProbe { sample, round_trip: RoundTripSample::NotMeasured },
    }
}

/// The path that a pong proves; none if it does not tell.
pub fn pong_sample(via: PongVia) -> Option<Sample> {
    match via {
        PongVia::Direct => Some(Sample::Direct),
        PongVia::PeerRelay => Some(Sample::PeerRelay),
        PongVia::Derp { region_id, region_code } => Some(Sample::Derp(DerpRegion { id: region_id, code: region_code })),
        PongVia::Unreported => None,
    }
}
