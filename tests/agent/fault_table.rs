//! The table of faults: what is done to the tailnet, and what then must be seen. Rows are numbered as in the project's
//! list of faults, so that a number can be looked up on both sides; a row of the list may need several here.

use crate::harness::{Harness, Setup};
use bytes::Bytes;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use tailscaled_sim::services::{DnsConduct, Postgres, Script, Socks5Conduct, Valkey, banners, messages};
use tailscaled_sim::{BackendState, Call, Crowd, Misbehaviour, Peer, PeerPort, SocketFile, Warning};

/// A fault, and what is expected of it.
pub struct FaultCase {
    /// Numbers in the list of faults.
    pub numbers: &'static [u8],
    /// What has happened.
    pub fault: &'static str,
    pub setup: Setup,
    /// Makes it happen, while all is well.
    pub inject: fn(&Harness),
    pub expected: Expected,
}

/// What a fault leads to.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// The target stays up: no probe fails. The doctor may have an advice.
    Up { target: &'static str, advice: Option<&'static str> },
    /// The target goes down. Readiness in strict, local and observe follows from the scope.
    Down { target: &'static str, reason: &'static str, scope: &'static str },
}

impl Expected {
    /// Ready in strict, local and observe?
    pub fn ready(self) -> [bool; 3] {
        match self {
            Self::Up { .. } => [true; 3],
            Self::Down { scope, .. } => [false, scope != "pod", true],
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const DB: &str = "db";
const CACHE: &str = "cache";
const DB_UP: Expected = Expected::Up { target: DB, advice: None };
const CACHE_UP: Expected = Expected::Up { target: CACHE, advice: None };

/// The target stays up, but a person is told something.
const fn advised(advice: &'static str) -> Expected {
    Expected::Up { target: DB, advice: Some(advice) }
}

/// The whole pod is at fault.
const fn pod(reason: &'static str) -> Expected {
    Expected::Down { target: DB, reason, scope: "pod" }
}

const fn path(reason: &'static str) -> Expected {
    Expected::Down { target: DB, reason, scope: "path" }
}

const fn service(target: &'static str, reason: &'static str) -> Expected {
    Expected::Down { target, reason, scope: "service" }
}

/// Every row.
pub fn rows() -> Vec<FaultCase> {
    [socket(), localapi(), node(), names(), dialling(), proxy(), tun(), postgres(), login(), valkey(), shallow()]
        .into_iter()
        .flatten()
        .collect()
}

type ShortCase = (&'static [u8], &'static str, fn(&Harness), Expected);

fn of<const N: usize>(setup: Setup, rows: [ShortCase; N]) -> Vec<FaultCase> {
    rows.into_iter()
        .map(|(numbers, fault, inject, expected)| FaultCase { numbers, fault, setup, inject, expected })
        .collect()
}

fn socket() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (
                &[2],
                "tailscaled has ended, its socket is gone",
                |harness| harness.tailscaled.stop(),
                pod("node_socket_missing"),
            ),
            (
                &[3],
                "tailscaled was killed, its socket is left",
                |harness| harness.tailscaled.crash(),
                pod("node_socket_refused"),
            ),
            (
                &[5],
                "a file is in the socket's place",
                |harness| harness.tailscaled.replace_socket(SocketFile::File),
                pod("node_socket_refused"),
            ),
            (
                &[5],
                "a folder is there",
                |harness| harness.tailscaled.replace_socket(SocketFile::Folder),
                pod("node_socket_refused"),
            ),
            (
                &[5],
                "a dangling link",
                |harness| harness.tailscaled.replace_socket(SocketFile::DanglingLink),
                pod("node_socket_missing"),
            ),
            (&[6], "tailscaled has restarted at a new inode", |harness| harness.tailscaled.listen(), DB_UP),
            (&[6], "tailscaled has cut every connection", |harness| harness.tailscaled.kill_connections(), DB_UP),
        ],
    )
}

fn misbehave(harness: &Harness, misbehaviour: Misbehaviour) {
    harness.tailscaled.misbehave(misbehaviour);
}

fn json(harness: &Harness, body: impl AsRef<[u8]>) {
    misbehave(harness, Misbehaviour::Json(Bytes::copy_from_slice(body.as_ref())));
}

