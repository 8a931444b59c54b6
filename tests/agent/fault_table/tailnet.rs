//! Faults between the pod and the service: names, dials, the proxy, the kernel.

use super::{DAY, DB, DB_UP, Expected, FaultCase, advised, of, path, pod, service};
use crate::harness::{Harness, Setup};
use bytes::Bytes;
use std::net::IpAddr;
use std::time::SystemTime;
use tailscaled_sim::services::{DnsConduct, Postgres, Socks5Conduct, Valkey, banners};
use tailscaled_sim::{BackendState, Call, DnsRecord, Misbehaviour, Peer, PeerPort};
pub(super) fn names() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (&[33], "the peer was removed", |h| h.tailscaled.remove_peer("db"), path("resolve_not_in_netmap")),
            (
                &[33],
                "the peer was renamed, and another begins alike",
                |h| {
                    h.tailscaled.remove_peer("db");
                    h.tailscaled.add_peer(Peer::new("db-1").ip("100.64.0.9"));
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[41],
                "the name is behind a subnet router",
                |h| {
                    h.tailscaled.remove_peer("db");
                    h.tailscaled.add_peer(Peer::new("router").ip("100.64.0.8").allowed_ip("100.64.0.2/31"));
                },
                path("resolve_not_in_netmap"),
            ),
            (&[44], "the peer has another address", |h| move_db(h, "100.64.0.20"), DB_UP),
            (
                &[69],
                "the peer has IPv6 as well",
                |h| {
                    h.tailscaled
                        .update_peer("db", |db| db.ips.insert(0, "fd7a:115c:a1e0::2".parse().expect("an address")))
                },
                DB_UP,
            ),
            (&[56], "control calls the peer offline", |h| h.tailscaled.set_peer_online("db", false), DB_UP),
            (
                &[94],
                "another machine carries the name",
                |h| {
                    h.tailscaled.remove_peer("db");
                    h.tailscaled.add_peer(Peer::new("db").ip("100.64.0.30"));
                },
                DB_UP,
            ),
            (
                &[57],
                "the peer's key expires tomorrow",
                |h| h.tailscaled.update_peer("db", |db| db.key_expiry = Some(SystemTime::now() + DAY)),
                advised("peer_key_expires"),
            ),
            (
                &[57],
                "the peer's key has expired",
                |h| h.tailscaled.expire_peer("db"),
                service(DB, "resolve_peer_expired"),
            ),
        ],
    )
}

/// Records of the tailnet, its domain, and routes that are not a target's.
pub(super) fn records_and_routes() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (
                &[41],
                "the peer was removed, and another is an exit node",
                |h| {
                    h.tailscaled.remove_peer("db");
                    h.tailscaled.add_peer(exit_node());
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[41],
                "a record points at an address nobody has, and another peer is an exit node",
                |h| {
                    h.tailscaled.remove_peer("db");
                    h.tailscaled.add_peer(exit_node());
                    add_record(h, None, "100.64.0.2");
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[41],
                "a record points into a subnet",
                |h| {
                    h.tailscaled.remove_peer("db");
                    h.tailscaled.add_peer(Peer::new("router").ip("100.64.0.8").allowed_ip("10.0.0.0/8"));
                    add_record(h, None, "10.1.2.3");
                },
                pod("resolve_refused"),
            ),
            (&[94], "a record of another node's address carries the name", |h| alias_db(h, None), DB_UP),
            (&[94], "the same record has a type", |h| alias_db(h, Some("A")), DB_UP),
            (
                &[94],
                "several records carry the name, and nobody has the first address",
                |h| {
                    add_record(h, None, "100.64.0.99");
                    alias_db(h, None);
                },
                DB_UP,
            ),
            (
                &[41],
                "a record of type CNAME carries the name, which tailscaled does not serve",
                |h| {
                    add_record(h, Some("CNAME"), "primary.tail1234.ts.net");
                    h.tailscaled.remove_peer("db");
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[33],
                "the tailnet has no domain",
                |h| h.tailscaled.with_state(|sim| sim.magic_dns_suffix.clear()),
                DB_UP,
            ),
            (
                &[33],
                "the tailnet has no domain, and the peer was removed",
                |h| {
                    h.tailscaled.with_state(|sim| sim.magic_dns_suffix.clear());
                    h.tailscaled.remove_peer("db");
                },
                path("resolve_not_in_netmap"),
            ),
        ],
    )
}

