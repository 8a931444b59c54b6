//! Resolves a target in the netmap. No I/O.

use super::path_probe::StatusPath;
use crate::config::{Host, Target, first_label};
use crate::peer::TargetPeer;
use crate::reason::{Failure, Reason};
use crate::tailscale::{Peer, Status, is_tailnet_address};
use std::collections::HashSet;
use std::net::IpAddr;

/// A target that the netmap knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The node that hosts it.
    pub peer: TargetPeer,
    /// The full name to ask MagicDNS for; none where the target is an address.
    pub fqdn: Option<String>,
    /// The path to the node, as `status` shows it.
    pub path: StatusPath,
    /// This node's own tailnet addresses: where a connection over the tailnet begins.
    pub own_addresses: Vec<IpAddr>,
}

impl Resolved {
    /// Can this node use IPv4 in the tailnet?
    pub fn own_ipv4(&self) -> bool {
        has_ipv4(&self.own_addresses)
    }
}

/// A target in the netmap.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// A node that can be dialled.
    Found(Resolved),
    /// A node that cannot be reached, because its key has expired.
    Expired(Resolved, Failure),
    /// No node.
    NotFound(Failure),
}

impl Resolution {
    /// The target, if it can be dialled.
    pub fn dialable(&self) -> Result<&Resolved, &Failure> {
        match self {
            Self::Found(resolved) => Ok(resolved),
            Self::Expired(_, failure) | Self::NotFound(failure) => Err(failure),
        }
    }

    /// The node that hosts the target, whether it can be dialled or not.
    pub fn peer(&self) -> Option<&TargetPeer> {
        match self {
            Self::Found(resolved) | Self::Expired(resolved, _) => Some(&resolved.peer),
            Self::NotFound(_) => None,
        }
    }
}

/// Which peers of a netmap the targets may need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerFilter {
    labels: HashSet<String>,
    addresses: Vec<IpAddr>,
}

impl PeerFilter {
    /// What these targets may need.
    pub fn of<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let mut filter = Self::default();
        for target in targets {
            match &target.host {
                Host::Name(name) => _ = filter.labels.insert(first_label(name).to_owned()),
                Host::Ip(address) => filter.addresses.push(*address),
            }
        }
        filter
    }

    /// Could one of the targets be this peer, lie behind it, or be a Tailscale Service that it hosts?
    pub fn matches(&self, peer: &Peer) -> bool {
        let hosts_service = || services(peer).next().is_some();
        let routes = |address: &IpAddr| peer.routes.iter().any(|route| route.contains(*address));
        self.labels.contains(first_label(&peer.dns_name))
            || self.addresses.iter().any(|address| peer.addresses.contains(address) || routes(address))
            || hosts_service()
    }
}

/// Looks a target up in the netmap. Only addresses that the netmap gives to a peer are returned.
pub fn resolve(status: &Status, host: &Host) -> Resolution {
    let found = match host {
        Host::Ip(address) => resolve_address(status, *address, None),
        Host::Name(name) => resolve_name(status, name),
    };
    match found {
        Ok((peer, resolved)) if peer.expired => {
            let cause = format_args!("the key of {} has expired", peer.dns_name);
            Resolution::Expired(resolved, Failure::new(Reason::ResolvePeerExpired, cause))
        }
        Ok((_, resolved)) => Resolution::Found(resolved),
        Err(failure) => Resolution::NotFound(failure),
    }
}

type Found<'a> = Result<(&'a Peer, Resolved), Failure>;

fn resolve_name<'a>(status: &'a Status, name: &str) -> Found<'a> {
    let full = match &status.suffix {
        Some(suffix) if !name.contains('.') => format!("{name}.{suffix}"),
        _ => name.to_owned(),
    };
    if status.own.dns_name == full {
        return Err(Failure::new(Reason::ResolveRefused, format_args!("{full} is this node")));
    }
    if let Some(peer) = status.peers.iter().find(|peer| peer.dns_name == full) {
        return of_peer(status, peer, Some(full));
    }
    let records: Vec<_> =
        status.extra_records.iter().filter(|record| record.name == full).map(|record| record.address).collect();
    if let Some(address) = preferred(&records, status) {
        let (peer, mut resolved) = resolve_address(status, address, Some(full))?;
        resolved.peer.addresses = records;
        return Ok((peer, resolved));
    }
    if !status.tells_services() && status.peers.iter().any(|peer| services(peer).next().is_some()) {
        let cause = format_args!("no node is called {full}; tailscaled {} does not name services", status.version);
        return Err(Failure::new(Reason::ResolveServiceUnsupported, cause));
    }
    Err(Failure::new(Reason::ResolveNotInNetmap, format_args!("no node or service is called {full}")))
}

fn resolve_address(status: &Status, address: IpAddr, fqdn: Option<String>) -> Found<'_> {
    if status.own.addresses.contains(&address) {
        return Err(Failure::new(Reason::ResolveRefused, format_args!("{address} is this node's")));
    }
    if let Some(peer) = status.peers.iter().find(|peer| peer.addresses.contains(&address)) {
        return Ok(hosted_by(status, peer, address, peer.addresses.clone(), fqdn));
    }
    if let Some(peer) = status.peers.iter().find(|peer| services(peer).any(|service| service == address)) {
        return Ok(hosted_by(status, peer, address, vec![address], fqdn));
    }
    if status.peers.iter().flat_map(|peer| &peer.routes).any(|route| route.contains(address)) {
        return Err(Failure::new(Reason::ResolveRefused, format_args!("{address} belongs to a subnet router's net")));
    }
    Err(Failure::new(Reason::ResolveNotInNetmap, format_args!("no node has the address {address}")))
}

