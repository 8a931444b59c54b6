//! The checks, and what shows that one holds.

use super::{Evidence, PingOutcome};
use crate::node::NodeState;
use crate::path::Sample;
use crate::reason::Reason;
use crate::slug::slug_enum;
use std::time::{Duration, SystemTime};

slug_enum! {
    /// A check of the ladder, each of which needs those below it.
    pub enum Check {
        /// tailscaled's socket is there, and somebody listens.
        Socket = "socket",
        /// It lets us ask.
        Permission = "permission",
        /// tailscaled answers, and is Running with an address.
        Backend = "backend_state",
        /// This node's own key is valid.
        OwnKey = "own_key",
        /// The target's name stands for a machine of the tailnet.
        Name = "name",
        /// That machine is in the netmap.
        Netmap = "netmap",
        /// Its key is valid.
        PeerKey = "peer_key",
        /// Packets find a way to it and back.
        Path = "path",
        /// The tunnel to it carries packets.
        Tunnel = "tunnel",
        /// Its TCP port answers.
        Tcp = "tcp",
        /// The service answers.
        Protocol = "protocol",
    }
}

impl Check {
    /// Why nothing above this check was tried, where it is broken.
    pub(super) const fn bars(self) -> &'static str {
        match self {
            Self::Socket | Self::Permission | Self::Backend | Self::OwnKey => {
                "not tried: without its tailscaled nothing leaves this pod"
            }
            Self::Name | Self::Netmap => "not tried: there is no address to go to",
            Self::PeerKey => "not tried: no machine accepts packets of one whose key has expired",
            Self::Path | Self::Tunnel => "not tried: no packet comes back",
            Self::Tcp | Self::Protocol => "not tried: there is no connection",
        }
    }

    /// Why there is nothing to show for a check below the broken one.
    pub(super) fn untold(self, evidence: &Evidence<'_>) -> &'static str {
        match self {
            Self::Path if evidence.path == Some(&Sample::Idle) => "not told: nothing was sent to it lately",
            Self::Path => "not told: no ping was answered",
            Self::Name if evidence.node.is_fine() => "not told: nobody in the netmap carries it",
            Self::Protocol => "not tried: the target's depth is tcp",
            Self::Socket
            | Self::Permission
            | Self::Backend
            | Self::OwnKey
            | Self::Name
            | Self::Netmap
            | Self::PeerKey
            | Self::Tunnel
            | Self::Tcp => "not told",
        }
    }

    /// What shows that it holds; none where nothing does.
    pub(super) fn shown(self, evidence: &Evidence<'_>) -> Option<String> {
        let facts = evidence.node.facts.as_ref();
        let peer = evidence.peer;
        let timings = evidence.timings;
        let asked = || evidence.outcome.err().map(|failure| failure.reason);
        match self {
            Self::Socket => {
                let absent = [Reason::NodeSocketMissing, Reason::NodeSocketRefused].map(Some).contains(&asked());
                (!absent).then(|| "somebody listens on tailscaled's socket".to_owned())
            }
            Self::Permission if facts.is_some() => Some("LocalAPI answers this user".to_owned()),
            Self::Permission => {
                // Whoever is kept waiting was let in.
                let let_in = [Reason::NodeLocalapiTimeout, Reason::NodeLocalapiInvalid].map(Some).contains(&asked());
                let_in.then(|| "the socket lets this user connect".to_owned())
            }
            Self::Backend if asked() == Some(Reason::NodeKeyExpired) => {
                Some("would be Running but for its key".to_owned())
            }
            Self::Backend => facts.filter(|_| evidence.node.state == NodeState::Running).map(|facts| {
                let mode = if facts.tun { "TUN" } else { "userspace" };
                format!("Running in {mode} mode")
            }),
            Self::OwnKey => facts.and_then(|facts| valid(facts.key_expiry, evidence.wall)),
            Self::Name => peer.map(|peer| format!("stands for {} of {}", peer.address, peer.name)),
            Self::Netmap => peer.map(|peer| format!("{} is in the netmap", peer.name)),
            Self::PeerKey => peer.and_then(|peer| valid(peer.key_expiry, evidence.wall)),
            Self::Path => way(evidence),
            Self::Tunnel => tunnel(evidence),
            Self::Tcp => timings.connect.map(|took| format!("connected in {} via {}", ms(took), evidence.via)),
            Self::Protocol => {
                timings.protocol.zip(evidence.outcome.ok()).map(|(took, proven)| format!("{proven} after {}", ms(took)))
            }
        }
    }
}

fn valid(expiry: Option<SystemTime>, wall: SystemTime) -> Option<String> {
    let Some(expiry) = expiry else { return Some("never expires".to_owned()) };
    let left = expiry.duration_since(wall).ok()?;
    Some(format!("valid for {} more", humanize(left)))
}

fn way(evidence: &Evidence<'_>) -> Option<String> {
    let way = match evidence.path? {
        Sample::Direct => "direct".to_owned(),
        Sample::PeerRelay => "through a peer relay".to_owned(),
        Sample::Derp(region) => format!("through the relay server (DERP) {}", region.code),
        Sample::Idle | Sample::Silent | Sample::Gone => return None,
    };
    Some(evidence.round_trip.map(|took| format!("{way}, {} there and back", ms(took))).unwrap_or(way))
}

fn tunnel(evidence: &Evidence<'_>) -> Option<String> {
    match (evidence.pings.map(|pings| pings.tunnel), evidence.timings.connect) {
        (Some(PingOutcome::Reply), _) => Some("the far tailscaled answers inside it (TSMP)".to_owned()),
        (_, Some(_)) => Some("carries the connection".to_owned()),
        (_, None) => None,
    }
}

/// Milliseconds as a person reads them.
pub fn ms(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

/// A time to come as a person plans with it: days, or hours on the last two.
pub fn humanize(left: Duration) -> String {
    const HOUR: u64 = 60 * 60;
    match left.as_secs() {
        seconds if seconds >= 48 * HOUR => format!("{} days", seconds / (24 * HOUR)),
        seconds if seconds >= HOUR => format!("{} hours", seconds / HOUR),
        seconds => format!("{} minutes", seconds / 60),
    }
}