fn exit_node() -> Peer {
    Peer::new("exit").ip("100.64.0.8").allowed_ip("0.0.0.0/0").allowed_ip("::/0")
}

/// The node gets another name, and a record carries its old one.
fn alias_db(h: &Harness, record_type: Option<&'static str>) {
    h.tailscaled.with_state(|sim| {
        let ports: Vec<_> = sim.ports.iter().filter(|((name, _), _)| name == "db").collect();
        let ports: Vec<_> = ports.into_iter().map(|((_, port), backend)| (*port, backend.clone())).collect();
        sim.ports.extend(ports.into_iter().map(|(port, backend)| (("primary".to_owned(), port), backend)));
        let mut node = sim.peers.remove("db").expect("the database");
        "primary".clone_into(&mut node.name);
        sim.add_peer(node);
    });
    add_record(h, record_type, "100.64.0.2");
}

/// One more record of the database's name.
fn add_record(h: &Harness, record_type: Option<&'static str>, value: &str) {
    let record = DnsRecord { name: DB_NAME.to_owned(), record_type, value: value.to_owned() };
    h.tailscaled.with_state(|sim| sim.records.push(record));
}

fn move_db(h: &Harness, ip: &str) {
    h.tailscaled.update_peer("db", |db| db.ips = vec![ip.parse().expect("an address")]);
}

fn db_port(h: &Harness, port: PeerPort) {
    h.tailscaled.set_port("db", 5432, port);
}

fn glued(h: &Harness, stream: &[u8]) {
    h.tailscaled.misbehave_at(Call::Dial, Misbehaviour::glued_upgrade(stream));
}

pub(super) fn dialling() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (&[51], "tailscaled cannot dial", |h| fails(h, "no such thing\n{}"), path("connect_failed")),
            (&[52], "nothing listens", |h| h.db.stop(), service(DB, "connect_refused")),
            (&[52], "the port is closed", |h| db_port(h, PeerPort::Refuse), service(DB, "connect_refused")),
            (&[53, 67], "no answer to SYN", |h| db_port(h, PeerPort::BlackHole), path("connect_dropped")),
            (&[58], "the policy drops", |h| h.tailscaled.set_peer_silent("db", true), path("connect_dropped")),
            (&[53], "the machine is frozen", |h| h.tailscaled.set_peer_frozen("db", true), path("connect_tunnel_dead")),
            (
                &[53],
                "nothing answers, and the local tailscaled refuses pings",
                |h| {
                    h.tailscaled.misbehave_at(Call::Ping, Misbehaviour::Error(500, "no".to_owned()));
                    db_port(h, PeerPort::BlackHole);
                },
                path("connect_timeout"),
            ),
            (&[54], "no route", |h| fails(h, "connect tcp: no route to host"), path("connect_unreachable")),
            (&[54], "no network", |h| fails(h, "network is unreachable"), path("connect_unreachable")),
            (&[53], "tailscaled gives up", |h| fails(h, "operation timed out"), path("connect_dropped")),
            (&[55], "Dial-Self", |h| db_port(h, PeerPort::DialSelf), path("connect_not_routed")),
            (
                &[59, 60],
                "the path falls back to DERP",
                |h| h.tailscaled.update_peer("db", |db| db.go_derp("fra")),
                advised("path_over_derp"),
            ),
            (
                &[62, 63],
                "connected, then nothing comes through",
                |h| db_port(h, PeerPort::Mute),
                service(DB, "protocol_timeout"),
            ),
            (
                &[63],
                "connected, then nothing comes through, and the machine is frozen",
                |h| {
                    h.db.behave(Postgres::frozen());
                    h.tailscaled.misbehave_at(Call::Ping, Misbehaviour::Silent);
                },
                path("protocol_tunnel_dead"),
            ),
            (
                &[62],
                "large packets are dropped",
                |h| {
                    h.db.behave(Postgres::frozen());
                    h.tailscaled.update_peer("db", |db| {
                        db.go_direct("192.0.2.7:41641");
                        db.largest_udp = Some(1200);
                    });
                },
                path("protocol_mtu"),
            ),
            (&[71], "a stream that holds an HTTP error", |h| glued(h, banners::HTTP), service(DB, "protocol_garbage")),
            (&[12], "101 and the answer in one piece", |h| glued(h, b"N"), DB_UP),
        ],
    )
}

