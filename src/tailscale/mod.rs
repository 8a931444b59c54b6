//! LocalAPI, tailscaled's HTTP interface on a unix socket: the calls that telltail makes and the fields that it reads.

mod bus;
mod call;
mod derpmap;
mod dial;
mod json_splitter;
mod malformed_json;
mod peer_routes;
mod ping;
mod prefix;
mod prefs;
mod socket;
mod status;
mod status_reader;
mod version;
mod warning;

pub use bus::{BusEvent, IpnBus, MASK};
pub use call::{Call, CallObserver, CallResult};
pub use ping::{FULL_SIZE, PingKind, PingReply, Pong, PongVia};
pub use prefix::{CGNAT, IpPrefix, TAILSCALE_ULA, VIA_RANGE, is_tailnet_address};
pub use prefs::Prefs;
pub use socket::SOCKETS;
pub use status::{ExtraRecord, Peer, SelfNode, Status};
pub use status_reader::KeepPeer;
pub use version::{NEWEST_TESTED, OLDEST_TESTED, is_at_least};
pub use warning::{Severity, Warning};

use crate::http::Connection;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// Where tailscaled answers DNS questions in TUN mode (Tailscale's "quad 100").
pub const MAGIC_DNS_IPV4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 100);
/// The same for nodes without an IPv4 address (`TailscaleServiceIPv6String` in tailscale's net/tsaddr).
pub const MAGIC_DNS_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0x53);

/// A client of the local tailscaled. It keeps one connection for reading.
pub struct LocalApi {
    dialer: Dialer,
    kept: Option<Connection>,
}

/// The calls that run side by side: each opens its own connection.
#[derive(Clone)]
pub struct Dialer {
    sockets: Vec<PathBuf>,
    observer: CallObserver,
}

impl LocalApi {
    /// A client for `socket`, or for the two usual places.
    pub fn new(socket: Option<PathBuf>, observer: CallObserver) -> Self {
        let sockets = match socket {
            Some(socket) => vec![socket],
            None => SOCKETS.iter().map(PathBuf::from).collect(),
        };
        Self { dialer: Dialer { sockets, observer }, kept: None }
    }

    /// The part of the client for dials, pings and the IPN bus.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }
}
