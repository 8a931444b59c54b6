//! Dials, on the wire and as telltail reads them.

use super::raw::{self, RawConnection, RawResponse};
use super::{CLOSED, SERVED, SERVICE, SOON, State, Testbed, addresses, client, since};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use telltail::reason::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// How a dial ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialOutcome {
    /// 101.
    Connected,
    /// 502: nothing listens.
    Refused,
    /// 502: the kernel has no route.
    Unreachable,
    /// 200, Dial-Self.
    DialSelf,
    /// No response.
    Silent,
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

/// The outcome of a dial to the peer's service in each state.
pub fn to_peer(testbed: &impl Testbed, state: State) -> DialOutcome {
    let unknown_address = unknown_address(testbed);
    match state {
        State::Healthy
        | State::ServiceOffered
        | State::PeerOffline
        | State::UdpBlocked
        | State::LargeLost
        | State::NoDerp => DialOutcome::Connected,
        State::PeerSilent | State::PeerFrozen => DialOutcome::Silent,
        State::PeerGone | State::WithoutControl | State::LoggedOut => unknown_address,
        // The node's own stack still knows the address and waits; the kernel's routes are gone.
        State::PeerExpired | State::OwnKeyExpired | State::Stopped => {
            if testbed.tun() {
                unknown_address
            } else {
                DialOutcome::Silent
            }
        }
    }
}

/// An address of no node. Before 1.98 tailscaled dials it from its own network, where it does not exist.
fn unknown_address(testbed: &impl Testbed) -> DialOutcome {
    if since(testbed, 98) { DialOutcome::DialSelf } else { DialOutcome::Silent }
}

/// Waits until netmap and routes have the wanted state.
pub async fn settled(testbed: &impl Testbed, state: State) {
    let want = to_peer(testbed, state);
    let begun = Instant::now();
    loop {
        // A short timeout, because a dial that began without a route may never end.
        let have = on_the_wire(testbed, &testbed.peer().to_string(), SERVED, 2 * testbed.silence()).await.0;
        if have == want {
            return;
        }
        assert!(begun.elapsed() < SOON, "{state:?}: the outcome of a dial to the peer is still {have:?}, not {want:?}");
        tokio::time::sleep(testbed.silence() / 10).await;
    }
}

/// Silence is confirmed after less time than an answer.
fn time_limit(testbed: &impl Testbed, want: DialOutcome) -> Duration {
    if want == DialOutcome::Silent { testbed.silence() } else { SOON }
}

/// The outcome and the response, if there is one.
async fn on_the_wire(
    testbed: &impl Testbed,
    host: &str,
    port: u16,
    limit: Duration,
) -> (DialOutcome, Option<RawResponse>) {
    let Ok(answer) = timeout(limit, raw::ask(testbed, &raw::dial(host, &port.to_string()))).await else {
        return (DialOutcome::Silent, None);
    };
    let outcome = match answer.status {
        101 => DialOutcome::Connected,
        200 if answer.header("Dial-Self") == Some("true") && answer.body.is_empty() => DialOutcome::DialSelf,
        502 if answer.body.contains("refused") => DialOutcome::Refused,
        502 if answer.body.contains("network is unreachable") => DialOutcome::Unreachable,
        _ => panic!("{host}:{port}: {answer:?}"),
    };
    (outcome, Some(answer))
}

/// The outcome as telltail's client reports it.
async fn by_the_client(testbed: &impl Testbed, to: SocketAddr, want: DialOutcome) -> DialOutcome {
    match timeout(time_limit(testbed, want), client(testbed).dialer().dial(to))
        .await
        .map(|dialled| dialled.map_err(|failure| failure.reason))
    {
        Err(_) => DialOutcome::Silent,
        Ok(Ok(_)) => DialOutcome::Connected,
        Ok(Err(Reason::ConnectRefused)) => DialOutcome::Refused,
        Ok(Err(Reason::ConnectUnreachable)) => DialOutcome::Unreachable,
        Ok(Err(Reason::ConnectNotRouted)) => DialOutcome::DialSelf,
        Ok(Err(reason)) => panic!("{to}: {}", reason.slug()),
    }
}

/// Checks the outcome of a dial on the wire and by the client.
async fn expect(testbed: &impl Testbed, to: impl Into<SocketAddr>, want: DialOutcome) {
    let to = to.into();
    let host = to.ip().to_string();
    let ((have, answer), read) = tokio::join!(
        on_the_wire(testbed, &host, to.port(), time_limit(testbed, want)),
        by_the_client(testbed, to, want)
    );
    assert_eq!((have, read), (want, want), "{to}, on the wire and by the client");
    if have == DialOutcome::DialSelf {
        assert_eq!(answer.unwrap().header("Dial-Addr"), Some(&*to.to_string()));
    }
    // A dropped dial does not block later calls.
    assert!(raw::status(testbed).await.is_object());
}