/// Nothing comes back from the target's machine: does another answer?
pub(super) fn silence() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (
                &[25, 53],
                "no machine answers any more: the node was deleted, and nobody told it",
                |h| {
                    meets(h, &["metrics"]);
                    freeze(h, &["db", "cache", "metrics"]);
                },
                path("connect_isolated"),
            ),
            (
                &[53],
                "both machines are frozen, and another peer answers",
                |h| {
                    meets(h, &["metrics"]);
                    freeze(h, &["db", "cache"]);
                },
                path("connect_tunnel_dead"),
            ),
            (
                &[53],
                "both machines are frozen, and no peer was in touch with this node",
                |h| {
                    h.tailscaled.add_peer(Peer::new("online-only").ip("100.64.0.9"));
                    freeze(h, &["db", "cache"]);
                },
                path("connect_tunnel_dead"),
            ),
            (
                &[53],
                "both machines are frozen, and tailscaled does not ping the only other peer",
                |h| {
                    meets(h, &["metrics"]);
                    h.tailscaled.update_peer("metrics", |peer| peer.ready = false);
                    freeze(h, &["db", "cache"]);
                },
                path("connect_tunnel_dead"),
            ),
        ],
    )
}

/// More peers, which were in touch with this node.
fn meets(h: &Harness, peers: &[&str]) {
    for (name, last) in peers.iter().zip(20..) {
        h.tailscaled.add_peer(Peer::new(name).ip(&format!("100.64.0.{last}")));
        h.tailscaled.shake_hands(name);
    }
}

fn freeze(h: &Harness, peers: &[&str]) {
    peers.iter().for_each(|name| h.tailscaled.set_peer_frozen(name, true));
    // A connection that stands passes the simulation's frozen peers.
    h.cache.behave(Valkey::frozen());
}

fn fails(h: &Harness, text: &str) {
    db_port(h, PeerPort::Fail(text.to_owned()));
}

pub(super) fn proxy() -> Vec<FaultCase> {
    const UNREACHABLE: Expected = pod("connect_socks_unreachable");
    const INVALID: Expected = pod("connect_socks_invalid");
    const FAILED: Expected = path("connect_socks_failed");
    const ELSEWHERE: Expected = path("connect_socks_elsewhere");
    of(
        Setup::Proxy,
        [
            (&[47], "nothing listens at the proxy's port", |h| h.proxy.stop(), UNREACHABLE),
            (&[47], "the proxy is mute", |h| h.proxy.behave(Socks5Conduct::Silent), UNREACHABLE),
            (&[47], "the proxy wants a password", |h| h.proxy.behave(Socks5Conduct::Method(0xff)), INVALID),
            (
                &[68],
                "another program has the proxy's port",
                |h| h.proxy.behave(Socks5Conduct::Garbage(Bytes::from_static(banners::HTTP))),
                INVALID,
            ),
            (&[66], "the proxy hangs up", |h| h.proxy.behave(Socks5Conduct::Close), INVALID),
            (&[52, 53], "the proxy cannot connect", |h| h.proxy.behave(Socks5Conduct::Reply(1)), FAILED),
            (&[66], "the proxy hangs up at CONNECT", |h| h.proxy.behave(Socks5Conduct::CloseAtConnect), FAILED),
            (
                &[53],
                "the proxy never says how CONNECT went",
                |h| h.proxy.behave(Socks5Conduct::SilentAtConnect),
                FAILED,
            ),
            (&[68], "the proxy connects from a name", |h| h.proxy.behave(Socks5Conduct::Bound("proxy")), ELSEWHERE),
            (&[68], "the proxy tells no address", |h| h.proxy.behave(Socks5Conduct::Bound("0.0.0.0")), ELSEWHERE),
            (
                &[68],
                "a pod address in the tailnet's range",
                |h| h.proxy.behave(Socks5Conduct::Bound("100.64.0.77")),
                ELSEWHERE,
            ),
            (&[68], "this node's IPv6", |h| h.proxy.behave(Socks5Conduct::Bound("fd7a:115c:a1e0::1")), DB_UP),
            (
                &[65],
                "Postgres is frozen behind it",
                |h| h.db.behave(Postgres::frozen()),
                service(DB, "protocol_timeout"),
            ),
        ],
    )
}