fn error(harness: &Harness, status: u16) {
    misbehave(harness, Misbehaviour::Error(status, "a text".to_owned()));
}

fn localapi() -> Vec<FaultCase> {
    const INVALID: Expected = pod("node_localapi_invalid");
    const TIMEOUT: Expected = pod("node_localapi_timeout");
    of(
        Setup::Userspace,
        [
            (&[7], "accepts, never answers", |harness| misbehave(harness, Misbehaviour::Silent), TIMEOUT),
            (&[8], "stalls in the head", |harness| misbehave(harness, Misbehaviour::StallAfter(20)), TIMEOUT),
            (&[8], "stalls in the JSON", |harness| misbehave(harness, Misbehaviour::StallAfter(900)), TIMEOUT),
            (&[9], "drips", |harness| misbehave(harness, Misbehaviour::Drip(Duration::from_millis(100))), TIMEOUT),
            (&[10], "closes in the head", |harness| misbehave(harness, Misbehaviour::CloseAfter(20)), INVALID),
            (&[10], "closes in the JSON", |harness| misbehave(harness, Misbehaviour::CloseAfter(900)), INVALID),
            (
                &[10],
                "Content-Length is too large",
                |harness| misbehave(harness, Misbehaviour::ContentLength(10)),
                INVALID,
            ),
            (
                &[10],
                "Content-Length is too small",
                |harness| misbehave(harness, Misbehaviour::ContentLength(-10)),
                INVALID,
            ),
            (&[10], "a broken chunk", |harness| misbehave(harness, Misbehaviour::BrokenChunk), INVALID),
            (&[11], "not HTTP at all", |harness| misbehave(harness, Misbehaviour::not_http()), INVALID),
            (&[12], "1xx without end", |harness| misbehave(harness, Misbehaviour::informational_flood()), TIMEOUT),
            (&[12], "a head without end", |harness| misbehave(harness, Misbehaviour::endless_head()), INVALID),
            (&[12], "a redirect", |harness| misbehave(harness, Misbehaviour::redirect()), INVALID),
            (&[12], "101 without asking", |harness| misbehave(harness, Misbehaviour::unsolicited_upgrade()), INVALID),
            (&[13], "401", |harness| error(harness, 401), pod("node_socket_forbidden")),
            (&[13], "403", |harness| error(harness, 403), pod("node_socket_forbidden")),
            (
                &[13],
                "403 to dials alone",
                |harness| harness.tailscaled.misbehave_at(Call::Dial, Misbehaviour::Error(403, "no".to_owned())),
                pod("node_socket_forbidden"),
            ),
            (&[14], "404", |harness| error(harness, 404), INVALID),
            (&[14], "501", |harness| error(harness, 501), INVALID),
            (&[15], "500", |harness| error(harness, 500), INVALID),
            (
                &[15],
                "503, a line in the text",
                |harness| error_text(harness, 503, "a\n{\"level\":\"INFO\"}\x1b[2J"),
                INVALID,
            ),
            (&[16], "an empty answer", |harness| json(harness, ""), INVALID),
            (&[16], "a list", |harness| json(harness, "[]"), INVALID),
            (&[16], "an empty object", |harness| json(harness, "{}"), pod("node_localapi_invalid")),
            (&[16], "wrong types", |harness| json(harness, r#"{"BackendState":7,"Self":[],"Peer":"x"}"#), INVALID),
            (&[16], "cut JSON", |harness| json(harness, r#"{"BackendState":"Running","#), INVALID),
            (
                &[17],
                "100,000 arrays in each other",
                |harness| misbehave(harness, Misbehaviour::deep_nesting(100_000)),
                INVALID,
            ),
            (&[17], "invalid UTF-8", |harness| json(harness, b"{\"BackendState\":\"\xff\"}"), INVALID),
            (&[17], "1e999", |harness| json(harness, r#"{"BackendState":1e999}"#), INVALID),
            (&[17], "a text of 10 MB", |harness| misbehave(harness, Misbehaviour::giant_string(10 << 20)), INVALID),
            (
                &[18],
                "1,300 other peers, more than a MiB",
                |harness| harness.tailscaled.set_crowd(Crowd { peers: 1300, padding: 0 }),
                DB_UP,
            ),
            (&[18], "a body without end", |harness| misbehave(harness, Misbehaviour::endless_body()), TIMEOUT),
        ],
    )
}

fn error_text(harness: &Harness, status: u16, text: &str) {
    misbehave(harness, Misbehaviour::Error(status, text.to_owned()));
}

fn state(harness: &Harness, state: BackendState) {
    harness.tailscaled.set_backend_state(state);
}

fn node() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (&[19], "NoState", |harness| state(harness, BackendState::NoState), pod("node_starting")),
            (&[19], "Starting", |harness| state(harness, BackendState::Starting), pod("node_starting")),
            (&[20], "NeedsLogin", |harness| state(harness, BackendState::NeedsLogin), pod("node_needs_login")),
            (
                &[21],
                "NeedsMachineAuth",
                |harness| state(harness, BackendState::NeedsMachineAuth),
                pod("node_needs_approval"),
            ),
            (&[22], "the own key has expired", |harness| harness.tailscaled.expire_own_key(), pod("node_key_expired")),
            (&[23], "`tailscale down`", |harness| state(harness, BackendState::Stopped), pod("node_stopped")),
            (
                &[24],
                "Running without an address",
                |harness| harness.tailscaled.take_addresses(),
                pod("node_no_address"),
            ),
            (
                &[16],
                "InUseOtherUser",
                |harness| state(harness, BackendState::InUseOtherUser),
                pod("node_localapi_invalid"),
            ),
            (
                &[16],
                "a state of the future",
                |harness| state(harness, BackendState::Other("Paused\n\"x\u{202e}".to_owned())),
                pod("node_localapi_invalid"),
            ),
            (
                &[25],
                "the node was deleted: peers vanish",
                |harness| {
                    harness.tailscaled.set_control_online(false);
                    harness.tailscaled.remove_peer("db");
                    harness.tailscaled.remove_peer("cache");
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[26],
                "no connection to control",
                |harness| harness.tailscaled.set_control_online(false),
                advised("control_unreachable"),
            ),
            (&[28], "health texts", |harness| harness.tailscaled.set_health(&["UDP is blocked\n{}", "no DERP"]), DB_UP),
            (
                &[28],
                "health warnings",
                |harness| harness.tailscaled.warn("no-derp-connection", Warning::new("no 'nyc'\n{}")),
                advised("health_warning"),
            ),
            (
                &[27],
                "locked out by tailnet lock: peers vanish",
                |harness| {
                    harness.tailscaled.warn("tailnet-lock-locked-out", Warning::new("this node is locked out"));
                    harness.tailscaled.remove_peer("db");
                    harness.tailscaled.remove_peer("cache");
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[22],
                "the own key expires tomorrow",
                |harness| harness.tailscaled.with_state(|sim| sim.key_expiry = Some(SystemTime::now() + DAY)),
                advised("own_key_expires"),
            ),
            (
                &[30],
                "the stream of news says nothing any more",
                |harness| {
                    harness.tailscaled.misbehave_at(Call::Bus, Misbehaviour::Silent);
                    harness.tailscaled.kill_connections();
                },
                DB_UP,
            ),
        ],
    )
}

fn names() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (
                &[33],
                "the peer was removed",
                |harness| harness.tailscaled.remove_peer("db"),
                path("resolve_not_in_netmap"),
            ),
            (
                &[33],
                "the peer was renamed, and another begins alike",
                |harness| {
                    harness.tailscaled.remove_peer("db");
                    harness.tailscaled.add_peer(Peer::new("db-1").ip("100.64.0.9"));
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[41],
                "the name is behind a subnet router",
                |harness| {
                    harness.tailscaled.remove_peer("db");
                    harness.tailscaled.add_peer(Peer::new("router").ip("100.64.0.8").allowed_ip("100.64.0.2/31"));
                },
                path("resolve_not_in_netmap"),
            ),
            (&[44], "the peer has another address", |harness| move_db(harness, "100.64.0.20"), DB_UP),
            (
                &[69],
                "the peer has IPv6 as well",
                |harness| {
                    harness
                        .tailscaled
                        .update_peer("db", |db| db.ips.insert(0, "fd7a:115c:a1e0::2".parse().expect("an address")))
                },
                DB_UP,
            ),
            (&[56], "control calls the peer offline", |harness| harness.tailscaled.set_peer_online("db", false), DB_UP),
            (
                &[94],
                "another machine carries the name",
                |harness| {
                    harness.tailscaled.remove_peer("db");
                    harness.tailscaled.add_peer(Peer::new("db").ip("100.64.0.30"));
                },
                DB_UP,
            ),
            (
                &[57],
                "the peer's key expires tomorrow",
                |harness| harness.tailscaled.update_peer("db", |db| db.key_expiry = Some(SystemTime::now() + DAY)),
                advised("peer_key_expires"),
            ),
            (
                &[57],
                "the peer's key has expired",
                |harness| harness.tailscaled.expire_peer("db"),
                service(DB, "resolve_peer_expired"),
            ),
        ],
    )
}

fn move_db(harness: &Harness, ip: &str) {
    harness.tailscaled.update_peer("db", |db| db.ips = vec![ip.parse().expect("an address")]);
}

fn db_port(harness: &Harness, port: PeerPort) {
    harness.tailscaled.set_port("db", 5432, port);
}

fn glued(harness: &Harness, stream: &[u8]) {
    harness.tailscaled.misbehave_at(Call::Dial, Misbehaviour::glued_upgrade(stream));
}

fn dialling() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (&[51], "tailscaled cannot dial", |harness| fails(harness, "no such thing\n{}"), path("connect_failed")),
            (&[52], "nothing listens", |harness| harness.db.stop(), service(DB, "connect_refused")),
            (&[52], "the port is closed", |harness| db_port(harness, PeerPort::Refuse), service(DB, "connect_refused")),
            (&[53, 67], "no answer to SYN", |harness| db_port(harness, PeerPort::BlackHole), path("connect_dropped")),
            (
                &[58],
                "the policy drops",
                |harness| harness.tailscaled.set_peer_silent("db", true),
                path("connect_dropped"),
            ),
            (
                &[53],
                "the machine is frozen",
                |harness| harness.tailscaled.set_peer_frozen("db", true),
                path("connect_tunnel_dead"),
            ),
            (
                &[53],
                "nothing answers, and the local tailscaled refuses pings",
                |harness| {
                    harness.tailscaled.misbehave_at(Call::Ping, Misbehaviour::Error(500, "no".to_owned()));
                    db_port(harness, PeerPort::BlackHole);
                },
                path("connect_timeout"),
            ),
            (&[54], "no route", |harness| fails(harness, "connect tcp: no route to host"), path("connect_unreachable")),
            (&[54], "no network", |harness| fails(harness, "network is unreachable"), path("connect_unreachable")),
            (&[53], "tailscaled gives up", |harness| fails(harness, "operation timed out"), path("connect_dropped")),
            (&[55], "Dial-Self", |harness| db_port(harness, PeerPort::DialSelf), path("connect_not_routed")),
            (
                &[59, 60],
                "the path falls back to DERP",
                |harness| harness.tailscaled.update_peer("db", |db| db.go_derp("fra")),
                advised("path_over_derp"),
            ),
            (
                &[62, 63],
                "connected, then nothing comes through",
                |harness| db_port(harness, PeerPort::Mute),
                service(DB, "protocol_timeout"),
            ),
            (
                &[63],
                "connected, then nothing comes through, and the machine is frozen",
                |harness| {
                    harness.db.behave(Postgres::frozen());
                    harness.tailscaled.misbehave_at(Call::Ping, Misbehaviour::Silent);
                },
                path("protocol_tunnel_dead"),
            ),
            (
                &[62],
                "large packets are dropped",
                |harness| {
                    harness.db.behave(Postgres::frozen());
                    harness.tailscaled.update_peer("db", |db| {
                        db.go_direct("192.0.2.7:41641");
                        db.largest_udp = Some(1200);
                    });
                },
                path("protocol_mtu"),
            ),
            (
                &[71],
                "a stream that holds an HTTP error",
                |harness| glued(harness, banners::HTTP),
                service(DB, "protocol_garbage"),
            ),
            (&[12], "101 and the answer in one piece", |harness| glued(harness, b"N"), DB_UP),
        ],
    )
}

