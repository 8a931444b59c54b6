//! The peer of a target: the node that carries it.

use std::net::IpAddr;
use std::time::SystemTime;

/// The node that carries a target, as the netmap shows it.
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
