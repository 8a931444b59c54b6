//! The checks, and the evidence that a check passes.

use super::{Evidence, PingOutcome};
use crate::duration::{coarse, ms_text};
use crate::node::NodeState;
use crate::path::Sample;
use crate::reason::Reason;
use crate::slug::slug_enum;
use std::time::SystemTime;

slug_enum! {
    /// A check. Each needs all those before it.
    pub enum Check {
        /// tailscaled's socket exists and accepts connections.
        Socket = "socket",
        /// This user may use LocalAPI.
        Permission = "permission",
        /// tailscaled is Running and has an address.
        Backend = "backend_state",
        /// This node's own key is valid.
        OwnKey = "own_key",
        /// The target's name resolves to a machine of the tailnet.
        Name = "name",
        /// That machine is in the netmap.
        Netmap = "netmap",
        /// Its key is valid.
        PeerKey = "peer_key",
        /// Packets reach it and come back.
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
    /// Why the checks after this one were not tried when it failed.
    pub(super) const fn skip_reason(self) -> &'static str {
        match self {
            Self::Socket | Self::Permission | Self::Backend | Self::OwnKey => {
                "not tried: this pod reaches the tailnet only through its tailscaled"
            }
            Self::Name | Self::Netmap => "not tried: the target has no address",
            Self::PeerKey => "not tried: no packets pass to a node whose key has expired",
            Self::Path | Self::Tunnel => "not tried: no packet comes back",
            Self::Tcp | Self::Protocol => "not tried: there is no connection",
        }
    }

    /// Why there is no evidence for a check before the failed one.
    pub(super) fn unknown_reason(self, evidence: &Evidence<'_>) -> &'static str {
        match self {
            Self::Path if evidence.path == Some(&Sample::Idle) => "unknown: nothing was sent to it recently",
            Self::Path => "unknown: no ping was answered",
            Self::Name if evidence.node.is_fine() => "unknown: no node in the netmap has this name",
            Self::Protocol => "not tried: the target's depth is tcp",
            Self::Socket
            | Self::Permission
            | Self::Backend
            | Self::OwnKey
            | Self::Name
            | Self::Netmap
            | Self::PeerKey
            | Self::Tunnel
            | Self::Tcp => "unknown",
        }
    }

    /// The evidence that it passes; none if there is none.
    pub(super) fn passed_evidence(self, evidence: &Evidence<'_>) -> Option<String> {
        let facts = evidence.node.facts.as_ref();
        let peer = evidence.peer;
        let timings = evidence.timings;
        let reason = || evidence.outcome.err().map(|failure| failure.reason);
        match self {
            Self::Socket => {
                let absent = [Reason::NodeSocketMissing, Reason::NodeSocketRefused].map(Some).contains(&reason());
                (!absent).then(|| "tailscaled's socket accepts connections".to_owned())
            }
            Self::Permission if facts.is_some() => Some("LocalAPI answers this user".to_owned()),
            Self::Permission => {
                // A timeout means that the connection was permitted.
                let permitted =
                    [Reason::NodeLocalapiTimeout, Reason::NodeLocalapiInvalid].map(Some).contains(&reason());
                permitted.then(|| "this user may connect to the socket".to_owned())
            }
            Self::Backend if reason() == Some(Reason::NodeKeyExpired) => {
                Some("logged in, but its key has expired".to_owned())
            }
            Self::Backend => facts
                .filter(|_| evidence.node.state == NodeState::Running)
                .map(|facts| format!("Running in {} mode", facts.mode.name())),
            Self::OwnKey => facts.and_then(|facts| valid(facts.key_expiry, evidence.wall)),
            Self::Name => peer.map(|peer| format!("resolves to {} of {}", peer.address, peer.name)),
            Self::Netmap => peer.map(|peer| format!("{} is in the netmap", peer.name)),
            Self::PeerKey => peer.and_then(|peer| valid(peer.key_expiry, evidence.wall)),
            Self::Path => path(evidence),
            Self::Tunnel => tunnel(evidence),
            Self::Tcp => timings.connect.map(|took| format!("connected in {} via {}", ms_text(took), evidence.via)),
            Self::Protocol => timings
                .protocol
                .zip(evidence.outcome.ok())
                .map(|(took, proven)| format!("{proven} after {}", ms_text(took))),
        }
    }
}

fn valid(expiry: Option<SystemTime>, wall: SystemTime) -> Option<String> {
    let Some(expiry) = expiry else { return Some("never expires".to_owned()) };
    let left = expiry.duration_since(wall).ok()?;
    Some(format!("valid for {} more", coarse(left)))
}

fn path(evidence: &Evidence<'_>) -> Option<String> {
    let path = match evidence.path? {
        Sample::Direct => "direct".to_owned(),
        Sample::PeerRelay => "through a peer relay".to_owned(),
        Sample::Derp(region) => format!("through the relay server (DERP) {}", region.code),
        Sample::Idle | Sample::NoReply | Sample::NoPeer => return None,
    };
    Some(evidence.round_trip.map(|took| format!("{path}, round trip {}", ms_text(took))).unwrap_or(path))
}

fn tunnel(evidence: &Evidence<'_>) -> Option<String> {
    match (evidence.pings.map(|pings| pings.tunnel), evidence.timings.connect) {
        (Some(PingOutcome::Reply), _) => Some("the peer answers a TSMP ping".to_owned()),
        (_, Some(_)) => Some("carries the connection".to_owned()),
        (_, None) => None,
    }
}