fn fails(harness: &Harness, text: &str) {
    db_port(harness, PeerPort::Fail(text.to_owned()));
}

fn proxy() -> Vec<FaultCase> {
    const UNREACHABLE: Expected = pod("connect_socks_unreachable");
    const INVALID: Expected = pod("connect_socks_invalid");
    const FAILED: Expected = path("connect_socks_failed");
    of(
        Setup::Proxy,
        [
            (&[47], "nothing listens at the proxy's port", |harness| harness.proxy.stop(), UNREACHABLE),
            (&[47], "the proxy is mute", |harness| harness.proxy.behave(Socks5Conduct::Silent), UNREACHABLE),
            (&[47], "the proxy wants a password", |harness| harness.proxy.behave(Socks5Conduct::Method(0xff)), INVALID),
            (
                &[68],
                "another program has the proxy's port",
                |harness| harness.proxy.behave(Socks5Conduct::Garbage(Bytes::from_static(banners::HTTP))),
                INVALID,
            ),
            (&[66], "the proxy hangs up", |harness| harness.proxy.behave(Socks5Conduct::Close), INVALID),
            (&[52, 53], "the proxy cannot connect", |harness| harness.proxy.behave(Socks5Conduct::Reply(1)), FAILED),
            (
                &[66],
                "the proxy hangs up at CONNECT",
                |harness| harness.proxy.behave(Socks5Conduct::CloseAtConnect),
                FAILED,
            ),
            (
                &[53],
                "the proxy never says how CONNECT went",
                |harness| harness.proxy.behave(Socks5Conduct::SilentAtConnect),
                path("connect_dropped"),
            ),
            (&[68], "the proxy tells a bound name", |harness| harness.proxy.behave(Socks5Conduct::Bound(3)), DB_UP),
            (&[68], "the proxy tells a bound IPv6", |harness| harness.proxy.behave(Socks5Conduct::Bound(4)), DB_UP),
            (
                &[65],
                "Postgres is frozen behind it",
                |harness| harness.db.behave(Postgres::frozen()),
                service(DB, "protocol_timeout"),
            ),
        ],
    )
}

