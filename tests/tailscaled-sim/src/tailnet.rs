//! What happens to the tailnet, by the handle's methods.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::bus::BusEvent;
use crate::notify::between;
use crate::{BackendState, Crowd, Mode, Peer, PeerPort, Service, SimState, Tailscaled, Version, Warning, locked};

/// The state.
impl Tailscaled {
    /// Changes or reads anything at once; the bus tells what changed.
    pub fn with_state<T>(&self, change: impl FnOnce(&mut SimState) -> T) -> T {
        let mut sim = locked(&self.daemon.state);
        let before = (self.daemon.bus_events.receiver_count() > 0).then(|| sim.clone());
        let changed = change(&mut sim);
        for line in before.iter().flat_map(|before| between(before, &sim)) {
            self.send_on_buses(BusEvent::Notify(Arc::new(line)));
        }
        changed
    }

    fn send_on_buses(&self, event: BusEvent) {
        // Fails where there is no stream.
        let _ = self.daemon.bus_events.send(event);
    }

    /// Ends every stream of the bus in order.
    pub fn end_buses(&self) {
        self.send_on_buses(BusEvent::End);
    }

    /// Every reader of the bus was too slow: since 1.102 it is told so and let go, before it loses the next line.
    pub fn overrun_buses(&self) {
        self.send_on_buses(BusEvent::Overrun);
    }

    /// Says this on every stream of the bus, whatever it is.
    pub fn say_on_buses(&self, bytes: impl Into<Bytes>) {
        self.send_on_buses(BusEvent::Raw(bytes.into()));
    }

    /// Say `1.80.3`.
    pub fn set_version(&self, version: &str) {
        self.with_state(|sim| sim.version = Version::parse(version));
    }

    /// Userspace networking or TUN.
    pub fn set_mode(&self, mode: Mode) {
        self.with_state(|sim| sim.mode = mode);
    }

    /// See [`SimState::set_backend_state`].
    pub fn set_backend_state(&self, state: BackendState) {
        self.with_state(|sim| sim.set_backend_state(state));
    }

    /// See [`SimState::expire_own_key`].
    pub fn expire_own_key(&self) {
        self.with_state(SimState::expire_own_key);
    }

    /// Running, but without an address.
    pub fn take_addresses(&self) {
        self.with_state(|sim| sim.ips.clear());
    }

    /// Whether a map poll to control is open.
    pub fn set_control_online(&self, online: bool) {
        self.with_state(|sim| sim.control_online = online);
    }

    /// Health texts, beside those that come with the backend state.
    pub fn set_health(&self, texts: &[&str]) {
        self.with_state(|sim| sim.health = texts.iter().map(ToString::to_string).collect());
    }

    /// Warns of something, by its code, say `no-derp-connection`.
    pub fn warn(&self, code: &str, warning: Warning) {
        self.with_state(|sim| drop(sim.warnings.insert(code.to_owned(), warning)));
    }

    /// Warns of it no more.
    pub fn unwarn(&self, code: &str) {
        self.with_state(|sim| drop(sim.warnings.remove(code)));
    }

    /// Fills the netmap with peers nobody asks for.
    pub fn set_crowd(&self, crowd: Crowd) {
        self.with_state(|sim| sim.crowd = crowd);
    }

    /// See [`SimState::add_peer`].
    pub fn add_peer(&self, peer: Peer) {
        self.with_state(|sim| sim.add_peer(peer));
    }

    /// Takes it out of the netmap; its ports stay, should it come back.
    pub fn remove_peer(&self, name: &str) {
        self.with_state(|sim| drop(sim.peers.remove(name)));
    }

    /// Changes a peer that is there.
    pub fn update_peer<T>(&self, name: &str, change: impl FnOnce(&mut Peer) -> T) -> T {
        self.with_state(|sim| change(sim.peer(name)))
    }

    /// What control says of it.
    pub fn set_peer_online(&self, name: &str, online: bool) {
        self.update_peer(name, |peer| peer.online = online);
    }

    /// Its node key expired a minute ago.
    pub fn expire_peer(&self, name: &str) {
        let time = SystemTime::now() - Duration::from_secs(60);
        self.update_peer(name, |peer| (peer.expired, peer.key_expiry) = (true, Some(time)));
    }

    /// Nothing at all comes back from it, pongs neither.
    pub fn set_peer_frozen(&self, name: &str, frozen: bool) {
        self.update_peer(name, |peer| peer.frozen = frozen);
    }

    /// It answered a WireGuard handshake a moment ago.
    pub fn shake_hands(&self, name: &str) {
        self.update_peer(name, |peer| peer.last_handshake = Some(SystemTime::now()));
    }

    /// No dial to it is answered, as if an ACL dropped everything; it answers pings.
    pub fn set_peer_silent(&self, name: &str, silent: bool) {
        self.update_peer(name, |peer| peer.silent = silent);
    }

    /// One more service of the tailnet; its ports are under the service's name.
    pub fn add_service(&self, service: Service) {
        self.with_state(|sim| drop(sim.services.insert(service.name.clone(), service)));
    }

    /// What a dial to this port of a peer, a service or the own node meets.
    pub fn set_port(&self, name: &str, port: u16, backend: PeerPort) {
        self.with_state(|sim| drop(sim.ports.insert((name.to_owned(), port), backend)));
    }

    /// A server at `to` listens there.
    pub fn forward(&self, name: &str, port: u16, to: SocketAddr) {
        self.set_port(name, port, PeerPort::Forward(to));
    }

    /// Nothing listens there.
    pub fn refuse(&self, name: &str, port: u16) {
        self.set_port(name, port, PeerPort::Refuse);
    }

    /// No answer from there.
    pub fn black_hole(&self, name: &str, port: u16) {
        self.set_port(name, port, PeerPort::BlackHole);
    }
}
