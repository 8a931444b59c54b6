//! What a dial comes to: the table of a real tailscaled, without a socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::world::Owner;
use crate::{Backend, Mode, SystemResolver, World};

const MAGIC_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 100, 100, 100));

/// How a dial goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// 101 once connected to `to`; 502 with `refused` if nothing listens there.
    Forward { to: SocketAddr, refused: String },
    /// 101, then nothing.
    Mute,
    /// 502
    BadGateway(String),
    /// 200, dial it yourself.
    DialSelf(SocketAddr),
    /// No answer until the client leaves.
    Hang,
}

pub(crate) fn plan(world: &World, host: &str, port: &str, network: &str) -> Plan {
    // Before 1.98 there was one step, hence one word for both failures.
    let step = if world.version.since(1, 98) { "resolve" } else { "dial" };
    let Ok(port) = port.parse() else {
        return Plan::BadGateway(format!("{step} failure: invalid port {port:?} in address \"{host}:{port}\""));
    };
    let ip = match host.trim_matches(['[', ']']).parse() {
        Ok(ip) => Some(ip),
        Err(_) => world.magic_name(host, network.ends_with('6')).or_else(|| world.system_names.get(host).copied()),
    };
    match (ip, &world.system_resolver, world.mode) {
        (Some(ip), _, Mode::Userspace) => userspace(world, SocketAddr::new(ip, port)),
        (Some(ip), _, Mode::Tun) => tun(world, SocketAddr::new(ip, port)),
        (None, SystemResolver::Silent, _) => Plan::Hang,
        (None, SystemResolver::Fails(text), _) => Plan::BadGateway(format!("{step} failure: {text}")),
    }
}

/// tailscaled's own network stack dials what the netmap knows; nobody gives up on a silent peer.
fn userspace(world: &World, to: SocketAddr) -> Plan {
    match world.owner(to.ip()) {
        Some(_) if !world.engine_on() => Plan::Hang,
        Some(Owner::Own) if world.version.since(1, 96) => reach(world, &world.host_name, to),
        Some(Owner::Own) => Plan::Hang,
        Some(Owner::Peer(peer, _)) if peer.expired || peer.silent => Plan::Hang,
        Some(Owner::Peer(_, name)) => reach(world, name, to),
        None if world.engine_on() && to.ip() == MAGIC_DNS => Plan::Hang,
        // Left to the kernel, which has no such route: no namespace of the yardstick has IPv6.
        None if world.engine_on() && tailnet_v6(to.ip()) => {
            Plan::BadGateway(format!("dial failure: dial tcp {to}: connect: network is unreachable"))
        }
        None => stranger(world, to),
    }
}

/// The kernel dials what the route table sends into the tunnel: a /32 for each valid peer, but one /48 for all of IPv6.
fn tun(world: &World, to: SocketAddr) -> Plan {
    if !world.engine_on() {
        return stranger(world, to);
    }
    match world.owner(to.ip()) {
        Some(Owner::Own) if to.is_ipv6() => reach(world, &world.host_name, to),
        Some(Owner::Own) if world.version.since(1, 98) => Plan::DialSelf(to),
        Some(Owner::Own) => reach(world, &world.host_name, to),
        Some(Owner::Peer(peer, _)) if peer.expired && to.is_ipv6() => Plan::Hang,
        Some(Owner::Peer(peer, _)) if peer.expired => stranger(world, to),
        Some(Owner::Peer(peer, _)) if peer.silent => Plan::Hang,
        Some(Owner::Peer(_, name)) => reach(world, name, to),
        None if to.ip() == MAGIC_DNS && to.port() == 53 => match world.magic_dns_server {
            Some(server) => Plan::Forward { to: server, refused: refused(world, to) },
            None => Plan::Mute,
        },
        None if to.ip() == MAGIC_DNS || tailnet_v6(to.ip()) => Plan::Hang,
        None => stranger(world, to),
    }
}

/// An address the tailnet does not have. Since 1.98 the client is told; before, tailscaled dialled it from its own
/// network, and a success said nothing about the tailnet.
fn stranger(world: &World, to: SocketAddr) -> Plan {
    if world.version.since(1, 98) {
        return Plan::DialSelf(to);
    }
    match world.foreign.get(&to) {
        Some(server) => Plan::Forward { to: *server, refused: kernel_refused(to) },
        None if to.ip().is_loopback() => Plan::Forward { to, refused: kernel_refused(to) },
        None => Plan::Hang,
    }
}

fn reach(world: &World, name: &str, to: SocketAddr) -> Plan {
    match world.backends.get(&(name.to_owned(), to.port())) {
        Some(Backend::Forward(server)) => Plan::Forward { to: *server, refused: refused(world, to) },
        Some(Backend::Refuse) | None => Plan::BadGateway(refused(world, to)),
        Some(Backend::BlackHole) => Plan::Hang,
        Some(Backend::Mute) => Plan::Mute,
        Some(Backend::DialSelf) => Plan::DialSelf(to),
        Some(Backend::Fail(text)) => Plan::BadGateway(format!("dial failure: {text}")),
    }
}

fn refused(world: &World, to: SocketAddr) -> String {
    match world.mode {
        Mode::Userspace => format!("dial failure: connect tcp {to}: connection was refused"),
        Mode::Tun => kernel_refused(to),
    }
}

fn kernel_refused(to: SocketAddr) -> String {
    format!("dial failure: dial tcp {to}: connect: connection refused")
}

fn tailnet_v6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0])
}
