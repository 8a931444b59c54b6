//! Refines the reason of a timeout by pings. No I/O.

use crate::config::first_label;
use crate::reason::{Failure, Reason};

/// Pings of the layers below TCP after a probe has timed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingEvidence {
    /// A disco ping: the far tailscaled, by UDP or over DERP.
    pub disco: PingOutcome,
    /// A TSMP ping: the tunnel, both ways, in front of the far side's packet filter.
    pub tunnel: PingOutcome,
    /// A disco ping of the size of a full packet.
    pub full_size: PingOutcome,
    /// Whether this node reaches other peers, where the target's machine is silent altogether.
    pub witnesses: Testimony,
}

/// What other peers tell of this node's own connection to the tailnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Testimony {
    /// None was asked: the target's machine answered, or no peer was in touch with this node.
    NotAsked,
    /// This one answered, so this node is connected.
    Answered(String),
    /// None of these answered.
    Silent(Vec<String>),
}

impl Testimony {
    /// The words in a cause.
    fn words(&self) -> String {
        match self {
            Self::NotAsked => String::new(),
            Self::Answered(name) => format!("; {} answered", first_label(name)),
            Self::Silent(names) => {
                let names: Vec<_> = names.iter().map(|name| first_label(name)).collect();
                format!("; no reply from {} either", names.join(" or "))
            }
        }
    }
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
pub fn refine_timeout(failure: Failure, pings: &PingEvidence) -> Failure {
    let reason = match (failure.reason, pings.tunnel) {
        (Reason::ConnectTimeout, PingOutcome::Timeout)
            if pings.disco == PingOutcome::Timeout && matches!(pings.witnesses, Testimony::Silent(_)) =>
        {
            Reason::ConnectIsolated
        }
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
    let cause = format_args!(
        "{}; disco {disco}, tunnel {tunnel}, full-size packet {full_size}{}",
        failure.cause,
        pings.witnesses.words()
    );
    Failure::new(reason, cause)
}

#[cfg(test)]
mod tests {
    use super::PingOutcome::{Inconclusive, Reply, Timeout};
    use super::*;
    use crate::reason::Scope;

    fn named(reason: Reason, disco: PingOutcome, tunnel: PingOutcome, full_size: PingOutcome) -> Reason {
        let pings = PingEvidence { disco, tunnel, full_size, witnesses: Testimony::NotAsked };
        refine_timeout(Failure::new(reason, "3s"), &pings).reason
    }

    #[test]
    fn silent_witnesses_isolate_this_node_and_one_that_answers_blames_the_targets_machine() {
        let silent = || Testimony::Silent(vec!["cache.tail1.ts.net".to_owned(), "metrics.tail1.ts.net".to_owned()]);
        let refined = |reason, disco, tunnel, witnesses| {
            let pings = PingEvidence { disco, tunnel, full_size: Timeout, witnesses };
            let failure = refine_timeout(Failure::new(reason, "3s"), &pings);
            (failure.reason, failure.cause.split("full-size packet no reply").nth(1).unwrap_or_default().to_owned())
        };
        let said = |text: &str| text.to_owned();
        assert_eq!(
            refined(Reason::ConnectTimeout, Timeout, Timeout, silent()),
            (Reason::ConnectIsolated, said("; no reply from cache or metrics either"))
        );
        assert_eq!(Reason::ConnectIsolated.scope(), Scope::Path);
        let answered = Testimony::Answered("cache.tail1.ts.net".to_owned());
        assert_eq!(
            refined(Reason::ConnectTimeout, Timeout, Timeout, answered),
            (Reason::ConnectTunnelDead, said("; cache answered"))
        );
        assert_eq!(
            refined(Reason::ConnectTimeout, Timeout, Timeout, Testimony::NotAsked),
            (Reason::ConnectTunnelDead, said(""))
        );
        // A target that answers at all, or answered a moment ago, shows that this node is connected.
        assert_eq!(refined(Reason::ConnectTimeout, Reply, Timeout, silent()).0, Reason::ConnectTunnelDead);
        assert_eq!(refined(Reason::ConnectTimeout, Reply, Reply, silent()).0, Reason::ConnectDropped);
        assert_eq!(refined(Reason::ConnectTimeout, Inconclusive, Timeout, silent()).0, Reason::ConnectTunnelDead);
        assert_eq!(refined(Reason::ProtocolTimeout, Timeout, Timeout, silent()).0, Reason::ProtocolTunnelDead);
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
