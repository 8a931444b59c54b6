//! Whose address a target's name is. No I/O: the netmap in `status` decides.

use crate::config::{Host, Target};
use crate::reason::{Failure, Reason};
use crate::tailscale::{Peer, Status};
use std::collections::HashSet;
use std::net::IpAddr;

/// What the netmap gives for a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved<'a> {
    /// Where to connect: IPv4 if there is one.
    pub address: IpAddr,
    /// Every address that belongs to the target; MagicDNS may give no other.
    pub addresses: Vec<IpAddr>,
    /// The full name to ask MagicDNS for; none where the target is an address.
    pub name: Option<String>,
    /// The node that carries the name or hosts the service.
    pub peer: &'a Peer,
}

/// Which peers of a netmap the targets may need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interest {
    labels: HashSet<String>,
    addresses: Vec<IpAddr>,
}

impl Interest {
    /// What these targets may need.
    pub fn of<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let mut interest = Self::default();
        for target in targets {
            match &target.host {
                Host::Name(name) => _ = interest.labels.insert(first_label(name).to_owned()),
                Host::Ip(address) => interest.addresses.push(*address),
            }
        }
        interest
    }

    /// Could one of the targets be this peer, lie behind it, or be a Tailscale Service that it hosts?
    pub fn wants(&self, peer: &Peer) -> bool {
        let hosts_service = || services(peer).next().is_some();
        let routes = |address: &IpAddr| peer.routes.iter().any(|route| route.contains(*address));
        self.labels.contains(first_label(&peer.dns_name))
            || self.addresses.iter().any(|address| peer.addresses.contains(address) || routes(address))
            || hosts_service()
    }
}

/// Looks a target up in the netmap. Only addresses that the netmap gives to a peer come out.
pub fn resolve<'a>(status: &'a Status, host: &Host) -> Result<Resolved<'a>, Failure> {
    match host {
        Host::Ip(address) => resolve_address(status, *address, None),
        Host::Name(name) => resolve_name(status, name),
    }
}

fn resolve_name<'a>(status: &'a Status, name: &str) -> Result<Resolved<'a>, Failure> {
    let full = match &status.suffix {
        Some(suffix) if !name.contains('.') => format!("{name}.{suffix}"),
        _ => name.to_owned(),
    };
    if status.own.dns_name == full {
        return Err(Failure::new(Reason::ResolveRefused, format_args!("{full} is this node")));
    }
    if let Some(peer) = status.peers.iter().find(|peer| peer.dns_name == full) {
        return of_peer(peer, Some(full));
    }
    let records: Vec<_> =
        status.extra_records.iter().filter(|record| record.name == full).map(|record| record.address).collect();
    if let Some(address) = preferred(&records) {
        let resolved = resolve_address(status, address, Some(full))?;
        return Ok(Resolved { addresses: records, ..resolved });
    }
    if !status.tells_services() && status.peers.iter().any(|peer| services(peer).next().is_some()) {
        let cause = format_args!("no node is called {full}; tailscaled {} does not name services", status.version);
        return Err(Failure::new(Reason::ResolveServiceUnsupported, cause));
    }
    Err(Failure::new(Reason::ResolveNotInNetmap, format_args!("no node or service is called {full}")))
}

fn resolve_address(status: &Status, address: IpAddr, name: Option<String>) -> Result<Resolved<'_>, Failure> {
    if status.own.addresses.contains(&address) {
        return Err(Failure::new(Reason::ResolveRefused, format_args!("{address} is this node's")));
    }
    if let Some(peer) = status.peers.iter().find(|peer| peer.addresses.contains(&address)) {
        let resolved = of_peer(peer, name)?;
        return Ok(Resolved { address, ..resolved });
    }
    if let Some(peer) = status.peers.iter().find(|peer| services(peer).any(|service| service == address)) {
        return of_host(Resolved { address, addresses: vec![address], name, peer });
    }
    if status.peers.iter().flat_map(|peer| &peer.routes).any(|route| route.contains(address)) {
        return Err(Failure::new(Reason::ResolveRefused, format_args!("{address} belongs to a subnet router's net")));
    }
    Err(Failure::new(Reason::ResolveNotInNetmap, format_args!("no node has the address {address}")))
}

fn of_peer(peer: &Peer, name: Option<String>) -> Result<Resolved<'_>, Failure> {
    let Some(address) = preferred(&peer.addresses) else {
        return Err(Failure::new(Reason::ResolveNotInNetmap, format_args!("{} has no address", peer.dns_name)));
    };
    of_host(Resolved { address, addresses: peer.addresses.clone(), name, peer })
}

fn of_host(resolved: Resolved<'_>) -> Result<Resolved<'_>, Failure> {
    let peer = resolved.peer;
    if peer.expired {
        return Err(Failure::new(Reason::ResolvePeerExpired, format_args!("the key of {} has expired", peer.dns_name)));
    }
    Ok(resolved)
}

/// First IPv4; IPv6 only if there is none.
fn preferred(addresses: &[IpAddr]) -> Option<IpAddr> {
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

/// Addresses of the Tailscale Services that a peer hosts: single tailnet addresses routed to it that are not its own.
fn services(peer: &Peer) -> impl Iterator<Item = IpAddr> {
    let single = peer.routes.iter().filter(|route| route.is_single()).map(|route| route.address);
    single.filter(|address| is_tailnet(*address) && !peer.addresses.contains(address))
}

/// 100.64.0.0/10 and fd7a:115c:a1e0::/48, from which Tailscale gives addresses.
fn is_tailnet(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        IpAddr::V6(v6) => v6.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0],
    }
}

