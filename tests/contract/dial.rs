//! What a dial comes to, on the wire and as telltail reads it.

use super::raw::{self, Answer, Connection};
use super::{CLOSED, SERVED, SERVICE, SOON, State, World, addresses, client, since};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use telltail::reason::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// How a dial ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 101.
    Connected,
    /// 502: nothing listens.
    Refused,
    /// 502: the kernel has no route.
    Unreachable,
    /// 200, Dial-Self.
    DialSelf,
    /// No answer, for as long as one waits.
    Silent,
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

/// What a dial to the peer's service comes to in a state: the heart of the contract.
pub fn to_peer(world: &impl World, state: State) -> Outcome {
    let stranger = stranger(world);
    match state {
        State::Healthy
        | State::ServiceOffered
        | State::PeerOffline
        | State::UdpBlocked
        | State::LargeLost
        | State::NoDerp => Outcome::Connected,
        State::PeerSilent | State::PeerFrozen => Outcome::Silent,
        State::PeerGone | State::WithoutControl | State::LoggedOut => stranger,
        // The node's own stack still knows the address and waits; the kernel's routes are gone.
        State::PeerExpired | State::OwnKeyExpired | State::Stopped => {
            if world.tun() {
                stranger
            } else {
                Outcome::Silent
            }
        }
    }
}

/// An address that is nobody's in the tailnet. Before 1.98 tailscaled dialled it from its own network, where nobody
/// answers at such an address.
fn stranger(world: &impl World) -> Outcome {
    if since(world, 98) { Outcome::DialSelf } else { Outcome::Silent }
}

/// Waits until the tailnet has become what was asked for: maps and routes take a moment.
pub async fn settled(world: &impl World, state: State) {
    let want = to_peer(world, state);
    let begun = Instant::now();
    loop {
        // Not long: a dial that began while there was no route may never end, though there is one by now.
        let have = on_the_wire(world, &world.peer().to_string(), SERVED, 2 * world.silence()).await.0;
        if have == want {
            return;
        }
        assert!(begun.elapsed() < SOON, "{state:?}: a dial to the peer still comes to {have:?}, not {want:?}");
        tokio::time::sleep(world.silence() / 10).await;
    }
}

/// Who wants silence waits less.
fn patience(world: &impl World, want: Outcome) -> Duration {
    if want == Outcome::Silent { world.silence() } else { SOON }
}

/// The outcome and the answer, if there was one.
async fn on_the_wire(world: &impl World, host: &str, port: u16, patience: Duration) -> (Outcome, Option<Answer>) {
    let Ok(answer) = timeout(patience, raw::ask(world, &raw::dial(host, &port.to_string()))).await else {
        return (Outcome::Silent, None);
    };
    let outcome = match answer.status {
        101 => Outcome::Connected,
        200 if answer.header("Dial-Self") == Some("true") && answer.body.is_empty() => Outcome::DialSelf,
        502 if answer.body.contains("refused") => Outcome::Refused,
        502 if answer.body.contains("network is unreachable") => Outcome::Unreachable,
        _ => panic!("{host}:{port}: {answer:?}"),
    };
    (outcome, Some(answer))
}

/// The outcome as telltail's client tells it.
async fn by_the_client(world: &impl World, to: SocketAddr, want: Outcome) -> Outcome {
    match timeout(patience(world, want), client(world).dialer().dial(to))
        .await
        .map(|dialled| dialled.map_err(|failure| failure.reason))
    {
        Err(_) => Outcome::Silent,
        Ok(Ok(_)) => Outcome::Connected,
        Ok(Err(Reason::ConnectRefused)) => Outcome::Refused,
        Ok(Err(Reason::ConnectUnreachable)) => Outcome::Unreachable,
        Ok(Err(Reason::ConnectNotRouted)) => Outcome::DialSelf,
        Ok(Err(reason)) => panic!("{to}: {}", reason.slug()),
    }
}

/// Says what a dial must come to, both ways of asking, and what the answer must name.
async fn comes_to(world: &impl World, to: impl Into<SocketAddr>, want: Outcome) {
    let to = to.into();
    let host = to.ip().to_string();
    let ((have, answer), read) =
        tokio::join!(on_the_wire(world, &host, to.port(), patience(world, want)), by_the_client(world, to, want));
    assert_eq!((have, read), (want, want), "{to}, on the wire and by the client");
    if have == Outcome::DialSelf {
        assert_eq!(answer.unwrap().header("Dial-Addr"), Some(&*to.to_string()));
    }
    // A dial that one has left is no burden to those after it.
    assert!(raw::status(world).await.is_object());
}