/// The peer's second address.
async fn peer_v6(testbed: &impl Testbed) -> IpAddr {
    let status = raw::status(testbed).await;
    addresses(status["Peer"].as_object().unwrap().values().next().unwrap()).1
}

pub async fn carries_bytes_both_ways(testbed: &impl Testbed) {
    let v6 = peer_v6(testbed).await;
    for to in [IpAddr::from(testbed.peer()), v6] {
        expect(testbed, (to, SERVED), DialOutcome::Connected).await;
        let mut connection = RawConnection::open(testbed.socket()).await;
        connection.send(&format!("{}\r\n\r\n", raw::dial(&to.to_string(), &SERVED.to_string()))).await;
        assert_eq!(connection.answer().await.status, 101);
        let mut stream = client(testbed).dialer().dial((to, SERVED).into()).await.unwrap();
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

/// Closing one direction closes both; Valkey itself would still answer.
pub async fn has_no_half_close(testbed: &impl Testbed) {
    let mut connection = RawConnection::open(testbed.socket()).await;
    connection.send(&format!("{}\r\n\r\n", raw::dial(&testbed.peer().to_string(), &SERVED.to_string()))).await;
    assert_eq!(connection.answer().await.status, 101);
    connection.close_write_side().await;
    assert!(connection.ends().await);
}

pub async fn resolves_names(testbed: &impl Testbed) {
    let full = format!("db.{}", testbed.suffix());
    for host in ["db", "DB", &full, &format!("{full}.")] {
        assert_eq!(on_the_wire(testbed, host, SERVED, SOON).await.0, DialOutcome::Connected, "{host}");
    }
}

pub async fn reports_a_refusal(testbed: &impl Testbed) {
    for to in [IpAddr::from(testbed.peer()), peer_v6(testbed).await] {
        let to = SocketAddr::from((to, CLOSED));
        expect(testbed, to, DialOutcome::Refused).await;
        let (_, answer) = on_the_wire(testbed, &to.ip().to_string(), CLOSED, SOON).await;
        let text = if testbed.tun() {
            format!("dial failure: dial tcp {to}: connect: connection refused\n")
        } else {
            format!("dial failure: connect tcp {to}: connection was refused\n")
        };
        assert_eq!(answer.unwrap().body, text);
    }
}

/// Addresses must come from the netmap, because before 1.98 this succeeds.
pub async fn to_an_address_outside_the_tailnet(testbed: &impl Testbed) {
    let here = if since(testbed, 98) { DialOutcome::DialSelf } else { DialOutcome::Connected };
    expect(testbed, testbed.foreign(), here).await;
    // Port 1 of tailscaled's own loopback.
    let loopback = if since(testbed, 98) { DialOutcome::DialSelf } else { DialOutcome::Refused };
    expect(testbed, (Ipv4Addr::LOCALHOST, 1), loopback).await;
}

pub async fn to_an_unused_tailnet_address(testbed: &impl Testbed) {
    expect(testbed, (Ipv4Addr::new(100, 64, 0, 99), SERVED), unknown_address(testbed)).await;
    // The tailnet's IPv6 is one route, which a userspace tailscaled leaves to the kernel, which has none.
    let made_up: IpAddr = "fd7a:115c:a1e0::99".parse().unwrap();
    let want = if testbed.tun() { DialOutcome::Silent } else { DialOutcome::Unreachable };
    expect(testbed, (made_up, SERVED), want).await;
}

pub async fn to_the_own_node(testbed: &impl Testbed) {
    let (v4, v6) = addresses(&raw::status(testbed).await["Self"]);
    let (want_v4, want_v6) = match (testbed.tun(), since(testbed, 98)) {
        (true, true) => (DialOutcome::DialSelf, DialOutcome::Refused),
        (true, false) | (false, true) => (DialOutcome::Refused, DialOutcome::Refused),
        (false, false) => (DialOutcome::Silent, DialOutcome::Silent),
    };
    expect(testbed, (v4, CLOSED), want_v4).await;
    expect(testbed, (v6, CLOSED), want_v6).await;
}

/// Only the path over loopback works without the engine.
pub async fn to_the_own_node_while_stopped(testbed: &impl Testbed) {
    let (v4, _) = addresses(&raw::status(testbed).await["Self"]);
    let want = match (testbed.tun(), since(testbed, 98)) {
        (true, true) => DialOutcome::DialSelf,
        (false, true) => DialOutcome::Refused,
        (_, false) => DialOutcome::Silent,
    };
    expect(testbed, (v4, CLOSED), want).await;
}

pub async fn to_magic_dns(testbed: &impl Testbed) {
    let magic = Ipv4Addr::new(100, 100, 100, 100);
    let (dns, other) = match (testbed.tun(), since(testbed, 98)) {
        (false, _) => (DialOutcome::Silent, DialOutcome::Silent),
        (true, true) => (DialOutcome::Connected, DialOutcome::Refused),
        (true, false) => (DialOutcome::Connected, DialOutcome::Silent),
    };
    expect(testbed, (magic, 53), dns).await;
    expect(testbed, (magic, 54), other).await;
}

/// Names outside the tailnet go to the resolver of tailscaled's container, so telltail only dials addresses.
pub async fn of_an_unknown_name(testbed: &impl Testbed) {
    let step = if since(testbed, 98) { "resolve" } else { "dial" };
    for host in ["nosuch", &format!("nosuch.{}", testbed.suffix()), "nosuch.example.com"] {
        let answer = raw::ask(testbed, &raw::dial(host, "1")).await;
        assert_eq!(answer.status, 502, "{host}");
        assert!(answer.body.starts_with(&format!("{step} failure: lookup ")), "{}", answer.body);
    }
}

pub async fn of_an_invalid_port(testbed: &impl Testbed) {
    let step = if since(testbed, 98) { "resolve" } else { "dial" };
    for port in ["zzz", "99999"] {
        let answer = raw::ask(testbed, &raw::dial("db", port)).await;
        let text = format!("{step} failure: invalid port in address \"db:{port}\"\n");
        assert_eq!((answer.status, answer.body), (502, text));
    }
    assert_eq!(raw::ask(testbed, &raw::dial("db", "")).await.status, 400, "an empty header is ignored");
}

/// The host drops the packets, because it serves nothing there.
pub async fn goes_to_the_host_of_a_service(testbed: &impl Testbed) {
    expect(testbed, (SERVICE, SERVED), DialOutcome::Silent).await;
}

pub async fn to_the_peer_offline(testbed: &impl Testbed) {
    to_the_peer(testbed, State::PeerOffline).await;
}

pub async fn to_the_peer_silent(testbed: &impl Testbed) {
    to_the_peer(testbed, State::PeerSilent).await;
    expect(testbed, (testbed.peer(), CLOSED), DialOutcome::Silent).await;
}

pub async fn to_the_peer_gone(testbed: &impl Testbed) {
    to_the_peer(testbed, State::PeerGone).await;
}

pub async fn to_the_peer_expired(testbed: &impl Testbed) {
    to_the_peer(testbed, State::PeerExpired).await;
    let v6 = if !testbed.tun() { DialOutcome::Silent } else { unknown_address_v6(testbed) };
    expect(testbed, (peer_v6(testbed).await, SERVED), v6).await;
}

pub async fn with_own_key_expired(testbed: &impl Testbed) {
    to_the_peer(testbed, State::OwnKeyExpired).await;
    let v6 = if !testbed.tun() { DialOutcome::Silent } else { unknown_address_v6(testbed) };
    expect(testbed, (peer_v6(testbed).await, SERVED), v6).await;
}

pub async fn while_stopped(testbed: &impl Testbed) {
    to_the_peer(testbed, State::Stopped).await;
    let v6 = if !testbed.tun() { DialOutcome::Silent } else { unknown_address_v6(testbed) };
    expect(testbed, (peer_v6(testbed).await, SERVED), v6).await;
    let here = if since(testbed, 98) { DialOutcome::DialSelf } else { DialOutcome::Connected };
    expect(testbed, testbed.foreign(), here).await;
}

/// Without a valid peer the tailnet's IPv6 route is gone, and the testbeds have no other.
fn unknown_address_v6(testbed: &impl Testbed) -> DialOutcome {
    if since(testbed, 98) { DialOutcome::DialSelf } else { DialOutcome::Unreachable }
}

pub async fn without_control(testbed: &impl Testbed) {
    to_the_peer(testbed, State::WithoutControl).await;
}

pub async fn logged_out(testbed: &impl Testbed) {
    to_the_peer(testbed, State::LoggedOut).await;
    expect(testbed, testbed.foreign(), if since(testbed, 98) { DialOutcome::DialSelf } else { DialOutcome::Connected })
        .await;
}

async fn to_the_peer(testbed: &impl Testbed, state: State) {
    expect(testbed, (testbed.peer(), SERVED), to_peer(testbed, state)).await;
}