fn first_label(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailscale::{ExtraRecord, SelfNode};

    fn peer(name: &str, addresses: &[&str], routes: &[&str]) -> Peer {
        Peer {
            dns_name: format!("{name}.tail1.ts.net"),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            routes: routes.iter().map(|route| route.parse().unwrap()).collect(),
            ..Peer::default()
        }
    }

    fn status() -> Status {
        Status {
            version: "1.102.5".to_owned(),
            own: SelfNode {
                dns_name: "worker.tail1.ts.net".to_owned(),
                addresses: vec!["100.64.0.1".parse().unwrap()],
                ..SelfNode::default()
            },
            suffix: Some("tail1.ts.net".to_owned()),
            extra_records: vec![
                ExtraRecord { name: "pg.tail1.ts.net".to_owned(), address: "fd7a:115c:a1e0::99".parse().unwrap() },
                ExtraRecord { name: "pg.tail1.ts.net".to_owned(), address: "100.100.1.1".parse().unwrap() },
                ExtraRecord { name: "lost.tail1.ts.net".to_owned(), address: "100.100.1.2".parse().unwrap() },
            ],
            peers: vec![
                peer("db-prd-1", &["100.64.0.9"], &[]),
                peer(
                    "db-prd",
                    &["fd7a:115c:a1e0::2", "100.64.0.2"],
                    &["100.64.0.2/32", "100.100.1.1/32", "10.0.0.0/8"],
                ),
                peer("six", &["fd7a:115c:a1e0::3"], &[]),
            ],
            ..Status::default()
        }
    }

    fn name(text: &str) -> Host {
        Host::Name(text.to_owned())
    }

    fn address(host: &Host) -> Result<String, Reason> {
        resolve(&status(), host).map(|resolved| resolved.address.to_string()).map_err(|failure| failure.reason)
    }

    fn ip(text: &str) -> Host {
        Host::Ip(text.parse().unwrap())
    }

    #[test]
    fn the_netmap_decides_who_a_name_is() {
        assert_eq!(address(&name("db-prd")).unwrap(), "100.64.0.2");
        assert_eq!(address(&name("db-prd.tail1.ts.net")).unwrap(), "100.64.0.2");
        assert_eq!(address(&name("six")).unwrap(), "fd7a:115c:a1e0::3");
        assert_eq!(address(&ip("100.64.0.9")).unwrap(), "100.64.0.9");
        assert_eq!(address(&ip("fd7a:115c:a1e0::2")).unwrap(), "fd7a:115c:a1e0::2");
    }

    #[test]
    fn nothing_else_is_ever_dialled() {
        for host in
            [name("db"), name("db-pr"), name("db-prd.example.com"), ip("100.64.0.3"), ip("1.1.1.1"), name("lost")]
        {
            assert_eq!(address(&host), Err(Reason::ResolveNotInNetmap), "{host}");
        }
        assert_eq!(address(&ip("10.1.2.3")), Err(Reason::ResolveRefused));
        assert_eq!(address(&ip("100.64.0.1")), Err(Reason::ResolveRefused));
        assert_eq!(address(&name("worker")), Err(Reason::ResolveRefused));
    }

    #[test]
    fn a_tailscale_service_is_reached_through_the_node_that_hosts_it() {
        for host in [name("pg"), name("pg.tail1.ts.net")] {
            let status = status();
            let resolved = resolve(&status, &host).unwrap();
            assert_eq!(resolved.address.to_string(), "100.100.1.1");
            assert_eq!(resolved.addresses.len(), 2);
        }
        let mut old = status();
        old.version = "1.98.10".to_owned();
        old.extra_records.clear();
        assert_eq!(resolve(&old, &name("pg")).unwrap_err().reason, Reason::ResolveServiceUnsupported);
        old.peers[1].routes.clear();
        assert_eq!(resolve(&old, &name("pg")).unwrap_err().reason, Reason::ResolveNotInNetmap);
    }

    #[test]
    fn an_expired_peer_is_the_far_sides_fault() {
        let mut status = status();
        status.peers[1].expired = true;
        assert_eq!(resolve(&status, &name("db-prd")).unwrap_err().reason, Reason::ResolvePeerExpired);
        assert_eq!(resolve(&status, &name("pg")).unwrap_err().reason, Reason::ResolvePeerExpired);
    }

    #[test]
    fn what_resolves_is_what_the_reader_was_told_to_keep() {
        let hosts = [name("db-prd"), name("six.tail1.ts.net"), ip("100.64.0.9"), ip("10.1.2.3")];
        for host in hosts {
            let interest = match &host {
                Host::Name(name) => Interest { labels: [first_label(name).to_owned()].into(), addresses: vec![] },
                Host::Ip(address) => Interest { labels: HashSet::new(), addresses: vec![*address] },
            };
            let mut kept = status();
            kept.peers.retain(|peer| interest.wants(peer));
            assert_eq!(resolve(&kept, &host), resolve(&status(), &host), "{host}");
        }
        assert!(!Interest::default().wants(&peer("six", &["fd7a:115c:a1e0::3"], &["0.0.0.0/0", "::/0"])));
    }
}
