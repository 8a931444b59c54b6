//! Resolves a target in the netmap. No I/O.

use super::path_probe::StatusPath;
use super::target_name::{full_names, no_such_name, via_site};
use crate::config::Host;
use crate::peer::TargetPeer;
use crate::reason::{Failure, Reason};
use crate::tailscale::{Peer, Status, VIA_RANGE};
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
    let candidates = full_names(status, name);
    if candidates.contains(&status.own.dns_name) {
        return Err(Failure::new(Reason::ResolveRefused, format_args!("{name} is this node")));
    }
    for full in &candidates {
        if let Some(peer) = status.peers.iter().find(|peer| peer.dns_name == *full) {
            return of_peer(status, peer, Some(full.clone()));
        }
        let records = status.extra_records.iter().filter(|record| record.name == *full);
        let records: Vec<_> = records.map(|record| record.address).collect();
        if !records.is_empty() {
            return resolve_records(status, &records, full);
        }
    }
    if let Some(site) = via_site(name) {
        let cause = format_args!("{name} is a 4via6 name: its machine is behind the subnet router of site {site}");
        return Err(Failure::new(Reason::ResolveRefused, cause));
    }
    if !status.tells_services() && status.peers.iter().any(|peer| peer.services().next().is_some()) {
        let cause = format_args!("no node is called {name}; tailscaled {} does not name services", status.version);
        return Err(Failure::new(Reason::ResolveServiceUnsupported, cause));
    }
    Err(Failure::new(Reason::ResolveNotInNetmap, no_such_name(status, name, &candidates)))
}

/// The first of a name's addresses that a peer has, those of the family that this node prefers before the others.
fn resolve_records<'a>(status: &'a Status, records: &[IpAddr], full: &str) -> Found<'a> {
    let mut sorted = records.to_vec();
    let ipv4 = has_ipv4(&status.own.addresses);
    sorted.sort_by_key(|address| address.is_ipv4() != ipv4);
    let mut none = Failure::new(Reason::ResolveNotInNetmap, format_args!("{full} has no address"));
    for (index, address) in sorted.into_iter().enumerate() {
        match resolve_address(status, address, Some(full.to_owned())) {
            Ok((peer, mut resolved)) => {
                resolved.peer.addresses = records.to_vec();
                return Ok((peer, resolved));
            }
            Err(failure) if index == 0 => none = failure,
            Err(_) => {}
        }
    }
    Err(none)
}