const DB_NAME: &str = "db.tail1234.ts.net";

fn records(harness: &Harness, ips: &[&str]) {
    harness.dns.set(DB_NAME, &ips.iter().map(|ip| ip.parse().expect("an address")).collect::<Vec<IpAddr>>());
}

fn tun() -> Vec<FaultCase> {
    const FAILED: Expected = pod("resolve_dns_failed");
    const MISMATCH: Expected = pod("resolve_dns_mismatch");
    of(
        Setup::Tun,
        [
            (&[33], "NXDOMAIN", |harness| harness.dns.behave(DnsConduct::Code(3)), FAILED),
            (&[34], "SERVFAIL", |harness| harness.dns.behave(DnsConduct::Code(2)), FAILED),
            (&[35], "REFUSED", |harness| harness.dns.behave(DnsConduct::Code(5)), FAILED),
            (&[35], "NOTIMP", |harness| harness.dns.behave(DnsConduct::Code(4)), FAILED),
            (&[35], "FORMERR", |harness| harness.dns.behave(DnsConduct::Code(1)), FAILED),
            (&[36, 47], "MagicDNS does not answer", |harness| harness.dns.behave(DnsConduct::Silent), FAILED),
            (&[37], "truncated, and TCP is never asked", |harness| harness.dns.behave(DnsConduct::Truncated), FAILED),
            (&[38], "a name that points to itself", |harness| harness.dns.behave(DnsConduct::PointerLoop), FAILED),
            (&[38], "more records announced than sent", |harness| harness.dns.behave(DnsConduct::LyingCount), FAILED),
            (
                &[38],
                "no DNS message",
                |harness| harness.dns.behave(DnsConduct::Garbage(Bytes::from_static(b"\xff\xff\n{}"))),
                FAILED,
            ),
            (&[39], "another question's id", |harness| harness.dns.behave(DnsConduct::WrongId), FAILED),
            (&[39], "another question", |harness| harness.dns.behave(DnsConduct::WrongQuestion), FAILED),
            (&[40], "no records", |harness| records(harness, &[]), FAILED),
            (&[42], "an alias for itself", |harness| harness.dns.behave(DnsConduct::AliasLoop), FAILED),
            (&[41, 46], "an address outside the tailnet", |harness| records(harness, &["192.0.2.7"]), MISMATCH),
            (&[43], "an address of before", |harness| records(harness, &["127.0.0.99"]), MISMATCH),
            (
                &[45],
                "two addresses, one of them foreign",
                |harness| records(harness, &["127.0.0.11", "192.0.2.7"]),
                MISMATCH,
            ),
            (&[50], "TTL 0", |harness| harness.dns.set_ttl(0), DB_UP),
            (&[50], "the longest TTL", |harness| harness.dns.set_ttl(u32::MAX), DB_UP),
            (&[52], "nothing listens", |harness| harness.db.stop(), service(DB, "connect_refused")),
            (
                &[65],
                "accepts, then silence",
                |harness| harness.db.behave(Postgres::frozen()),
                service(DB, "protocol_timeout"),
            ),
            (&[23], "`tailscale down`", |harness| state(harness, BackendState::Stopped), pod("node_stopped")),
            (
                &[57],
                "the peer's key has expired",
                |harness| harness.tailscaled.expire_peer("db"),
                service(DB, "resolve_peer_expired"),
            ),
        ],
    )
}

