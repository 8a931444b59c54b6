//! The table of faults: what is done to the world, and what then has to be seen. Rows are numbered as in the project's
//! list of faults, so that a number can be looked up on both sides; a row of the list may need several here.

use crate::rig::{Rig, Way};
use bytes::Bytes;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use tailscaled_sim::services::{DnsConduct, Postgres, Script, Socks5Conduct, Valkey, banners, messages};
use tailscaled_sim::{Backend, BackendState, Call, Crowd, Misbehaviour, Peer, Place, Warning};

/// A fault and its look.
pub struct Row {
    /// Numbers in the list of faults.
    pub numbers: &'static [u8],
    /// What has happened.
    pub fault: &'static str,
    pub way: Way,
    /// Makes it happen, while all is well.
    pub make: fn(&Rig),
    pub seen: Seen,
}

/// What is seen of a fault.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    /// The target stays up: no probe fails. The doctor may have an advice.
    Up { target: &'static str, advice: Option<&'static str> },
    /// The target goes down. Readiness in strict, local and observe follows from the scope.
    Down { target: &'static str, reason: &'static str, scope: &'static str },
}

impl Seen {
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
const DB_UP: Seen = Seen::Up { target: DB, advice: None };
const CACHE_UP: Seen = Seen::Up { target: CACHE, advice: None };

/// The target stays up, but a person is told something.
const fn advised(advice: &'static str) -> Seen {
    Seen::Up { target: DB, advice: Some(advice) }
}

/// The whole pod is at fault.
const fn pod(reason: &'static str) -> Seen {
    Seen::Down { target: DB, reason, scope: "pod" }
}

const fn path(reason: &'static str) -> Seen {
    Seen::Down { target: DB, reason, scope: "path" }
}

const fn service(target: &'static str, reason: &'static str) -> Seen {
    Seen::Down { target, reason, scope: "service" }
}

/// Every row.
pub fn rows() -> Vec<Row> {
    [socket(), localapi(), node(), names(), dialling(), proxy(), tun(), postgres(), login(), valkey(), shallow()]
        .into_iter()
        .flatten()
        .collect()
}

type Short = (&'static [u8], &'static str, fn(&Rig), Seen);

fn of<const N: usize>(way: Way, rows: [Short; N]) -> Vec<Row> {
    rows.into_iter().map(|(numbers, fault, make, seen)| Row { numbers, fault, way, make, seen }).collect()
}

fn socket() -> Vec<Row> {
    of(
        Way::Userspace,
        [
            (&[2], "tailscaled has ended, its socket is gone", |rig| rig.tailscaled.stop(), pod("node_socket_missing")),
            (
                &[3],
                "tailscaled was killed, its socket is left",
                |rig| rig.tailscaled.crash(),
                pod("node_socket_refused"),
            ),
            (
                &[5],
                "a file is in the socket's place",
                |rig| rig.tailscaled.place(Place::File),
                pod("node_socket_refused"),
            ),
            (&[5], "a folder is there", |rig| rig.tailscaled.place(Place::Folder), pod("node_socket_refused")),
            (&[5], "a dangling link", |rig| rig.tailscaled.place(Place::DanglingLink), pod("node_socket_missing")),
            (&[6], "tailscaled has restarted at a new inode", |rig| rig.tailscaled.listen(), DB_UP),
            (&[6], "tailscaled has cut every connection", |rig| rig.tailscaled.kill_connections(), DB_UP),
        ],
    )
}

fn misbehave(rig: &Rig, misbehaviour: Misbehaviour) {
    rig.tailscaled.misbehave(misbehaviour);
}

fn json(rig: &Rig, body: impl AsRef<[u8]>) {
    misbehave(rig, Misbehaviour::Json(Bytes::copy_from_slice(body.as_ref())));
}

fn error(rig: &Rig, status: u16) {
    misbehave(rig, Misbehaviour::Error(status, "a text".to_owned()));
}

fn localapi() -> Vec<Row> {
    const INVALID: Seen = pod("node_localapi_invalid");
    const TIMEOUT: Seen = pod("node_localapi_timeout");
    of(
        Way::Userspace,
        [
            (&[7], "accepts, never answers", |rig| misbehave(rig, Misbehaviour::Silent), TIMEOUT),
            (&[8], "stalls in the head", |rig| misbehave(rig, Misbehaviour::StallAfter(20)), TIMEOUT),
            (&[8], "stalls in the JSON", |rig| misbehave(rig, Misbehaviour::StallAfter(900)), TIMEOUT),
            (&[9], "drips", |rig| misbehave(rig, Misbehaviour::Drip(Duration::from_millis(100))), TIMEOUT),
            (&[10], "closes in the head", |rig| misbehave(rig, Misbehaviour::CloseAfter(20)), INVALID),
            (&[10], "closes in the JSON", |rig| misbehave(rig, Misbehaviour::CloseAfter(900)), INVALID),
            (&[10], "Content-Length is too large", |rig| misbehave(rig, Misbehaviour::ContentLength(10)), INVALID),
            (&[10], "Content-Length is too small", |rig| misbehave(rig, Misbehaviour::ContentLength(-10)), INVALID),
            (&[10], "a broken chunk", |rig| misbehave(rig, Misbehaviour::BrokenChunk), INVALID),
            (&[11], "not HTTP at all", |rig| misbehave(rig, Misbehaviour::not_http()), INVALID),
            (&[12], "1xx without end", |rig| misbehave(rig, Misbehaviour::informational_flood()), TIMEOUT),
            (&[12], "a head without end", |rig| misbehave(rig, Misbehaviour::endless_head()), INVALID),
            (&[12], "a redirect", |rig| misbehave(rig, Misbehaviour::redirect()), INVALID),
            (&[12], "101 without asking", |rig| misbehave(rig, Misbehaviour::unsolicited_upgrade()), INVALID),
            (&[13], "401", |rig| error(rig, 401), pod("node_socket_forbidden")),
            (&[13], "403", |rig| error(rig, 403), pod("node_socket_forbidden")),
            (
                &[13],
                "403 to dials alone",
                |rig| rig.tailscaled.misbehave_at(Call::Dial, Misbehaviour::Error(403, "no".to_owned())),
                pod("node_socket_forbidden"),
            ),
            (&[14], "404", |rig| error(rig, 404), INVALID),
            (&[14], "501", |rig| error(rig, 501), INVALID),
            (&[15], "500", |rig| error(rig, 500), INVALID),
            (&[15], "503, a line in the text", |rig| error_text(rig, 503, "a\n{\"level\":\"INFO\"}\x1b[2J"), INVALID),
            (&[16], "an empty answer", |rig| json(rig, ""), INVALID),
            (&[16], "a list", |rig| json(rig, "[]"), INVALID),
            (&[16], "an empty object", |rig| json(rig, "{}"), pod("node_localapi_invalid")),
            (&[16], "wrong types", |rig| json(rig, r#"{"BackendState":7,"Self":[],"Peer":"x"}"#), INVALID),
            (&[16], "cut JSON", |rig| json(rig, r#"{"BackendState":"Running","#), INVALID),
            (&[17], "100,000 arrays in each other", |rig| misbehave(rig, Misbehaviour::deep_nesting(100_000)), INVALID),
            (&[17], "invalid UTF-8", |rig| json(rig, b"{\"BackendState\":\"\xff\"}"), INVALID),
            (&[17], "1e999", |rig| json(rig, r#"{"BackendState":1e999}"#), INVALID),
            (&[17], "a text of 10 MB", |rig| misbehave(rig, Misbehaviour::giant_string(10 << 20)), INVALID),
            (
                &[18],
                "1,300 other peers, more than a MiB",
                |rig| rig.tailscaled.set_crowd(Crowd { peers: 1300, padding: 0 }),
                DB_UP,
            ),
            (&[18], "a body without end", |rig| misbehave(rig, Misbehaviour::endless_body()), TIMEOUT),
        ],
    )
}

fn error_text(rig: &Rig, status: u16, text: &str) {
    misbehave(rig, Misbehaviour::Error(status, text.to_owned()));
}

fn state(rig: &Rig, state: BackendState) {
    rig.tailscaled.set_backend_state(state);
}

fn node() -> Vec<Row> {
    of(
        Way::Userspace,
        [
            (&[19], "NoState", |rig| state(rig, BackendState::NoState), pod("node_starting")),
            (&[19], "Starting", |rig| state(rig, BackendState::Starting), pod("node_starting")),
            (&[20], "NeedsLogin", |rig| state(rig, BackendState::NeedsLogin), pod("node_needs_login")),
            (&[21], "NeedsMachineAuth", |rig| state(rig, BackendState::NeedsMachineAuth), pod("node_needs_approval")),
            (&[22], "the own key has expired", |rig| rig.tailscaled.expire_own_key(), pod("node_key_expired")),
            (&[23], "`tailscale down`", |rig| state(rig, BackendState::Stopped), pod("node_stopped")),
            (&[24], "Running without an address", |rig| rig.tailscaled.take_addresses(), pod("node_no_address")),
            (&[16], "InUseOtherUser", |rig| state(rig, BackendState::InUseOtherUser), pod("node_localapi_invalid")),
            (
                &[16],
                "a state of the future",
                |rig| state(rig, BackendState::Other("Paused\n\"x\u{202e}".to_owned())),
                pod("node_localapi_invalid"),
            ),
            (
                &[25],
                "the node was deleted: peers vanish",
                |rig| {
                    rig.tailscaled.set_control_online(false);
                    rig.tailscaled.remove_peer("db");
                    rig.tailscaled.remove_peer("cache");
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[26],
                "no connection to control",
                |rig| rig.tailscaled.set_control_online(false),
                advised("control_unreachable"),
            ),
            (&[28], "health texts", |rig| rig.tailscaled.set_health(&["UDP is blocked\n{}", "no DERP"]), DB_UP),
            (
                &[28],
                "health warnings",
                |rig| rig.tailscaled.warn("no-derp-connection", Warning::new("no 'nyc'\n{}")),
                advised("health_warning"),
            ),
            (
                &[27],
                "locked out by tailnet lock: peers vanish",
                |rig| {
                    rig.tailscaled.warn("tailnet-lock-locked-out", Warning::new("this node is locked out"));
                    rig.tailscaled.remove_peer("db");
                    rig.tailscaled.remove_peer("cache");
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[22],
                "the own key expires tomorrow",
                |rig| rig.tailscaled.world(|world| world.key_expiry = Some(SystemTime::now() + DAY)),
                advised("own_key_expires"),
            ),
            (
                &[30],
                "the stream of news says nothing any more",
                |rig| {
                    rig.tailscaled.misbehave_at(Call::Bus, Misbehaviour::Silent);
                    rig.tailscaled.kill_connections();
                },
                DB_UP,
            ),
        ],
    )
}

fn names() -> Vec<Row> {
    of(
        Way::Userspace,
        [
            (&[33], "the peer was removed", |rig| rig.tailscaled.remove_peer("db"), path("resolve_not_in_netmap")),
            (
                &[33],
                "the peer was renamed, and another begins alike",
                |rig| {
                    rig.tailscaled.remove_peer("db");
                    rig.tailscaled.add_peer(Peer::new("db-1").ip("100.64.0.9"));
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[41],
                "the name is behind a subnet router",
                |rig| {
                    rig.tailscaled.remove_peer("db");
                    rig.tailscaled.add_peer(Peer::new("router").ip("100.64.0.8").allowed_ip("100.64.0.2/31"));
                },
                path("resolve_not_in_netmap"),
            ),
            (&[44], "the peer has another address", |rig| move_db(rig, "100.64.0.20"), DB_UP),
            (
                &[69],
                "the peer has IPv6 as well",
                |rig| {
                    rig.tailscaled
                        .update_peer("db", |db| db.ips.insert(0, "fd7a:115c:a1e0::2".parse().expect("an address")))
                },
                DB_UP,
            ),
            (&[56], "control calls the peer offline", |rig| rig.tailscaled.set_peer_online("db", false), DB_UP),
            (
                &[94],
                "another machine carries the name",
                |rig| {
                    rig.tailscaled.remove_peer("db");
                    rig.tailscaled.add_peer(Peer::new("db").ip("100.64.0.30"));
                },
                DB_UP,
            ),
            (
                &[57],
                "the peer's key expires tomorrow",
                |rig| rig.tailscaled.update_peer("db", |db| db.key_expiry = Some(SystemTime::now() + DAY)),
                advised("peer_key_expires"),
            ),
            (
                &[57],
                "the peer's key has expired",
                |rig| rig.tailscaled.expire_peer("db"),
                service(DB, "resolve_peer_expired"),
            ),
        ],
    )
}

fn move_db(rig: &Rig, ip: &str) {
    rig.tailscaled.update_peer("db", |db| db.ips = vec![ip.parse().expect("an address")]);
}

fn backend(rig: &Rig, backend: Backend) {
    rig.tailscaled.set_backend("db", 5432, backend);
}

fn glued(rig: &Rig, stream: &[u8]) {
    rig.tailscaled.misbehave_at(Call::Dial, Misbehaviour::glued_upgrade(stream));
}

fn dialling() -> Vec<Row> {
    of(
        Way::Userspace,
        [
            (&[51], "tailscaled cannot dial", |rig| fails(rig, "no such thing\n{}"), path("connect_failed")),
            (&[52], "nothing listens", |rig| rig.db.stop(), service(DB, "connect_refused")),
            (&[52], "the port is closed", |rig| backend(rig, Backend::Refuse), service(DB, "connect_refused")),
            (&[53, 67], "no answer to SYN", |rig| backend(rig, Backend::BlackHole), path("connect_dropped")),
            (&[58], "the policy drops", |rig| rig.tailscaled.set_peer_silent("db", true), path("connect_dropped")),
            (
                &[53],
                "the machine is frozen",
                |rig| rig.tailscaled.set_peer_frozen("db", true),
                path("connect_tunnel_dead"),
            ),
            (
                &[53],
                "nothing answers, and the local tailscaled refuses pings",
                |rig| {
                    rig.tailscaled.misbehave_at(Call::Ping, Misbehaviour::Error(500, "no".to_owned()));
                    backend(rig, Backend::BlackHole);
                },
                path("connect_timeout"),
            ),
            (&[54], "no route", |rig| fails(rig, "connect tcp: no route to host"), path("connect_unreachable")),
            (&[54], "no network", |rig| fails(rig, "network is unreachable"), path("connect_unreachable")),
            (&[53], "tailscaled gives up", |rig| fails(rig, "operation timed out"), path("connect_dropped")),
            (&[55], "Dial-Self", |rig| backend(rig, Backend::DialSelf), path("connect_not_routed")),
            (
                &[59, 60],
                "the path falls back to DERP",
                |rig| rig.tailscaled.update_peer("db", |db| db.go_derp("fra")),
                advised("path_over_derp"),
            ),
            (
                &[62, 63],
                "connected, then nothing comes through",
                |rig| backend(rig, Backend::Mute),
                service(DB, "protocol_timeout"),
            ),
            (
                &[63],
                "connected, then nothing comes through, and the machine is frozen",
                |rig| {
                    rig.db.behave(Postgres::frozen());
                    rig.tailscaled.misbehave_at(Call::Ping, Misbehaviour::Silent);
                },
                path("protocol_tunnel_dead"),
            ),
            (
                &[62],
                "large packets are dropped",
                |rig| {
                    rig.db.behave(Postgres::frozen());
                    rig.tailscaled.update_peer("db", |db| {
                        db.go_direct("192.0.2.7:41641");
                        db.largest_udp = Some(1200);
                    });
                },
                path("protocol_mtu"),
            ),
            (
                &[71],
                "a stream that holds an HTTP error",
                |rig| glued(rig, banners::HTTP),
                service(DB, "protocol_garbage"),
            ),
            (&[12], "101 and the answer in one piece", |rig| glued(rig, b"N"), DB_UP),
        ],
    )
}

fn fails(rig: &Rig, text: &str) {
    backend(rig, Backend::Fail(text.to_owned()));
}

fn proxy() -> Vec<Row> {
    const UNREACHABLE: Seen = pod("connect_socks_unreachable");
    const INVALID: Seen = pod("connect_socks_invalid");
    const FAILED: Seen = path("connect_socks_failed");
    of(
        Way::Proxy,
        [
            (&[47], "nothing listens at the proxy's port", |rig| rig.proxy.stop(), UNREACHABLE),
            (&[47], "the proxy is mute", |rig| rig.proxy.behave(Socks5Conduct::Silent), UNREACHABLE),
            (&[47], "the proxy wants a password", |rig| rig.proxy.behave(Socks5Conduct::Method(0xff)), INVALID),
            (
                &[68],
                "another program has the proxy's port",
                |rig| rig.proxy.behave(Socks5Conduct::Garbage(Bytes::from_static(banners::HTTP))),
                INVALID,
            ),
            (&[66], "the proxy hangs up", |rig| rig.proxy.behave(Socks5Conduct::Close), INVALID),
            (&[52, 53], "the proxy cannot connect", |rig| rig.proxy.behave(Socks5Conduct::Reply(1)), FAILED),
            (&[66], "the proxy hangs up at CONNECT", |rig| rig.proxy.behave(Socks5Conduct::CloseAtConnect), FAILED),
            (
                &[53],
                "the proxy never says how CONNECT went",
                |rig| rig.proxy.behave(Socks5Conduct::SilentAtConnect),
                path("connect_dropped"),
            ),
            (&[68], "the proxy tells a bound name", |rig| rig.proxy.behave(Socks5Conduct::Bound(3)), DB_UP),
            (&[68], "the proxy tells a bound IPv6", |rig| rig.proxy.behave(Socks5Conduct::Bound(4)), DB_UP),
            (
                &[65],
                "Postgres is frozen behind it",
                |rig| rig.db.behave(Postgres::frozen()),
                service(DB, "protocol_timeout"),
            ),
        ],
    )
}

const DB_NAME: &str = "db.tail1234.ts.net";

fn records(rig: &Rig, ips: &[&str]) {
    rig.dns.set(DB_NAME, &ips.iter().map(|ip| ip.parse().expect("an address")).collect::<Vec<IpAddr>>());
}

fn tun() -> Vec<Row> {
    const FAILED: Seen = pod("resolve_dns_failed");
    const MISMATCH: Seen = pod("resolve_dns_mismatch");
    of(
        Way::Tun,
        [
            (&[33], "NXDOMAIN", |rig| rig.dns.behave(DnsConduct::Code(3)), FAILED),
            (&[34], "SERVFAIL", |rig| rig.dns.behave(DnsConduct::Code(2)), FAILED),
            (&[35], "REFUSED", |rig| rig.dns.behave(DnsConduct::Code(5)), FAILED),
            (&[35], "NOTIMP", |rig| rig.dns.behave(DnsConduct::Code(4)), FAILED),
            (&[35], "FORMERR", |rig| rig.dns.behave(DnsConduct::Code(1)), FAILED),
            (&[36, 47], "MagicDNS does not answer", |rig| rig.dns.behave(DnsConduct::Silent), FAILED),
            (&[37], "truncated, and TCP is never asked", |rig| rig.dns.behave(DnsConduct::Truncated), FAILED),
            (&[38], "a name that points to itself", |rig| rig.dns.behave(DnsConduct::PointerLoop), FAILED),
            (&[38], "more records announced than sent", |rig| rig.dns.behave(DnsConduct::LyingCount), FAILED),
            (
                &[38],
                "no DNS message",
                |rig| rig.dns.behave(DnsConduct::Garbage(Bytes::from_static(b"\xff\xff\n{}"))),
                FAILED,
            ),
            (&[39], "another question's id", |rig| rig.dns.behave(DnsConduct::WrongId), FAILED),
            (&[39], "another question", |rig| rig.dns.behave(DnsConduct::WrongQuestion), FAILED),
            (&[40], "no records", |rig| records(rig, &[]), FAILED),
            (&[42], "an alias for itself", |rig| rig.dns.behave(DnsConduct::AliasLoop), FAILED),
            (&[41, 46], "an address outside the tailnet", |rig| records(rig, &["192.0.2.7"]), MISMATCH),
            (&[43], "an address of before", |rig| records(rig, &["127.0.0.99"]), MISMATCH),
            (&[45], "two addresses, one of them foreign", |rig| records(rig, &["127.0.0.11", "192.0.2.7"]), MISMATCH),
            (&[50], "TTL 0", |rig| rig.dns.set_ttl(0), DB_UP),
            (&[50], "the longest TTL", |rig| rig.dns.set_ttl(u32::MAX), DB_UP),
            (&[52], "nothing listens", |rig| rig.db.stop(), service(DB, "connect_refused")),
            (&[65], "accepts, then silence", |rig| rig.db.behave(Postgres::frozen()), service(DB, "protocol_timeout")),
            (&[23], "`tailscale down`", |rig| state(rig, BackendState::Stopped), pod("node_stopped")),
            (
                &[57],
                "the peer's key has expired",
                |rig| rig.tailscaled.expire_peer("db"),
                service(DB, "resolve_peer_expired"),
            ),
        ],
    )
}

fn says(rig: &Rig, script: &Script) {
    rig.db.behave(Postgres::always(script));
}

fn postgres() -> Vec<Row> {
    const GARBAGE: Seen = service(DB, "protocol_garbage");
    const CLOSED: Seen = service(DB, "protocol_closed");
    const TIMEOUT: Seen = service(DB, "protocol_timeout");
    of(
        Way::Userspace,
        [
            (&[64], "reset after accepting", |rig| says(rig, &Script::new().reset()), CLOSED),
            (
                &[64],
                "reset in an answer",
                |rig| says(rig, &Script::reset_at(&messages::error("57P03", "x"), 7)),
                CLOSED,
            ),
            (&[65, 91], "accepts, then silence", |rig| says(rig, &Script::silence()), TIMEOUT),
            (&[66, 107], "accepts, then closes", |rig| says(rig, &Script::new().close()), CLOSED),
            (&[68, 88], "SSH has the port", |rig| greets(rig, banners::SSH), GARBAGE),
            (&[68, 88], "a web server has the port", |rig| says(rig, &Script::say(banners::HTTP).close()), GARBAGE),
            (&[88], "a TLS alert", |rig| says(rig, &Script::say(banners::TLS).close()), GARBAGE),
            (&[88, 72], "a mail server speaks first", |rig| greets(rig, banners::SMTP), GARBAGE),
            (&[72], "something unknown speaks first", |rig| greets(rig, b"\0\0\0"), GARBAGE),
            (&[81], "only TLS is let in", |rig| rig.db.behave(Postgres::refusing("28000", "no encryption")), DB_UP),
            (&[82], "bytes glued behind the answer", |rig| says(rig, &Script::say("Nx")), GARBAGE),
            (&[83], "a server before 12", |rig| rig.db.behave(Postgres::before_12()), DB_UP),
            (&[73, 76], "full or starting cannot be seen without a user", |rig| rig.db.behave(Postgres::full()), DB_UP),
            (
                &[84],
                "an error of length 0",
                |rig| says(rig, &Script::say(messages::with_length(b'E', 0, b""))),
                GARBAGE,
            ),
            (
                &[84],
                "an error of length 3",
                |rig| says(rig, &Script::say(messages::with_length(b'E', 3, b""))),
                GARBAGE,
            ),
            (
                &[84],
                "an error of 2 GB",
                |rig| says(rig, &Script::say(messages::with_length(b'E', 0x7fff_ffff, b"x"))),
                GARBAGE,
            ),
            (&[85], "an answer without end", |rig| says(rig, &Script::new().flood("E")), GARBAGE),
            (&[86], "an error without a code", |rig| says(rig, &Script::say(messages::message(b'E', b"Mx"))), REJECTED),
            (&[86], "an error with a log line in it", |rig| says(rig, &Script::say(forged())), REJECTED),
            (&[87], "one byte a second", |rig| says(rig, &dripped()), TIMEOUT),
            (&[110], "a reset some time later", |rig| says(rig, &later_reset()), CLOSED),
        ],
    )
}

const REJECTED: Seen = service(DB, "protocol_rejected");

fn greets(rig: &Rig, banner: &[u8]) {
    rig.db.behave(Postgres::asking_for_password().greeting(Script::say(banner)));
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

fn refuses(rig: &Rig, sqlstate: &str, text: &str) {
    rig.db.behave(Postgres::refusing(sqlstate, text));
}

fn answers(rig: &Rig, script: Script) {
    rig.db.behave(Postgres::asking_for_password().startup(script));
}

fn login() -> Vec<Row> {
    const STARTING: Seen = service(DB, "protocol_starting");
    const ENDING: Seen = service(DB, "protocol_shutting_down");
    of(
        Way::WithUser,
        [
            (&[73], "starting up", |rig| rig.db.behave(Postgres::starting()), STARTING),
            (
                &[74],
                "no hot standby",
                |rig| refuses(rig, "57P03", "the database system is not accepting connections"),
                STARTING,
            ),
            (&[76], "full", |rig| rig.db.behave(Postgres::full()), service(DB, "protocol_full")),
            (&[77], "shutting down", |rig| rig.db.behave(Postgres::shutting_down()), ENDING),
            (&[77], "ended by an administrator", |rig| refuses(rig, "57P01", "terminating connection"), ENDING),
            (&[78], "no line in pg_hba.conf", |rig| refuses(rig, "28000", "no pg_hba.conf entry"), DB_UP),
            (&[78], "wrong password", |rig| refuses(rig, "28P01", "password authentication failed"), DB_UP),
            (&[79], "no such database", |rig| refuses(rig, "3D000", "database \"x\" does not exist"), DB_UP),
            (&[80], "asks for md5", |rig| answers(rig, Script::say(messages::md5())), DB_UP),
            (&[80], "lets everybody in", |rig| rig.db.behave(Postgres::trusting()), DB_UP),
            (&[89], "asks for the password itself", |rig| answers(rig, Script::say(messages::cleartext())), DB_UP),
            (
                &[83],
                "negotiates the protocol",
                |rig| answers(rig, Script::say([messages::negotiate_protocol_version(), messages::sasl()].concat())),
                DB_UP,
            ),
            (
                &[85],
                "notices without end",
                |rig| answers(rig, Script::new().flood(messages::notice("x"))),
                service(DB, "protocol_garbage"),
            ),
            (&[86], "an error with a log line in it", |rig| answers(rig, Script::say(forged()).close()), REJECTED),
            (&[87], "an answer in segments", |rig| answers(rig, Script::new().send_split(messages::sasl(), 6)), DB_UP),
            (&[90], "a pooler with a dead backend", |rig| answers(rig, Script::say(messages::sasl())), DB_UP),
            (&[91], "a pooler that waits", |rig| answers(rig, Script::silence()), service(DB, "protocol_timeout")),
            (
                &[66],
                "a proxy without backend",
                |rig| answers(rig, Script::new().close()),
                service(DB, "protocol_closed"),
            ),
        ],
    )
}

fn cache(rig: &Rig, manner: Valkey) {
    rig.cache.behave(manner);
    // What greets does so on a new connection.
    rig.cache.kill_connections();
}

fn pong(rig: &Rig, answer: &[u8]) {
    cache(rig, Valkey::answering(Script::say(answer)));
}

fn valkey() -> Vec<Row> {
    const GARBAGE: Seen = service(CACHE, "protocol_garbage");
    const REFUSED: Seen = service(CACHE, "protocol_rejected");
    const FULL: Seen = service(CACHE, "protocol_full");
    of(
        Way::Userspace,
        [
            (&[52], "nothing listens", |rig| rig.cache.stop(), service(CACHE, "connect_refused")),
            (&[63], "every connection was cut", |rig| rig.cache.kill_connections(), CACHE_UP),
            (&[65], "frozen", |rig| rig.cache.behave(Valkey::frozen()), service(CACHE, "protocol_timeout")),
            (
                &[66],
                "closes",
                |rig| cache(rig, Valkey::answering(Script::new().close())),
                service(CACHE, "protocol_closed"),
            ),
            (&[95], "wants a password", |rig| cache(rig, Valkey::asking_for_password()), CACHE_UP),
            (&[96], "no permission", |rig| cache(rig, Valkey::failing("NOPERM no permissions")), CACHE_UP),
            (&[97], "loading", |rig| cache(rig, Valkey::loading()), service(CACHE, "protocol_loading")),
            (&[98], "its primary is away", |rig| cache(rig, Valkey::master_down()), REFUSED),
            (&[100], "protected mode", |rig| cache(rig, Valkey::protected()), REFUSED),
            (&[101], "full of clients", |rig| cache(rig, Valkey::full()), FULL),
            (&[101], "full, and the reset is faster", |rig| cache(rig, full_reset()), FULL),
            (&[102], "busy", |rig| cache(rig, Valkey::busy()), REFUSED),
            (&[102], "no disk", |rig| cache(rig, Valkey::misconf()), REFUSED),
            (&[102], "read only", |rig| cache(rig, Valkey::failing("READONLY x")), REFUSED),
            (&[102], "no cluster", |rig| cache(rig, Valkey::failing("CLUSTERDOWN x")), REFUSED),
            (&[102], "moved", |rig| cache(rig, Valkey::failing("MOVED 1 192.0.2.1:6379")), REFUSED),
            (&[86], "an error with a log line in it", |rig| cache(rig, Valkey::failing(FORGERY)), GARBAGE),
            (&[103], "a TLS port", |rig| pong(rig, banners::TLS), GARBAGE),
            (
                &[104],
                "PONG in segments",
                |rig| cache(rig, Valkey::answering(Script::new().send_split("+PONG\r\n", 1))),
                CACHE_UP,
            ),
            (&[104], "a push before PONG", |rig| pong(rig, b">2\r\n+a\r\n:1\r\n+PONG\r\n"), CACHE_UP),
            (&[105], "a text of 2 GB", |rig| pong(rig, b"$2147483647\r\n"), GARBAGE),
            (&[105], "lists without end", |rig| cache(rig, Valkey::answering(Script::new().flood("*1\r\n"))), GARBAGE),
            (&[105], "a line without end", |rig| cache(rig, Valkey::answering(Script::new().flood("+PONG"))), GARBAGE),
            (&[106], "memcached", |rig| pong(rig, banners::MEMCACHED), GARBAGE),
            (&[106], "a web server", |rig| pong(rig, banners::HTTP), GARBAGE),
            (
                &[68],
                "SSH has the port",
                |rig| cache(rig, Valkey::healthy().greeting(Script::say(banners::SSH))),
                GARBAGE,
            ),
        ],
    )
}

fn full_reset() -> Valkey {
    Valkey::healthy().greeting(Script::say("-ERR max number of clients reached\r\n").reset())
}

fn shallow() -> Vec<Row> {
    of(
        Way::Shallow,
        [
            (&[107, 108], "accepts without speaking", |rig| says(rig, &Script::silence()), DB_UP),
            (&[107, 109], "accepts, then closes", |rig| says(rig, &Script::new().close()), DB_UP),
            (&[52], "nothing listens", |rig| rig.db.stop(), service(DB, "connect_refused")),
        ],
    )
}
