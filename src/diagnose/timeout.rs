//! Refines the reason of a timeout by pings. No I/O.

use crate::reason::{Failure, Reason};

/// Pings of the layers below TCP after a probe has timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingEvidence {
    /// A disco ping: the far tailscaled, by UDP or over DERP.
    pub disco: PingOutcome,
    /// A TSMP ping: the tunnel, both ways, in front of the far side's packet filter.
    pub tunnel: PingOutcome,
    /// A disco ping of the size of a full packet.
    pub full_size: PingOutcome,
}

/// The outcome of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingOutcome {
    /// A reply came.
    Reply,
    /// No reply, twice.
    Timeout,
    /// It could not be sent, or the local tailscaled refused.
    Inconclusive,
}

impl PingOutcome {
    /// The word in a cause.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reply => "answered",
            Self::Timeout => "no reply",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// Refines a timeout by pings. Where they are inconclusive it stays unchanged.
pub fn refine_timeout(failure: Failure, pings: PingEvidence) -> Failure {
    let reason = match (failure.reason, pings.tunnel) {
        (Reason::ConnectTimeout, PingOutcome::Timeout) => Reason::ConnectTunnelDead,
        (Reason::ConnectTimeout, PingOutcome::Reply) => Reason::ConnectDropped,
        (Reason::ProtocolTimeout, PingOutcome::Timeout) => Reason::ProtocolTunnelDead,
        (Reason::ProtocolTimeout, PingOutcome::Reply)
            if pings.disco == PingOutcome::Reply && pings.full_size == PingOutcome::Timeout =>
        {
            Reason::ProtocolMtu
        }
        _ => return failure,
    };
    let words = [pings.disco, pings.tunnel, pings.full_size].map(PingOutcome::word);
    let [disco, tunnel, full_size] = words;
    let cause = format_args!("{}; disco {disco}, tunnel {tunnel}, full-size packet {full_size}", failure.cause);
    Failure::new(reason, cause)
}

#[cfg(test)]
mod tests {
    use super::PingOutcome::{Inconclusive, Reply, Timeout};
    use super::*;

    fn named(reason: Reason, disco: PingOutcome, tunnel: PingOutcome, full_size: PingOutcome) -> Reason {
        refine_timeout(Failure::new(reason, "3s"), PingEvidence { disco, tunnel, full_size }).reason
    }

    #[test]
    fn a_connect_timeout_is_a_dead_tunnel_or_a_dropped_packet() {
        assert_eq!(named(Reason::ConnectTimeout, Timeout, Timeout, Timeout), Reason::ConnectTunnelDead);
        assert_eq!(named(Reason::ConnectTimeout, Reply, Timeout, Reply), Reason::ConnectTunnelDead);
        assert_eq!(named(Reason::ConnectTimeout, Reply, Reply, Reply), Reason::ConnectDropped);
    }

    #[test]
    fn a_protocol_timeout_is_a_lost_packet_size_a_dead_tunnel_or_the_service() {
        assert_eq!(named(Reason::ProtocolTimeout, Reply, Reply, Timeout), Reason::ProtocolMtu);
        assert_eq!(named(Reason::ProtocolTimeout, Timeout, Timeout, Timeout), Reason::ProtocolTunnelDead);
        assert_eq!(named(Reason::ProtocolTimeout, Reply, Reply, Reply), Reason::ProtocolTimeout);
        assert_eq!(named(Reason::ProtocolTimeout, Inconclusive, Reply, Timeout), Reason::ProtocolTimeout);
    }

    #[test]
    fn without_evidence_and_without_a_timeout_nothing_changes() {
        for seen in [Reply, Timeout, Inconclusive] {
            for reason in Reason::ALL.iter().filter(|reason| !reason.is_timeout()) {
                assert_eq!(named(*reason, seen, seen, seen), *reason);
            }
        }
        assert_eq!(named(Reason::ConnectTimeout, Inconclusive, Inconclusive, Inconclusive), Reason::ConnectTimeout);
    }
}
