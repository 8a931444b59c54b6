//! The peer of a target, and what is observed of it.

use crate::path::Sample;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// The node that hosts a target, as the netmap shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetPeer {
    /// The node's stable id.
    pub id: String,
    /// The node's full MagicDNS name.
    pub name: String,
    /// Where to connect for the target: IPv4 if there is one.
    pub address: IpAddr,
    /// Every address of the target; MagicDNS may give no other.
    pub addresses: Vec<IpAddr>,
    /// The node's own addresses, which differ from the target's where that is a Tailscale Service.
    pub node_addresses: Vec<IpAddr>,
    /// Does the control plane show the node as online? A hint, never a verdict.
    pub online: bool,
    /// When its key expires; none where it never does.
    pub key_expiry: Option<SystemTime>,
}

/// The peer of a target and the path to it.
#[derive(Clone, Debug)]
pub struct PathObservation {
    /// The peer.
    pub peer: TargetPeer,
    /// The path to it.
    pub probe: PathProbe,
}

/// The result of probing a target's path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathProbe {
    /// For the path's tracker; none if the path is not known yet.
    pub sample: Option<Sample>,
    /// Round trip of a disco ping.
    pub round_trip: RoundTripSample,
}

/// The round trip of a disco ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoundTripSample {
    /// No ping was sent, or tailscaled did not send it.
    #[default]
    NotMeasured,
    /// No pong came.
    Missed,
    /// The time from ping to pong.
    Measured(Duration),
}

impl RoundTripSample {
    /// The round trip, if it was measured.
    pub const fn measured(self) -> Option<Duration> {
        match self {
            Self::Measured(took) => Some(took),
            Self::NotMeasured | Self::Missed => None,
        }
    }
}
