//! What a dial comes to: the table of a real tailscaled, without a socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::world::Owner;
use crate::{Backend, BackendState, Mode, SystemResolver, World};

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
    let failure = |text: &str| {
        let step = if world.version.since(1, 98) { "resolve" } else { "dial" };
        Plan::BadGateway(format!("{step} failure: {text}"))
    };
    if host.contains(':') && host.starts_with('[') {
        return failure(&format!("address [{host}]:{port}: missing port in address"));
    }
    let Ok(port) = port.parse() else {
        return failure(&format!("invalid port in address \"{host}:{port}\""));
    };
    let ip = match host.parse() {
        Ok(ip) => Some(ip),
        Err(_) => world.magic_name(host, network.ends_with('6')).or_else(|| world.system_names.get(host).copied()),
    };
    match (ip, &world.system_resolver, world.mode) {
        (Some(ip), _, Mode::Userspace) => userspace(world, SocketAddr::new(ip, port)),
        (Some(ip), _, Mode::Tun) => tun(world, SocketAddr::new(ip, port), network),
        (None, SystemResolver::Silent, _) => Plan::Hang,
        (None, SystemResolver::Fails(text), _) => failure(text),
    }
}

/// tailscaled's own network stack dials what the netmap knows; nobody gives up on a silent peer.
fn userspace(world: &World, to: SocketAddr) -> Plan {
    match world.owner(to.ip()) {
        // Looped back before it comes near the tunnel.
        Some(Owner::Own) if world.version.since(1, 96) => reach(world, &world.host_name, to),
        Some(Owner::Own) => Plan::Hang,
        Some(Owner::Peer(peer, _)) if !world.engine_on() || peer.expired || peer.mute() => Plan::Hang,
        Some(Owner::Peer(_, name)) => reach(world, name, to),
        None if world.version.since(1, 98) && !routed(world, to.ip()) => Plan::DialSelf(to),
        None if to.ip() == MAGIC_DNS => Plan::Hang,
        // Left to the kernel, which has no route into the tunnel; nor has the yardstick any IPv6.
        None if tailnet_v6(to.ip()) => unreachable(to),
        None => foreign(world, to),
    }
}

/// The kernel dials what the route table sends into the tunnel.
fn tun(world: &World, to: SocketAddr, network: &str) -> Plan {
    if world.version.since(1, 98) && !routed(world, to.ip()) {
        return Plan::DialSelf(to);
    }
    if network.ends_with('4') && to.is_ipv6() || network.ends_with('6') && to.is_ipv4() {
        return Plan::BadGateway(format!(
            "dial failure: dial {network}: address {}: no suitable address found",
            to.ip()
        ));
    }
    match world.owner(to.ip()) {
        Some(Owner::Own) if world.engine_on() => reach(world, &world.host_name, to),
        Some(Owner::Peer(peer, name)) if world.engine_on() && !peer.expired => {
            if peer.mute() {
                Plan::Hang
            } else {
                reach(world, name, to)
            }
        }
        None if to.ip() == MAGIC_DNS => magic_dns(world, to),
        None if !tailnet_v6(to.ip()) => foreign(world, to),
        Some(_) | None if to.is_ipv6() && !v6_routed(world) => unreachable(to),
        Some(_) | None => Plan::Hang,
    }
}

/// Whether tailscaled's table has a route: a /32 for each valid peer, but one /48 for all of IPv6, and the resolver's own
/// as long as it is not stopped.
fn routed(world: &World, ip: IpAddr) -> bool {
    if ip == MAGIC_DNS {
        return world.netmap && !matches!(world.state, BackendState::Stopped | BackendState::NoState);
    }
    if tailnet_v6(ip) {
        return v6_routed(world);
    }
    world.engine_on() && matches!(world.owner(ip), Some(Owner::Peer(peer, _)) if !peer.expired)
}

fn v6_routed(world: &World) -> bool {
    let valid = |peer: &crate::Peer| !peer.expired && peer.ips.iter().any(|ip| tailnet_v6(*ip));
    world.engine_on() && world.peers.values().any(valid)
}

fn magic_dns(world: &World, to: SocketAddr) -> Plan {
    match (to.port(), world.magic_dns_server) {
        _ if !routed(world, to.ip()) || !(world.engine_on() || world.version.since(1, 98)) => Plan::Hang,
        (53, Some(server)) => Plan::Forward { to: server, refused: kernel_refused(to) },
        (53, None) => Plan::Mute,
        _ if world.version.since(1, 98) => Plan::BadGateway(kernel_refused(to)),
        _ => Plan::Hang,
    }
}

/// An address the tailnet does not have, before 1.98: tailscaled dialled it from its own network, and a success said
/// nothing about the tailnet.
fn foreign(world: &World, to: SocketAddr) -> Plan {
    match world.foreign.get(&to) {
        Some(server) => Plan::Forward { to: *server, refused: kernel_refused(to) },
        None if to.ip().is_loopback() => Plan::Forward { to, refused: kernel_refused(to) },
        None => Plan::Hang,
    }
}

fn reach(world: &World, name: &str, to: SocketAddr) -> Plan {
    let refused = match world.mode {
        Mode::Userspace => format!("dial failure: connect tcp {to}: connection was refused"),
        Mode::Tun => kernel_refused(to),
    };
    match world.backends.get(&(name.to_owned(), to.port())) {
        Some(Backend::Forward(server)) => Plan::Forward { to: *server, refused },
        Some(Backend::Refuse) | None => Plan::BadGateway(refused),
        Some(Backend::BlackHole) => Plan::Hang,
        Some(Backend::Mute) => Plan::Mute,
        Some(Backend::DialSelf) => Plan::DialSelf(to),
        Some(Backend::Fail(text)) => Plan::BadGateway(format!("dial failure: {text}")),
    }
}

fn kernel_refused(to: SocketAddr) -> String {
    format!("dial failure: dial tcp {to}: connect: connection refused")
}

fn unreachable(to: SocketAddr) -> Plan {
    Plan::BadGateway(format!("dial failure: dial tcp {to}: connect: network is unreachable"))
}

fn tailnet_v6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0])
}