fn resolve_address(status: &Status, address: IpAddr, fqdn: Option<String>) -> Found<'_> {
    if status.own.addresses.contains(&address) {
        return Err(Failure::new(Reason::ResolveRefused, format_args!("{address} is this node's")));
    }
    if let Some(peer) = status.peers.iter().find(|peer| peer.addresses.contains(&address)) {
        return Ok(hosted_by(status, peer, address, peer.addresses.clone(), fqdn));
    }
    if let Some(peer) = status.peers.iter().find(|peer| peer.services().any(|service| service == address)) {
        return Ok(hosted_by(status, peer, address, vec![address], fqdn));
    }
    let behind_router = if VIA_RANGE.contains(address) {
        Some("is a 4via6 address: its machine is behind a subnet router")
    } else {
        let routed = status.peers.iter().flat_map(Peer::subnet_routes).any(|route| route.contains(address));
        routed.then_some("belongs to a subnet router's net")
    };
    match behind_router {
        Some(what) => Err(Failure::new(Reason::ResolveRefused, format_args!("{address} {what}"))),
        None => Err(Failure::new(Reason::ResolveNotInNetmap, format_args!("no node has the address {address}"))),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::peer_filter::PeerFilter;
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
    fn a_default_route_is_no_subnet_route() {
        for route in ["0.0.0.0/0", "::/0", "0.0.0.0/1", "::/1"] {
            let mut status = status();
            status.peers.push(peer("exit", &["100.64.0.40"], &["100.64.0.40/32", route]));
            for host in [ip("100.64.0.3"), ip("fd7a:115c:a1e0::77"), ip("1.1.1.1"), ip("10.0.0.0"), name("lost")] {
                let expected = if host == ip("10.0.0.0") { Reason::ResolveRefused } else { Reason::ResolveNotInNetmap };
                assert_eq!(failure(&status, &host), expected, "{host} {route}");
            }
        }
        let mut status = status();
        status.peers.push(peer("router", &["100.64.0.40"], &["100.64.0.0/10"]));
        assert_eq!(failure(&status, &ip("100.64.0.3")), Reason::ResolveRefused, "an explicit route");
    }

    #[test]
    fn a_4via6_name_or_address_is_behind_a_subnet_router() {
        let mut status = status();
        for host in
            [name("192-168-1-2-via-7"), name("192-168-1-2-via-0x7.tail1.ts.net"), ip("fd7a:115c:a1e0:b1a:0:7:c0a8:102")]
        {
            assert_eq!(failure(&status, &host), Reason::ResolveRefused, "{host}");
            assert!(resolve(&status, &host).dialable().unwrap_err().cause.contains("4via6"), "{host}");
        }
        for host in ["db-via-7", "192-168-1-via-7", "192-168-1-2-via-x", "192-168-1-2-via-"] {
            assert_eq!(failure(&status, &name(host)), Reason::ResolveNotInNetmap, "{host}");
        }
        status.version = "1.98.10".to_owned();
        status.peers = vec![peer("router", &["100.64.0.40"], &["fd7a:115c:a1e0:b1a:0:7:c0a8:102/128"])];
        assert_eq!(failure(&status, &name("db")), Reason::ResolveNotInNetmap, "such a route is no service");
        status.peers.push(peer("10-0-0-1-via-1", &["100.64.0.41"], &[]));
        assert!(resolve(&status, &name("10-0-0-1-via-1")).dialable().is_ok(), "a node may have such a name");
    }

    #[test]
    fn a_record_may_point_at_a_nodes_address() {
        let record = |name: &str, address: &str| ExtraRecord {
            name: format!("{name}.tail1.ts.net"),
            address: address.parse().unwrap(),
        };
        let mut status = status();
        status.extra_records = vec![
            record("alias", "100.64.0.9"),
            record("both", "100.64.0.99"),
            record("both", "100.64.0.9"),
            record("six-only", "fd7a:115c:a1e0::3"),
            record("net", "10.1.2.3"),
            record("self", "100.64.0.1"),
            record("internet", "1.1.1.1"),
        ];
        for (host, expected) in [
            ("alias", Ok("100.64.0.9")),
            ("alias.tail1.ts.net", Ok("100.64.0.9")),
            ("both", Ok("100.64.0.9")),
            ("six-only", Ok("fd7a:115c:a1e0::3")),
            ("net", Err(Reason::ResolveRefused)),
            ("self", Err(Reason::ResolveRefused)),
            ("internet", Err(Reason::ResolveNotInNetmap)),
        ] {
            let filter = PeerFilter::of_hosts([&name(host)]);
            let mut kept = status.clone();
            kept.peers.retain(|peer| filter.matches(&status, peer));
            let resolution = resolve(&kept, &name(host));
            let found = resolution.dialable().map(|resolved| resolved.peer.address.to_string());
            assert_eq!(found.as_deref().map_err(|failure| failure.reason), expected, "{host}");
        }
        let alias = resolve(&status, &name("alias"));
        assert_eq!(alias.dialable().unwrap().fqdn.as_deref(), Some("alias.tail1.ts.net"));
    }

    #[test]
    fn a_name_is_tried_as_it_is_written_first() {
        let mut bare = status();
        bare.suffix = Some("worker".to_owned());
        bare.own.dns_name = "worker".to_owned();
        bare.peers = vec![Peer { dns_name: "db".to_owned(), ..peer("db", &["100.64.0.2"], &[]) }];
        bare.extra_records = vec![ExtraRecord { name: "pg".to_owned(), address: "100.64.0.2".parse().unwrap() }];
        for host in ["db", "pg"] {
            let resolution = resolve(&bare, &name(host));
            let resolved = resolution.dialable().unwrap();
            assert_eq!((resolved.peer.name.as_str(), resolved.fqdn.as_deref()), ("db", Some(host)));
        }
        assert_eq!(failure(&bare, &name("worker")), Reason::ResolveRefused);

        let mut shared = status();
        shared.peers.push(Peer { dns_name: "db.tail2.ts.net".to_owned(), ..peer("db", &["100.64.0.50"], &[]) });
        assert!(resolve(&shared, &name("db.tail2.ts.net")).dialable().is_ok(), "shared in by another tailnet");
        assert_eq!(failure(&shared, &name("db")), Reason::ResolveNotInNetmap);
    }

    #[test]
    fn the_cause_of_an_unknown_name_tells_the_tailnets_domain() {
        let mut status = status();
        let cause = |status: &Status, host| resolve(status, &name(host)).dialable().unwrap_err().cause.clone();
        assert_eq!(cause(&status, "gone"), "no node or service is called gone.tail1.ts.net");
        assert_eq!(cause(&status, "gone.tail1.ts.net"), "no node or service is called gone.tail1.ts.net");
        let other = "no node or service is called db-prd.tail2.ts.net; this tailnet's domain is tail1.ts.net";
        assert_eq!(cause(&status, "db-prd.tail2.ts.net"), other);
        status.suffix = Some(status.own.dns_name.clone());
        assert_eq!(cause(&status, "gone"), "no node or service is called gone; this tailnet has no domain");
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
            let filter = PeerFilter::of_hosts([&host]);
            let mut kept = status();
            let head = kept.clone();
            kept.peers.retain(|peer| filter.matches(&head, peer));
            assert_eq!(resolve(&kept, &host), resolve(&status(), &host), "{host}");
        }
        assert!(
            !PeerFilter::default().matches(&status(), &peer("six", &["fd7a:115c:a1e0::3"], &["0.0.0.0/0", "::/0"]))
        );
    }
}
