//! What a silent target is silent for: evidence in, reason out. No I/O.

use crate::reason::{Failure, Reason};

/// What the layers below TCP answered after a probe had met silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingEvidence {
    /// A disco ping: the far tailscaled, by UDP or over DERP.
    pub disco: PingOutcome,
    /// A TSMP ping: the tunnel, both ways, in front of the far side's packet filter.
    pub tunnel: PingOutcome,
    /// A disco ping of the size of a full packet.
    pub full_size: PingOutcome,
}

/// Whether a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingOutcome {
    /// Yes.
    Reply,
    /// No, and not a second time either.
    Timeout,
    /// It could not be asked, or tailscaled itself answered why it would not.
    Inconclusive,
}

impl PingOutcome {
    /// The word in a cause.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reply => "answered",
            Self::Timeout => "silent",
            Self::Inconclusive => "not told",
        }
    }
}

/// Names a silence by what the layers below answered. Where they tell nothing it stays what it was.
pub fn refine_timeout(failure: Failure, below: PingEvidence) -> Failure {
    let reason = match (failure.reason, below.tunnel) {
        (Reason::ConnectTimeout, PingOutcome::Timeout) => Reason::ConnectTunnelDead,
        (Reason::ConnectTimeout, PingOutcome::Reply) => Reason::ConnectDropped,
        (Reason::ProtocolTimeout, PingOutcome::Timeout) => Reason::ProtocolTunnelDead,
        (Reason::ProtocolTimeout, PingOutcome::Reply)
            if below.disco == PingOutcome::Reply && below.full_size == PingOutcome::Timeout =>
        {
            Reason::ProtocolMtu
        }
        _ => return failure,
    };
    let words = [below.disco, below.tunnel, below.full_size].map(PingOutcome::word);
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
    fn a_silent_connect_is_a_dead_tunnel_or_a_dropped_packet() {
        assert_eq!(named(Reason::ConnectTimeout, Timeout, Timeout, Timeout), Reason::ConnectTunnelDead);
        assert_eq!(named(Reason::ConnectTimeout, Reply, Timeout, Reply), Reason::ConnectTunnelDead);
        assert_eq!(named(Reason::ConnectTimeout, Reply, Reply, Reply), Reason::ConnectDropped);
    }

    #[test]
    fn a_silent_protocol_is_a_lost_packet_size_a_dead_tunnel_or_the_service() {
        assert_eq!(named(Reason::ProtocolTimeout, Reply, Reply, Timeout), Reason::ProtocolMtu);
        assert_eq!(named(Reason::ProtocolTimeout, Timeout, Timeout, Timeout), Reason::ProtocolTunnelDead);
        assert_eq!(named(Reason::ProtocolTimeout, Reply, Reply, Reply), Reason::ProtocolTimeout);
        assert_eq!(named(Reason::ProtocolTimeout, Inconclusive, Reply, Timeout), Reason::ProtocolTimeout);
    }

    #[test]
    fn without_evidence_and_for_what_is_no_silence_nothing_changes() {
        for seen in [Reply, Timeout, Inconclusive] {
            for reason in Reason::ALL.iter().filter(|reason| !reason.is_timeout()) {
                assert_eq!(named(*reason, seen, seen, seen), *reason);
            }
        }
        assert_eq!(named(Reason::ConnectTimeout, Inconclusive, Inconclusive, Inconclusive), Reason::ConnectTimeout);
    }
}
