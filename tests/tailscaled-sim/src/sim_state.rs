//! What the simulated tailscaled knows: its own node, the netmap, and what answers behind each peer's ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::{BackendState, Crowd, DnsRecord, Mode, Peer, PeerPort, Service, SystemResolver, Version, Warning};

/// Everything a status or a dial depends on.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it; what is not plain is said")]
pub struct SimState {
    pub version: Version,
    pub mode: Mode,
    pub state: BackendState,
    /// Whether control ever sent a netmap (and the user did not log out since).
    pub netmap: bool,
    pub host_name: String,
    /// Own addresses.
    pub ips: Vec<IpAddr>,
    pub key_expiry: Option<SystemTime>,
    /// `Self.Online`: a map poll to control is open.
    pub control_online: bool,
    /// Texts in the status, beside those of `warnings`.
    pub health: Vec<String>,
    /// By code.
    pub warnings: BTreeMap<String, Warning>,
    pub auth_url: String,
    /// `tailscale set --accept-dns`
    pub accept_dns: bool,
    /// `tailscale set --accept-routes`
    pub accept_routes: bool,
    pub magic_dns_suffix: String,
    pub magic_dns: bool,
    /// Code of our home DERP region.
    pub relay: String,
    /// What a TCP dial to 100.100.100.100:53 reaches in TUN mode.
    pub magic_dns_server: Option<SocketAddr>,
    pub system_resolver: SystemResolver,
    /// Names that the sidecar's resolver knows.
    pub system_names: BTreeMap<String, IpAddr>,
    /// What answers outside the tailnet, for releases that dial it; any loopback address is dialled for real.
    pub foreign: BTreeMap<SocketAddr, SocketAddr>,
    pub crowd: Crowd,
    /// By name.
    pub peers: BTreeMap<String, Peer>,
    pub services: BTreeMap<String, Service>,
    /// DNS records of the tailnet beside those of services.
    pub records: Vec<DnsRecord>,
    /// By name of peer or service, and port. The own node's ports are under its own name.
    pub ports: BTreeMap<(String, u16), PeerPort>,
    next_id: i64,
}

/// Whose address it is.
pub(crate) enum AddressOwner<'a> {
    Own,
    /// The peer, and the name under which its ports are kept.
    Peer(&'a Peer, &'a str),
}

impl Default for SimState {
    /// Running, newest release, userspace mode, nobody else in the tailnet.
    fn default() -> Self {
        SimState {
            version: Version::NEWEST,
            mode: Mode::Userspace,
            state: BackendState::Running,
            netmap: true,
            host_name: "worker".to_owned(),
            ips: vec![IpAddr::from([100, 64, 0, 1]), IpAddr::from([0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 1])],
            key_expiry: None,
            control_online: true,
            health: Vec::new(),
            warnings: BTreeMap::new(),
            auth_url: String::new(),
            accept_dns: false,
            accept_routes: false,
            magic_dns_suffix: "tail1234.ts.net".to_owned(),
            magic_dns: true,
            relay: "nyc".to_owned(),
            magic_dns_server: None,
            system_resolver: SystemResolver::Silent,
            system_names: BTreeMap::new(),
            foreign: BTreeMap::new(),
            crowd: Crowd::default(),
            peers: BTreeMap::new(),
            services: BTreeMap::new(),
            records: Vec::new(),
            ports: BTreeMap::new(),
            next_id: 2,
        }
    }
}

impl SimState {
    /// A new peer, or another node under a name that was there: it gets ids and a key of its own.
    pub fn add_peer(&mut self, mut peer: Peer) {
        peer.id = self.next_id;
        self.next_id += 1;
        self.peers.insert(peer.name.clone(), peer);
    }

    /// The peer of this name; asking for one that is not there is a mistake in the test.
    pub fn peer(&mut self, name: &str) -> &mut Peer {
        self.peers.get_mut(name).unwrap_or_else(|| panic!("no peer {name:?} in the simulated tailnet"))
    }

    /// Turns to `state`, with what comes along: states before or after a login have no netmap and no control connection.
    pub fn set_backend_state(&mut self, state: BackendState) {
        let logged_out = matches!(state, BackendState::NoState | BackendState::NeedsLogin);
        self.netmap = !logged_out;
        self.control_online = !logged_out && state != BackendState::Stopped;
        let login = "https://login.tailscale.com/a/0123456789abcdef";
        self.auth_url = if state == BackendState::NeedsLogin { login.to_owned() } else { String::new() };
        self.state = state;
    }

    /// The own node key expired an hour ago: NeedsLogin, with the netmap and the control connection kept.
    pub fn expire_own_key(&mut self) {
        self.set_backend_state(BackendState::NeedsLogin);
        (self.netmap, self.control_online) = (true, true);
        self.auth_url.clear();
        self.key_expiry = Some(SystemTime::now() - Duration::from_secs(3600));
    }

    /// A logout takes it away; a start without control does not.
    pub(crate) fn has_node_key(&self) -> bool {
        self.netmap || self.state != BackendState::NeedsLogin
    }

    /// Whether packets flow at all.
    pub(crate) fn engine_on(&self) -> bool {
        self.netmap && matches!(self.state, BackendState::Running | BackendState::Starting | BackendState::Other(_))
    }

    pub(crate) fn owner(&self, ip: IpAddr) -> Option<AddressOwner<'_>> {
        if !self.netmap {
            return None;
        }
        if self.ips.contains(&ip) {
            return Some(AddressOwner::Own);
        }
        if let Some(service) = self.services.values().find(|service| service.ip == ip) {
            return self.peers.get(&service.host).map(|peer| AddressOwner::Peer(peer, &service.name));
        }
        let peer = self.peers.values().find(|peer| peer.ips.contains(&ip))?;
        Some(AddressOwner::Peer(peer, &peer.name))
    }

    /// What MagicDNS knows: short and full names of nodes, and service records.
    pub(crate) fn magic_name(&self, name: &str, v6: bool) -> Option<IpAddr> {
        if !self.netmap {
            return None;
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let label = name.strip_suffix(&self.magic_dns_suffix).and_then(|rest| rest.strip_suffix('.')).unwrap_or(&name);
        let pick = |ips: &[IpAddr]| ips.iter().find(|ip| ip.is_ipv6() == v6).or(ips.first()).copied();
        if label == self.host_name {
            return pick(&self.ips);
        }
        let service = || self.services.get(label).map(|service| service.ip);
        self.peers.get(label).and_then(|peer| pick(&peer.ips)).or_else(service)
    }
}