/// The peer's second address.
async fn peer_v6(world: &impl World) -> IpAddr {
    let status = raw::status(world).await;
    addresses(status["Peer"].as_object().unwrap().values().next().unwrap()).1
}

pub async fn carries_bytes_both_ways(world: &impl World) {
    let v6 = peer_v6(world).await;
    for to in [IpAddr::from(world.peer()), v6] {
        comes_to(world, (to, SERVED), Outcome::Connected).await;
        let mut connection = Connection::open(world.socket()).await;
        connection.send(&format!("{}\r\n\r\n", raw::dial(&to.to_string(), &SERVED.to_string()))).await;
        assert_eq!(connection.answer().await.status, 101);
        let mut stream = client(world).dialer().dial((to, SERVED).into()).await.unwrap();
        for _ in 0..3 {
            connection.send(std::str::from_utf8(PING).unwrap()).await;
            assert_eq!(connection.exactly(PONG.len()).await, PONG);
            stream.write_all(PING).await.unwrap();
            let mut pong = [0; PONG.len()];
            timeout(SOON, stream.read_exact(&mut pong)).await.unwrap().unwrap();
            assert_eq!(pong, PONG);
        }
    }
}

/// Who ends one direction ends both: Valkey itself would go on answering.
pub async fn has_no_half_close(world: &impl World) {
    let mut connection = Connection::open(world.socket()).await;
    connection.send(&format!("{}\r\n\r\n", raw::dial(&world.peer().to_string(), &SERVED.to_string()))).await;
    assert_eq!(connection.answer().await.status, 101);
    connection.close_write_side().await;
    assert!(connection.ends().await);
}

pub async fn knows_names(world: &impl World) {
    let full = format!("db.{}", world.suffix());
    for host in ["db", "DB", &full, &format!("{full}.")] {
        assert_eq!(on_the_wire(world, host, SERVED, SOON).await.0, Outcome::Connected, "{host}");
    }
}

pub async fn says_how_it_was_refused(world: &impl World) {
    for to in [IpAddr::from(world.peer()), peer_v6(world).await] {
        let to = SocketAddr::from((to, CLOSED));
        comes_to(world, to, Outcome::Refused).await;
        let (_, answer) = on_the_wire(world, &to.ip().to_string(), CLOSED, SOON).await;
        let text = if world.tun() {
            format!("dial failure: dial tcp {to}: connect: connection refused\n")
        } else {
            format!("dial failure: connect tcp {to}: connection was refused\n")
        };
        assert_eq!(answer.unwrap().body, text);
    }
}

/// Why addresses must come from the netmap: before 1.98 this "succeeds".
pub async fn to_an_address_of_nobody(world: &impl World) {
    let here = if since(world, 98) { Outcome::DialSelf } else { Outcome::Connected };
    comes_to(world, world.foreign(), here).await;
    // Port 1 of tailscaled's own loopback.
    let loopback = if since(world, 98) { Outcome::DialSelf } else { Outcome::Refused };
    comes_to(world, (Ipv4Addr::LOCALHOST, 1), loopback).await;
}

pub async fn to_a_tailnet_address_of_nobody(world: &impl World) {
    comes_to(world, (Ipv4Addr::new(100, 64, 0, 99), SERVED), stranger(world)).await;
    // All of the tailnet's IPv6 is one route, which a userspace tailscaled leaves to a kernel that has none.
    let made_up: IpAddr = "fd7a:115c:a1e0::99".parse().unwrap();
    let want = if world.tun() { Outcome::Silent } else { Outcome::Unreachable };
    comes_to(world, (made_up, SERVED), want).await;
}

pub async fn to_the_own_node(world: &impl World) {
    let (v4, v6) = addresses(&raw::status(world).await["Self"]);
    let (want_v4, want_v6) = match (world.tun(), since(world, 98)) {
        (true, true) => (Outcome::DialSelf, Outcome::Refused),
        (true, false) | (false, true) => (Outcome::Refused, Outcome::Refused),
        (false, false) => (Outcome::Silent, Outcome::Silent),
    };
    comes_to(world, (v4, CLOSED), want_v4).await;
    comes_to(world, (v6, CLOSED), want_v6).await;
}