const DB_NAME: &str = "db.tail1234.ts.net";

fn records(h: &Harness, ips: &[&str]) {
    h.dns.set(DB_NAME, &ips.iter().map(|ip| ip.parse().expect("an address")).collect::<Vec<IpAddr>>());
}

pub(super) fn tun() -> Vec<FaultCase> {
    const FAILED: Expected = pod("resolve_dns_failed");
    const MISMATCH: Expected = pod("resolve_dns_mismatch");
    of(
        Setup::Tun,
        [
            (&[33], "NXDOMAIN", |h| h.dns.behave(DnsConduct::Code(3)), FAILED),
            (&[34], "SERVFAIL", |h| h.dns.behave(DnsConduct::Code(2)), FAILED),
            (&[35], "REFUSED", |h| h.dns.behave(DnsConduct::Code(5)), FAILED),
            (&[35], "NOTIMP", |h| h.dns.behave(DnsConduct::Code(4)), FAILED),
            (&[35], "FORMERR", |h| h.dns.behave(DnsConduct::Code(1)), FAILED),
            (&[36, 47], "MagicDNS does not answer", |h| h.dns.behave(DnsConduct::Silent), FAILED),
            (&[37], "truncated, and TCP is never asked", |h| h.dns.behave(DnsConduct::Truncated), FAILED),
            (&[38], "a name that points to itself", |h| h.dns.behave(DnsConduct::PointerLoop), FAILED),
            (&[38], "more records announced than sent", |h| h.dns.behave(DnsConduct::LyingCount), FAILED),
            (
                &[38],
                "no DNS message",
                |h| h.dns.behave(DnsConduct::Garbage(Bytes::from_static(b"\xff\xff\n{}"))),
                FAILED,
            ),
            (&[39], "another question's id", |h| h.dns.behave(DnsConduct::WrongId), FAILED),
            (&[39], "another question", |h| h.dns.behave(DnsConduct::WrongQuestion), FAILED),
            (&[40], "no records", |h| records(h, &[]), FAILED),
            (&[42], "an alias for itself", |h| h.dns.behave(DnsConduct::AliasLoop), FAILED),
            (&[41, 46], "an address outside the tailnet", |h| records(h, &["192.0.2.7"]), MISMATCH),
            (&[43], "an address of before", |h| records(h, &["127.0.0.99"]), MISMATCH),
            (&[45], "two addresses, one of them foreign", |h| records(h, &["127.0.0.11", "192.0.2.7"]), MISMATCH),
            (&[50], "TTL 0", |h| h.dns.set_ttl(0), DB_UP),
            (&[50], "the longest TTL", |h| h.dns.set_ttl(u32::MAX), DB_UP),
            (&[52], "nothing listens", |h| h.db.stop(), service(DB, "connect_refused")),
            (&[65], "accepts, then silence", |h| h.db.behave(Postgres::frozen()), service(DB, "protocol_timeout")),
            (&[23], "`tailscale down`", |h| h.tailscaled.set_backend_state(BackendState::Stopped), pod("node_stopped")),
            (
                &[57],
                "the peer's key has expired",
                |h| h.tailscaled.expire_peer("db"),
                service(DB, "resolve_peer_expired"),
            ),
        ],
    )
}
