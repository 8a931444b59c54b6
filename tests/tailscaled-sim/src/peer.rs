//! Who else is in the tailnet.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Of a disco ping on one machine, about.
const LATENCY: Duration = Duration::from_micros(300);

/// A node of the tailnet other than our own. All fields may be changed in flight, see `Tailscaled::update_peer`.
#[derive(Clone, Debug)]
pub struct Peer {
    /// First label of its MagicDNS name, and what the test calls it.
    pub name: String,
    /// What its machine calls itself; need not be unique.
    pub host_name: String,
    /// Addresses. Others than Tailscale's are allowed, so that tests in TUN mode can dial them for real.
    pub ips: Vec<IpAddr>,
    /// Routed to it beside its own addresses: subnets, service addresses.
    pub allowed_ips: Vec<String>,
    /// What control says. A hint in reality, and so here: it changes nothing about dials.
    pub online: bool,
    /// Its node key expired.
    pub expired: bool,
    /// When its node key expires; `None` means never.
    pub key_expiry: Option<SystemTime>,
    /// ACL tags.
    pub tags: Vec<String>,
    /// Trusted UDP address: traffic flows directly.
    pub cur_addr: String,
    /// Code of its home DERP region; set whether or not DERP is used.
    pub relay: String,
    /// Trusted path through a peer relay (1.86 and later show it).
    pub peer_relay: String,
    /// Something was sent to it in the last 45 s.
    pub active: bool,
    /// When it last answered a WireGuard handshake; without it, now while something is sent to it.
    pub last_handshake: Option<SystemTime>,
    /// Nothing that is dialled answers: an ACL that drops, which pings pass.
    pub silent: bool,
    /// Nothing at all comes back: a frozen machine.
    pub frozen: bool,
    /// Whether the part of tailscaled that sends knows it; not so for a moment after a start.
    pub ready: bool,
    /// Time from a ping to its answer.
    pub latency: Duration,
    /// Size of the largest ping that gets through by UDP: a way whose MTU is smaller than what tailscaled takes it for.
    pub largest_udp: Option<usize>,
    /// The address in a pong's `NodeIP` instead of its own: of a router whose route covers it.
    pub answers_as: Option<IpAddr>,
    /// Bytes of padding in its CapMap, for large netmaps.
    pub cap_padding: usize,
    /// Given when the peer is added.
    pub(crate) id: i64,
}

impl Peer {
    /// A peer that is online, idle, untagged, and has no address yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Peer {
            name: name.to_owned(),
            host_name: name.to_owned(),
            ips: Vec::new(),
            allowed_ips: Vec::new(),
            online: true,
            expired: false,
            key_expiry: None,
            tags: Vec::new(),
            cur_addr: String::new(),
            relay: "nyc".to_owned(),
            peer_relay: String::new(),
            active: false,
            last_handshake: None,
            silent: false,
            frozen: false,
            ready: true,
            latency: LATENCY,
            largest_udp: None,
            answers_as: None,
            cap_padding: 0,
            id: 0,
        }
    }

    /// One more address.
    #[must_use]
    pub fn ip(mut self, ip: &str) -> Self {
        self.ips.push(parse_ip(ip));
        self
    }

    /// One more ACL tag, with its `tag:`.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    /// One more prefix that is routed to it.
    #[must_use]
    pub fn allowed_ip(mut self, prefix: &str) -> Self {
        self.allowed_ips.push(prefix.to_owned());
        self
    }

    /// Control calls it offline.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.online = false;
        self
    }

    /// Its node key expires at `time`.
    #[must_use]
    pub fn expires(mut self, time: SystemTime) -> Self {
        self.key_expiry = Some(time);
        self
    }

    /// Whether a dial to it gets no answer.
    pub(crate) fn mute(&self) -> bool {
        self.silent || self.frozen
    }

    /// Traffic flows directly to this UDP address.
    pub fn go_direct(&mut self, address: &str) {
        (self.cur_addr, self.peer_relay, self.active) = (address.to_owned(), String::new(), true);
    }

    /// Traffic flows through the peer's home DERP region.
    pub fn go_derp(&mut self, region: &str) {
        (self.cur_addr, self.peer_relay, self.active) = (String::new(), String::new(), true);
        region.clone_into(&mut self.relay);
    }

    /// Traffic flows through a peer relay, say `10.99.0.31:40000:vni:1`.
    pub fn go_peer_relay(&mut self, address: &str) {
        (self.cur_addr, self.peer_relay, self.active) = (String::new(), address.to_owned(), true);
    }

    /// Nothing was sent for a while.
    pub fn go_idle(&mut self) {
        (self.cur_addr, self.peer_relay, self.active) = (String::new(), String::new(), false);
    }
}

/// A Tailscale Service: a name with an address of its own, carried by a peer.
#[derive(Clone, Debug)]
pub struct Service {
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    pub(crate) host: String,
}

impl Service {
    /// The service `name` at `ip`, carried by the peer `host`. It shows as a DNS record (1.100 and later) and in the
    /// peer's `AllowedIPs`.
    #[must_use]
    pub fn new(name: &str, ip: &str, host: &str) -> Self {
        Service { name: name.to_owned(), ip: parse_ip(ip), host: host.to_owned() }
    }
}

/// A DNS record of the tailnet, as an administrator writes it.
#[derive(Clone, Debug)]
pub struct DnsRecord {
    /// Fully qualified, without trailing dot.
    pub name: String,
    /// Say `A`; none is left out of the status.
    pub record_type: Option<&'static str>,
    /// An address, or what the type has.
    pub value: String,
}

/// Peers nobody asks for, made while the answer is written and never held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crowd {
    /// How many.
    pub peers: u32,
    /// Bytes of padding in the CapMap of each; without any a peer takes about 1 kB.
    pub padding: usize,
}

pub(crate) fn parse_ip(ip: &str) -> IpAddr {
    ip.parse().unwrap_or_else(|_| panic!("{ip:?} is not an IP address"))
}