/// The own node while its engine is at rest: only the way over loopback needs no engine.
pub async fn to_the_own_node_at_rest(world: &impl World) {
    let (v4, _) = addresses(&raw::status(world).await["Self"]);
    let want = match (world.tun(), since(world, 98)) {
        (true, true) => Outcome::DialSelf,
        (false, true) => Outcome::Refused,
        (_, false) => Outcome::Silent,
    };
    comes_to(world, (v4, CLOSED), want).await;
}

pub async fn to_magic_dns(world: &impl World) {
    let magic = Ipv4Addr::new(100, 100, 100, 100);
    let (dns, other) = match (world.tun(), since(world, 98)) {
        (false, _) => (Outcome::Silent, Outcome::Silent),
        (true, true) => (Outcome::Connected, Outcome::Refused),
        (true, false) => (Outcome::Connected, Outcome::Silent),
    };
    comes_to(world, (magic, 53), dns).await;
    comes_to(world, (magic, 54), other).await;
}

/// It goes to the resolver of tailscaled's container, never only to the tailnet: one reason to dial addresses alone.
pub async fn of_an_unknown_name(world: &impl World) {
    let step = if since(world, 98) { "resolve" } else { "dial" };
    for host in ["nosuch", &format!("nosuch.{}", world.suffix()), "nosuch.example.com"] {
        let answer = raw::ask(world, &raw::dial(host, "1")).await;
        assert_eq!(answer.status, 502, "{host}");
        assert!(answer.body.starts_with(&format!("{step} failure: lookup ")), "{}", answer.body);
    }
}

pub async fn of_a_port_that_is_none(world: &impl World) {
    let step = if since(world, 98) { "resolve" } else { "dial" };
    for port in ["zzz", "99999"] {
        let answer = raw::ask(world, &raw::dial("db", port)).await;
        let text = format!("{step} failure: invalid port in address \"db:{port}\"\n");
        assert_eq!((answer.status, answer.body), (502, text));
    }
    assert_eq!(raw::ask(world, &raw::dial("db", "")).await.status, 400, "an empty header is none");
}

/// Nobody serves there, so the host drops what comes; but to the host it goes.
pub async fn goes_to_the_host_of_a_service(world: &impl World) {
    comes_to(world, (SERVICE, SERVED), Outcome::Silent).await;
}

pub async fn to_the_peer_offline(world: &impl World) {
    at_rest(world, State::PeerOffline).await;
}

pub async fn to_the_peer_silent(world: &impl World) {
    at_rest(world, State::PeerSilent).await;
    comes_to(world, (world.peer(), CLOSED), Outcome::Silent).await;
}

pub async fn to_the_peer_gone(world: &impl World) {
    at_rest(world, State::PeerGone).await;
}

pub async fn to_the_peer_expired(world: &impl World) {
    at_rest(world, State::PeerExpired).await;
    let v6 = if !world.tun() { Outcome::Silent } else { stranger_v6(world) };
    comes_to(world, (peer_v6(world).await, SERVED), v6).await;
}

pub async fn with_own_key_expired(world: &impl World) {
    at_rest(world, State::OwnKeyExpired).await;
    let v6 = if !world.tun() { Outcome::Silent } else { stranger_v6(world) };
    comes_to(world, (peer_v6(world).await, SERVED), v6).await;
}

pub async fn while_stopped(world: &impl World) {
    at_rest(world, State::Stopped).await;
    let v6 = if !world.tun() { Outcome::Silent } else { stranger_v6(world) };
    comes_to(world, (peer_v6(world).await, SERVED), v6).await;
    let here = if since(world, 98) { Outcome::DialSelf } else { Outcome::Connected };
    comes_to(world, world.foreign(), here).await;
}

/// With no valid peer left, the tailnet's IPv6 is no route any more. No network here has another IPv6.
fn stranger_v6(world: &impl World) -> Outcome {
    if since(world, 98) { Outcome::DialSelf } else { Outcome::Unreachable }
}

pub async fn without_control(world: &impl World) {
    at_rest(world, State::WithoutControl).await;
}

pub async fn logged_out(world: &impl World) {
    at_rest(world, State::LoggedOut).await;
    comes_to(world, world.foreign(), if since(world, 98) { Outcome::DialSelf } else { Outcome::Connected }).await;
}

async fn at_rest(world: &impl World, state: State) {
    comes_to(world, (world.peer(), SERVED), to_peer(world, state)).await;
}