fn of_peer<'a>(status: &Status, peer: &'a Peer, fqdn: Option<String>) -> Found<'a> {
    let Some(address) = preferred(&peer.addresses, status) else {
        return Err(Failure::new(Reason::ResolveNotInNetmap, format_args!("{} has no address", peer.dns_name)));
    };
    Ok(hosted_by(status, peer, address, peer.addresses.clone(), fqdn))
}

fn hosted_by<'a>(
    status: &Status,
    peer: &'a Peer,
    address: IpAddr,
    addresses: Vec<IpAddr>,
    fqdn: Option<String>,
) -> (&'a Peer, Resolved) {
    let path = StatusPath::of(peer);
    let target_peer = TargetPeer {
        id: peer.id.clone(),
        name: peer.dns_name.clone(),
        address,
        addresses,
        node_addresses: peer.addresses.clone(),
        online: peer.online,
        key_expiry: peer.key_expiry,
    };
    (peer, Resolved { peer: target_peer, fqdn, path, own_addresses: status.own.addresses.clone() })
}

/// IPv4 first where this node has an IPv4 address, else IPv6, as tailscaled resolves names; the other family only if there
/// is nothing else.
fn preferred(addresses: &[IpAddr], status: &Status) -> Option<IpAddr> {
    let ipv4 = has_ipv4(&status.own.addresses);
    addresses.iter().find(|address| address.is_ipv4() == ipv4).or(addresses.first()).copied()
}

fn has_ipv4(own_addresses: &[IpAddr]) -> bool {
    own_addresses.iter().any(IpAddr::is_ipv4)
}

/// Addresses of the Tailscale Services that a peer hosts: single tailnet addresses routed to it that are not its own.
fn services(peer: &Peer) -> impl Iterator<Item = IpAddr> {
    let single = peer.routes.iter().filter(|route| route.is_single()).map(|route| route.address);
    single.filter(|address| is_tailnet_address(*address) && !peer.addresses.contains(address))
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
        let resolution = resolve(&status(), host);
        resolution.dialable().map(|resolved| resolved.peer.address.to_string()).map_err(|failure| failure.reason)
    }

    fn failure(status: &Status, host: &Host) -> Reason {
        resolve(status, host).dialable().unwrap_err().reason
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
    fn without_an_ipv4_address_of_its_own_the_node_uses_ipv6() {
        let mut status = status();
        status.own.addresses = vec!["fd7a:115c:a1e0::1".parse().unwrap()];
        for (host, address) in [
            (name("db-prd"), "fd7a:115c:a1e0::2"),
            (name("six"), "fd7a:115c:a1e0::3"),
            (name("db-prd-1"), "100.64.0.9"),
            (ip("100.64.0.2"), "100.64.0.2"),
        ] {
            let resolution = resolve(&status, &host);
            let resolved = resolution.dialable().unwrap();
            assert_eq!((resolved.peer.address.to_string().as_str(), resolved.own_ipv4()), (address, false), "{host}");
        }
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
            let resolution = resolve(&status(), &host);
            let peer = resolution.peer().unwrap();
            assert_eq!((peer.name.as_str(), peer.address.to_string().as_str()), ("db-prd.tail1.ts.net", "100.100.1.1"));
            assert_eq!((peer.addresses.len(), peer.node_addresses.len()), (2, 2));
        }
        let mut old = status();
        old.version = "1.98.10".to_owned();
        old.extra_records.clear();
        assert_eq!(failure(&old, &name("pg")), Reason::ResolveServiceUnsupported);
        old.peers[1].routes.clear();
        assert_eq!(failure(&old, &name("pg")), Reason::ResolveNotInNetmap);
    }

    #[test]
    fn an_expired_peer_is_the_far_sides_fault() {
        let mut status = status();
        status.peers[1].expired = true;
        assert_eq!(failure(&status, &name("db-prd")), Reason::ResolvePeerExpired);
        assert_eq!(failure(&status, &name("pg")), Reason::ResolvePeerExpired);
        assert_eq!(resolve(&status, &name("db-prd")).peer().unwrap().name, "db-prd.tail1.ts.net");
    }

    #[test]
    fn what_resolves_is_what_the_reader_was_told_to_keep() {
        let hosts = [name("db-prd"), name("six.tail1.ts.net"), ip("100.64.0.9"), ip("10.1.2.3")];
        for host in hosts {
            let filter = match &host {
                Host::Name(name) => PeerFilter { labels: [first_label(name).to_owned()].into(), addresses: vec![] },
                Host::Ip(address) => PeerFilter { labels: HashSet::new(), addresses: vec![*address] },
            };
            let mut kept = status();
            kept.peers.retain(|peer| filter.matches(peer));
            assert_eq!(resolve(&kept, &host), resolve(&status(), &host), "{host}");
        }
        assert!(!PeerFilter::default().matches(&peer("six", &["fd7a:115c:a1e0::3"], &["0.0.0.0/0", "::/0"])));
    }
}