fn says(harness: &Harness, script: &Script) {
    harness.db.behave(Postgres::always(script));
}

fn postgres() -> Vec<FaultCase> {
    const GARBAGE: Expected = service(DB, "protocol_garbage");
    const CLOSED: Expected = service(DB, "protocol_closed");
    const TIMEOUT: Expected = service(DB, "protocol_timeout");
    of(
        Setup::Userspace,
        [
            (&[64], "reset after accepting", |harness| says(harness, &Script::new().reset()), CLOSED),
            (
                &[64],
                "reset in an answer",
                |harness| says(harness, &Script::reset_at(&messages::error("57P03", "x"), 7)),
                CLOSED,
            ),
            (&[65, 91], "accepts, then silence", |harness| says(harness, &Script::silence()), TIMEOUT),
            (&[66, 107], "accepts, then closes", |harness| says(harness, &Script::new().close()), CLOSED),
            (&[68, 88], "SSH has the port", |harness| greets(harness, banners::SSH), GARBAGE),
            (
                &[68, 88],
                "a web server has the port",
                |harness| says(harness, &Script::say(banners::HTTP).close()),
                GARBAGE,
            ),
            (&[88], "a TLS alert", |harness| says(harness, &Script::say(banners::TLS).close()), GARBAGE),
            (&[88, 72], "a mail server speaks first", |harness| greets(harness, banners::SMTP), GARBAGE),
            (&[72], "something unknown speaks first", |harness| greets(harness, b"\0\0\0"), GARBAGE),
            (
                &[81],
                "only TLS is let in",
                |harness| harness.db.behave(Postgres::refusing("28000", "no encryption")),
                DB_UP,
            ),
            (&[82], "bytes glued behind the answer", |harness| says(harness, &Script::say("Nx")), GARBAGE),
            (&[83], "a server before 12", |harness| harness.db.behave(Postgres::before_12()), DB_UP),
            (
                &[73, 76],
                "full or starting cannot be seen without a user",
                |harness| harness.db.behave(Postgres::full()),
                DB_UP,
            ),
            (
                &[84],
                "an error of length 0",
                |harness| says(harness, &Script::say(messages::with_length(b'E', 0, b""))),
                GARBAGE,
            ),
            (
                &[84],
                "an error of length 3",
                |harness| says(harness, &Script::say(messages::with_length(b'E', 3, b""))),
                GARBAGE,
            ),
            (
                &[84],
                "an error of 2 GB",
                |harness| says(harness, &Script::say(messages::with_length(b'E', 0x7fff_ffff, b"x"))),
                GARBAGE,
            ),
            (&[85], "an answer without end", |harness| says(harness, &Script::new().flood("E")), GARBAGE),
            (
                &[86],
                "an error without a code",
                |harness| says(harness, &Script::say(messages::message(b'E', b"Mx"))),
                REJECTED,
            ),
            (&[86], "an error with a log line in it", |harness| says(harness, &Script::say(forged())), REJECTED),
            (&[87], "one byte a second", |harness| says(harness, &dripped()), TIMEOUT),
            (&[110], "a reset some time later", |harness| says(harness, &later_reset()), CLOSED),
        ],
    )
}

