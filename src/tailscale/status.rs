//! The answer of `status`, read peer by peer.

use std::net::IpAddr;
use std::time::SystemTime;

/// What `status` says, as far as telltail reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// tailscaled's version, for example `1.102.5-t…`.
    pub version: String,
    /// TUN mode (true) or userspace networking (false).
    pub tun: bool,
    /// The backend state's word, for example `Running`.
    pub backend_state: String,
    /// The node itself.
    pub own: Own,
    /// The tailnet's MagicDNS suffix, lower case, without dots at its ends.
    pub suffix: Option<String>,
    /// Names that are not nodes, Tailscale Services among them; since 1.100.
    pub extra_records: Vec<ExtraRecord>,
    /// The peers that the caller asked to keep.
    pub peers: Vec<Peer>,
    /// Length of the answer in bytes.
    pub size: usize,
}

/// The node itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// The host name it gave itself.
    pub host_name: String,
    /// Its MagicDNS name, lower case, without trailing dot.
    pub dns_name: String,
    /// Its tailnet addresses.
    pub addresses: Vec<IpAddr>,
    /// Is a connection to the control plane open?
    pub online: bool,
    /// When its key expires; none where it never does.
    pub key_expiry: Option<SystemTime>,
}

/// A name that is not a node's.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraRecord {
    /// Fully qualified, lower case, without trailing dot.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// Another node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peer {
    /// Stable node id.
    pub id: String,
    /// MagicDNS name, lower case, without trailing dot.
    pub dns_name: String,
    /// Its tailnet addresses.
    pub addresses: Vec<IpAddr>,
}
