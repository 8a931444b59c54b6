//! What happens to the tailnet, by the handle's methods.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::bus::Order;
use crate::news::between;
use crate::{Backend, BackendState, Crowd, Mode, Peer, Service, Tailscaled, Version, Warning, World, locked};

/// The world.
impl Tailscaled {
    /// Changes or reads anything at once; the bus tells what changed.
    pub fn world<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = locked(&self.daemon.world);
        let before = (self.daemon.orders.receiver_count() > 0).then(|| world.clone());
        let changed = change(&mut world);
        for line in before.iter().flat_map(|before| between(before, &world)) {
            self.order(Order::News(Arc::new(line)));
        }
        changed
    }

    fn order(&self, order: Order) {
        // Fails where there is no stream.
        let _ = self.daemon.orders.send(order);
    }

    /// Ends every stream of the bus in order.
    pub fn end_buses(&self) {
        self.order(Order::End);
    }

    /// Every reader of the bus was too slow: since 1.102 it is told so and let go, before it loses the next line.
    pub fn overrun_buses(&self) {
        self.order(Order::Overrun);
    }

    /// Says this on every stream of the bus, whatever it is.
    pub fn say_on_buses(&self, bytes: impl Into<Bytes>) {
        self.order(Order::Say(bytes.into()));
    }

    /// Say `1.80.3`.
    pub fn set_version(&self, version: &str) {
        self.world(|world| world.version = Version::parse(version));
    }

    /// Userspace networking or TUN.
    pub fn set_mode(&self, mode: Mode) {
        self.world(|world| world.mode = mode);
    }

    /// See [`World::set_backend_state`].
    pub fn set_backend_state(&self, state: BackendState) {
        self.world(|world| world.set_backend_state(state));
    }

    /// See [`World::expire_own_key`].
    pub fn expire_own_key(&self) {
        self.world(World::expire_own_key);
    }

    /// Running, but without an address.
    pub fn take_addresses(&self) {
        self.world(|world| world.ips.clear());
    }

    /// Whether a map poll to control is open.
    pub fn set_control_online(&self, online: bool) {
        self.world(|world| world.control_online = online);
    }

    /// Health texts, beside those that come with the backend state.
    pub fn set_health(&self, texts: &[&str]) {
        self.world(|world| world.health = texts.iter().map(ToString::to_string).collect());
    }

    /// Warns of something, by its code, say `no-derp-connection`.
    pub fn warn(&self, code: &str, warning: Warning) {
        self.world(|world| drop(world.warnings.insert(code.to_owned(), warning)));
    }

    /// Warns of it no more.
    pub fn unwarn(&self, code: &str) {
        self.world(|world| drop(world.warnings.remove(code)));
    }

    /// Fills the netmap with peers nobody asks for.
    pub fn set_crowd(&self, crowd: Crowd) {
        self.world(|world| world.crowd = crowd);
    }

    /// See [`World::add_peer`].
    pub fn add_peer(&self, peer: Peer) {
        self.world(|world| world.add_peer(peer));
    }

    /// Takes it out of the netmap; its backends stay, should it come back.
    pub fn remove_peer(&self, name: &str) {
        self.world(|world| drop(world.peers.remove(name)));
    }

    /// Changes a peer that is there.
    pub fn update_peer<T>(&self, name: &str, change: impl FnOnce(&mut Peer) -> T) -> T {
        self.world(|world| change(world.peer(name)))
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

    /// No dial to it is answered, as if an ACL dropped everything; it answers pings.
    pub fn set_peer_silent(&self, name: &str, silent: bool) {
        self.update_peer(name, |peer| peer.silent = silent);
    }

    /// One more service of the tailnet; its backends are under the service's name.
    pub fn add_service(&self, service: Service) {
        self.world(|world| drop(world.services.insert(service.name.clone(), service)));
    }

    /// What a dial to this port of a peer, a service or the own node meets.
    pub fn set_backend(&self, name: &str, port: u16, backend: Backend) {
        self.world(|world| drop(world.backends.insert((name.to_owned(), port), backend)));
    }

    /// A server at `to` listens there.
    pub fn forward(&self, name: &str, port: u16, to: SocketAddr) {
        self.set_backend(name, port, Backend::Forward(to));
    }

    /// Nothing listens there.
    pub fn refuse(&self, name: &str, port: u16) {
        self.set_backend(name, port, Backend::Refuse);
    }

    /// No answer from there.
    pub fn black_hole(&self, name: &str, port: u16) {
        self.set_backend(name, port, Backend::BlackHole);
    }
}