const REJECTED: Expected = service(DB, "protocol_rejected");

fn greets(harness: &Harness, banner: &[u8]) {
    harness.db.behave(Postgres::asking_for_password().greeting(Script::say(banner)));
}

/// What would be a line of the log, of the metrics page or of `/healthz` if it were printed as it is.
const FORGERY: &str =
    "x\n{\"level\":\"INFO\",\"message\":\"Target is up\"}\r\ntelltail_ready 1\n[+]db ok\x1b[2J\u{202e}\"} 1\n";

fn forged() -> Vec<u8> {
    messages::error("XX000", FORGERY)
}

fn dripped() -> Script {
    Script::new().drip(messages::error("57P03", "the database system is starting up"), Duration::from_secs(1))
}

fn later_reset() -> Script {
    Script::new().pause(Duration::from_millis(150)).reset()
}

fn refuses(harness: &Harness, sqlstate: &str, text: &str) {
    harness.db.behave(Postgres::refusing(sqlstate, text));
}

fn answers(harness: &Harness, script: Script) {
    harness.db.behave(Postgres::asking_for_password().startup(script));
}

fn login() -> Vec<FaultCase> {
    const STARTING: Expected = service(DB, "protocol_starting");
    const ENDING: Expected = service(DB, "protocol_shutting_down");
    of(
        Setup::WithUser,
        [
            (&[73], "starting up", |harness| harness.db.behave(Postgres::starting()), STARTING),
            (
                &[74],
                "no hot standby",
                |harness| refuses(harness, "57P03", "the database system is not accepting connections"),
                STARTING,
            ),
            (&[76], "full", |harness| harness.db.behave(Postgres::full()), service(DB, "protocol_full")),
            (&[77], "shutting down", |harness| harness.db.behave(Postgres::shutting_down()), ENDING),
            (&[77], "ended by an administrator", |harness| refuses(harness, "57P01", "terminating connection"), ENDING),
            (&[78], "no line in pg_hba.conf", |harness| refuses(harness, "28000", "no pg_hba.conf entry"), DB_UP),
            (&[78], "wrong password", |harness| refuses(harness, "28P01", "password authentication failed"), DB_UP),
            (&[79], "no such database", |harness| refuses(harness, "3D000", "database \"x\" does not exist"), DB_UP),
            (&[80], "asks for md5", |harness| answers(harness, Script::say(messages::md5())), DB_UP),
            (&[80], "lets everybody in", |harness| harness.db.behave(Postgres::trusting()), DB_UP),
            (
                &[89],
                "asks for the password itself",
                |harness| answers(harness, Script::say(messages::cleartext())),
                DB_UP,
            ),
            (
                &[83],
                "negotiates the protocol",
                |harness| {
                    answers(harness, Script::say([messages::negotiate_protocol_version(), messages::sasl()].concat()))
                },
                DB_UP,
            ),
            (
                &[85],
                "notices without end",
                |harness| answers(harness, Script::new().flood(messages::notice("x"))),
                service(DB, "protocol_garbage"),
            ),
            (
                &[86],
                "an error with a log line in it",
                |harness| answers(harness, Script::say(forged()).close()),
                REJECTED,
            ),
            (
                &[87],
                "an answer in segments",
                |harness| answers(harness, Script::new().send_split(messages::sasl(), 6)),
                DB_UP,
            ),
            (&[90], "a pooler with a dead backend", |harness| answers(harness, Script::say(messages::sasl())), DB_UP),
            (
                &[91],
                "a pooler that waits",
                |harness| answers(harness, Script::silence()),
                service(DB, "protocol_timeout"),
            ),
            (
                &[66],
                "a proxy without backend",
                |harness| answers(harness, Script::new().close()),
                service(DB, "protocol_closed"),
            ),
        ],
    )
}

