//! What a silent target is silent for: evidence in, reason out. No I/O.

use crate::reason::{Failure, Reason};

/// What the layers below TCP answered after a probe had met silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Below {
    /// A disco ping: the far tailscaled, by UDP or over DERP.
    pub disco: Seen,
    /// A TSMP ping: the tunnel, both ways, in front of the far side's packet filter.
    pub tunnel: Seen,
    /// A disco ping of the size of a full packet.
    pub full_size: Seen,
}

/// Whether a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Yes.
    Answer,
    /// No, and not a second time either.
    Silence,
    /// It could not be asked, or tailscaled itself answered why it would not.
    Untold,
}

impl Seen {
    /// The word in a cause.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answer => "answered",
            Self::Silence => "silent",
            Self::Untold => "not told",
        }
    }
}

impl Reason {
    /// Is it mere silence, of which the layers below can tell more?
    pub const fn is_silence(self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::ProtocolTimeout)
    }
}

/// Names a silence by what the layers below answered. Where they tell nothing it stays what it was.
pub fn name_silence(failure: Failure, below: Below) -> Failure {
    let reason = match (failure.reason, below.tunnel) {
        (Reason::ConnectTimeout, Seen::Silence) => Reason::ConnectTunnelDead,
        (Reason::ConnectTimeout, Seen::Answer) => Reason::ConnectDropped,
        (Reason::ProtocolTimeout, Seen::Silence) => Reason::ProtocolTunnelDead,
        (Reason::ProtocolTimeout, Seen::Answer) if below.disco == Seen::Answer && below.full_size == Seen::Silence => {
            Reason::ProtocolMtu
        }
        _ => return failure,
    };
    let words = [below.disco, below.tunnel, below.full_size].map(Seen::word);
    let [disco, tunnel, full_size] = words;
    let cause = format_args!("{}; disco {disco}, tunnel {tunnel}, full-size packet {full_size}", failure.cause);
    Failure::new(reason, cause)
}

#[cfg(test)]
mod tests {
    use super::Seen::{Answer, Silence, Untold};
    use super::*;

    fn named(reason: Reason, disco: Seen, tunnel: Seen, full_size: Seen) -> Reason {
        name_silence(Failure::new(reason, "3s"), Below { disco, tunnel, full_size }).reason
    }

    #[test]
    fn a_silent_connect_is_a_dead_tunnel_or_a_dropped_packet() {
        assert_eq!(named(Reason::ConnectTimeout, Silence, Silence, Silence), Reason::ConnectTunnelDead);
        assert_eq!(named(Reason::ConnectTimeout, Answer, Silence, Answer), Reason::ConnectTunnelDead);
        assert_eq!(named(Reason::ConnectTimeout, Answer, Answer, Answer), Reason::ConnectDropped);
    }

    #[test]
    fn a_silent_protocol_is_a_lost_packet_size_a_dead_tunnel_or_the_service() {
        assert_eq!(named(Reason::ProtocolTimeout, Answer, Answer, Silence), Reason::ProtocolMtu);
        assert_eq!(named(Reason::ProtocolTimeout, Silence, Silence, Silence), Reason::ProtocolTunnelDead);
        assert_eq!(named(Reason::ProtocolTimeout, Answer, Answer, Answer), Reason::ProtocolTimeout);
        assert_eq!(named(Reason::ProtocolTimeout, Untold, Answer, Silence), Reason::ProtocolTimeout);
    }

    #[test]
    fn without_evidence_and_for_what_is_no_silence_nothing_changes() {
        for seen in [Answer, Silence, Untold] {
            for reason in Reason::ALL.iter().filter(|reason| !reason.is_silence()) {
                assert_eq!(named(*reason, seen, seen, seen), *reason);
            }
        }
        assert_eq!(named(Reason::ConnectTimeout, Untold, Untold, Untold), Reason::ConnectTimeout);
    }
}
