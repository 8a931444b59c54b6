//! What a dial comes to: the table of a real tailscaled, without a socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::sim_state::AddressOwner;
use crate::{BackendState, Mode, PeerPort, SimState, SystemResolver};

const MAGIC_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 100, 100, 100));

/// How a dial goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DialPlan {
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

pub(crate) fn plan(sim: &SimState, host: &str, port: &str, network: &str) -> DialPlan {
    // Before 1.98 there was one step, hence one word for both failures.
    let failure = |text: &str| {
        let step = if sim.version.since(1, 98) { "resolve" } else { "dial" };
        DialPlan::BadGateway(format!("{step} failure: {text}"))
    };
    if host.contains(':') && host.starts_with('[') {
        return failure(&format!("address [{host}]:{port}: missing port in address"));
    }
    let Ok(port) = port.parse() else {
        return failure(&format!("invalid port in address \"{host}:{port}\""));
    };
    let ip = match host.parse() {
        Ok(ip) => Some(ip),
        Err(_) => sim.magic_name(host, network.ends_with('6')).or_else(|| sim.system_names.get(host).copied()),
    };
    match (ip, &sim.system_resolver, sim.mode) {
        (Some(ip), _, Mode::Userspace) => userspace(sim, SocketAddr::new(ip, port)),
        (Some(ip), _, Mode::Tun) => tun(sim, SocketAddr::new(ip, port), network),
        (None, SystemResolver::Silent, _) => DialPlan::Hang,
        (None, SystemResolver::Fails(text), _) => failure(text),
    }
}

/// tailscaled's own network stack dials what the netmap knows; nobody gives up on a silent peer.
fn userspace(sim: &SimState, to: SocketAddr) -> DialPlan {
    match sim.owner(to.ip()) {
        // Looped back before it comes near the tunnel.
        Some(AddressOwner::Own) if sim.version.since(1, 96) => reach(sim, &sim.host_name, to),
        Some(AddressOwner::Own) => DialPlan::Hang,
        Some(AddressOwner::Peer(peer, _)) if !sim.engine_on() || peer.expired || peer.mute() => DialPlan::Hang,
        Some(AddressOwner::Peer(_, name)) => reach(sim, name, to),
        None if sim.version.since(1, 98) && !routed(sim, to.ip()) => DialPlan::DialSelf(to),
        None if to.ip() == MAGIC_DNS => DialPlan::Hang,
        // Left to the kernel, which has no route into the tunnel; nor has the yardstick any IPv6.
        None if tailnet_v6(to.ip()) => unreachable(to),
        None => foreign(sim, to),
    }
}

/// The kernel dials what the route table sends into the tunnel.
fn tun(sim: &SimState, to: SocketAddr, network: &str) -> DialPlan {
    if sim.version.since(1, 98) && !routed(sim, to.ip()) {
        return DialPlan::DialSelf(to);
    }
    if network.ends_with('4') && to.is_ipv6() || network.ends_with('6') && to.is_ipv4() {
        return DialPlan::BadGateway(format!(
            "dial failure: dial {network}: address {}: no suitable address found",
            to.ip()
        ));
    }
    match sim.owner(to.ip()) {
        Some(AddressOwner::Own) if sim.engine_on() => reach(sim, &sim.host_name, to),
        Some(AddressOwner::Peer(peer, name)) if sim.engine_on() && !peer.expired => {
            if peer.mute() {
                DialPlan::Hang
            } else {
                reach(sim, name, to)
            }
        }
        None if to.ip() == MAGIC_DNS => magic_dns(sim, to),
        None if !tailnet_v6(to.ip()) => foreign(sim, to),
        Some(_) | None if to.is_ipv6() && !v6_routed(sim) => unreachable(to),
        Some(_) | None => DialPlan::Hang,
    }
}

/// Whether tailscaled's table has a route: a /32 for each valid peer, but one /48 for all of IPv6, and the resolver's own
/// as long as it is not stopped.
fn routed(sim: &SimState, ip: IpAddr) -> bool {
    if ip == MAGIC_DNS {
        return sim.netmap && !matches!(sim.state, BackendState::Stopped | BackendState::NoState);
    }
    if tailnet_v6(ip) {
        return v6_routed(sim);
    }
    sim.engine_on() && matches!(sim.owner(ip), Some(AddressOwner::Peer(peer, _)) if !peer.expired)
}

fn v6_routed(sim: &SimState) -> bool {
    let valid = |peer: &crate::Peer| !peer.expired && peer.ips.iter().any(|ip| tailnet_v6(*ip));
    sim.engine_on() && sim.peers.values().any(valid)
}

fn magic_dns(sim: &SimState, to: SocketAddr) -> DialPlan {
    match (to.port(), sim.magic_dns_server) {
        _ if !routed(sim, to.ip()) || !(sim.engine_on() || sim.version.since(1, 98)) => DialPlan::Hang,
        (53, Some(server)) => DialPlan::Forward { to: server, refused: kernel_refused(to) },
        (53, None) => DialPlan::Mute,
        _ if sim.version.since(1, 98) => DialPlan::BadGateway(kernel_refused(to)),
        _ => DialPlan::Hang,
    }
}

/// An address the tailnet does not have, before 1.98: tailscaled dialled it from its own network, and a success said
/// nothing about the tailnet.
fn foreign(sim: &SimState, to: SocketAddr) -> DialPlan {
    match sim.foreign.get(&to) {
        Some(server) => DialPlan::Forward { to: *server, refused: kernel_refused(to) },
        None if to.ip().is_loopback() => DialPlan::Forward { to, refused: kernel_refused(to) },
        None => DialPlan::Hang,
    }
}

fn reach(sim: &SimState, name: &str, to: SocketAddr) -> DialPlan {
    let refused = match sim.mode {
        Mode::Userspace => format!("dial failure: connect tcp {to}: connection was refused"),
        Mode::Tun => kernel_refused(to),
    };
    match sim.ports.get(&(name.to_owned(), to.port())) {
        Some(PeerPort::Forward(server)) => DialPlan::Forward { to: *server, refused },
        Some(PeerPort::Refuse) | None => DialPlan::BadGateway(refused),
        Some(PeerPort::BlackHole) => DialPlan::Hang,
        Some(PeerPort::Mute) => DialPlan::Mute,
        Some(PeerPort::DialSelf) => DialPlan::DialSelf(to),
        Some(PeerPort::Fail(text)) => DialPlan::BadGateway(format!("dial failure: {text}")),
    }
}

fn kernel_refused(to: SocketAddr) -> String {
    format!("dial failure: dial tcp {to}: connect: connection refused")
}

fn unreachable(to: SocketAddr) -> DialPlan {
    DialPlan::BadGateway(format!("dial failure: dial tcp {to}: connect: network is unreachable"))
}

fn tailnet_v6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0])
}