fn cache(harness: &Harness, manner: Valkey) {
    harness.cache.behave(manner);
    // What greets does so on a new connection.
    harness.cache.kill_connections();
}

fn pong(harness: &Harness, answer: &[u8]) {
    cache(harness, Valkey::answering(Script::say(answer)));
}

fn valkey() -> Vec<FaultCase> {
    const GARBAGE: Expected = service(CACHE, "protocol_garbage");
    const REFUSED: Expected = service(CACHE, "protocol_rejected");
    const FULL: Expected = service(CACHE, "protocol_full");
    of(
        Setup::Userspace,
        [
            (&[52], "nothing listens", |harness| harness.cache.stop(), service(CACHE, "connect_refused")),
            (&[63], "every connection was cut", |harness| harness.cache.kill_connections(), CACHE_UP),
            (&[65], "frozen", |harness| harness.cache.behave(Valkey::frozen()), service(CACHE, "protocol_timeout")),
            (
                &[66],
                "closes",
                |harness| cache(harness, Valkey::answering(Script::new().close())),
                service(CACHE, "protocol_closed"),
            ),
            (&[95], "wants a password", |harness| cache(harness, Valkey::asking_for_password()), CACHE_UP),
            (&[96], "no permission", |harness| cache(harness, Valkey::failing("NOPERM no permissions")), CACHE_UP),
            (&[97], "loading", |harness| cache(harness, Valkey::loading()), service(CACHE, "protocol_loading")),
            (&[98], "its primary is away", |harness| cache(harness, Valkey::master_down()), REFUSED),
            (&[100], "protected mode", |harness| cache(harness, Valkey::protected()), REFUSED),
            (&[101], "full of clients", |harness| cache(harness, Valkey::full()), FULL),
            (&[101], "full, and the reset is faster", |harness| cache(harness, full_reset()), FULL),
            (&[102], "busy", |harness| cache(harness, Valkey::busy()), REFUSED),
            (&[102], "no disk", |harness| cache(harness, Valkey::misconf()), REFUSED),
            (&[102], "read only", |harness| cache(harness, Valkey::failing("READONLY x")), REFUSED),
            (&[102], "no cluster", |harness| cache(harness, Valkey::failing("CLUSTERDOWN x")), REFUSED),
            (&[102], "moved", |harness| cache(harness, Valkey::failing("MOVED 1 192.0.2.1:6379")), REFUSED),
            (&[86], "an error with a log line in it", |harness| cache(harness, Valkey::failing(FORGERY)), GARBAGE),
            (&[103], "a TLS port", |harness| pong(harness, banners::TLS), GARBAGE),
            (
                &[104],
                "PONG in segments",
                |harness| cache(harness, Valkey::answering(Script::new().send_split("+PONG\r\n", 1))),
                CACHE_UP,
            ),
            (&[104], "a push before PONG", |harness| pong(harness, b">2\r\n+a\r\n:1\r\n+PONG\r\n"), CACHE_UP),
            (&[105], "a text of 2 GB", |harness| pong(harness, b"$2147483647\r\n"), GARBAGE),
            (
                &[105],
                "lists without end",
                |harness| cache(harness, Valkey::answering(Script::new().flood("*1\r\n"))),
                GARBAGE,
            ),
            (
                &[105],
                "a line without end",
                |harness| cache(harness, Valkey::answering(Script::new().flood("+PONG"))),
                GARBAGE,
            ),
            (&[106], "memcached", |harness| pong(harness, banners::MEMCACHED), GARBAGE),
            (&[106], "a web server", |harness| pong(harness, banners::HTTP), GARBAGE),
            (
                &[68],
                "SSH has the port",
                |harness| cache(harness, Valkey::healthy().greeting(Script::say(banners::SSH))),
                GARBAGE,
            ),
        ],
    )
}

fn full_reset() -> Valkey {
    Valkey::healthy().greeting(Script::say("-ERR max number of clients reached\r\n").reset())
}

fn shallow() -> Vec<FaultCase> {
    of(
        Setup::Shallow,
        [
            (&[107, 108], "accepts without speaking", |harness| says(harness, &Script::silence()), DB_UP),
            (&[107, 109], "accepts, then closes", |harness| says(harness, &Script::new().close()), DB_UP),
            (&[52], "nothing listens", |harness| harness.db.stop(), service(DB, "connect_refused")),
        ],
    )
}
