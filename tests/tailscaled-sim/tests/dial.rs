//! What dials come to, by the table of a real tailscaled.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io;
use std::net::SocketAddr;

use common::{STATUS, connect, dial, dial_request, drain, hangs, silent, soon, take};
use tailscaled_sim::services::{Script, Server};
use tailscaled_sim::{BackendState, Mode, Peer, PeerPort, Service, SystemResolver, Tailscaled};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

const DB: &str = "stackeye-db-prd";
const IP: &str = "100.64.0.2";
const HEAD: &str = "HTTP/1.1 101 Switching Protocols\r\n";

fn with_db(mode: Mode) -> Tailscaled {
    let tailscaled = Tailscaled::start();
    tailscaled.set_mode(mode);
    tailscaled.add_peer(Peer::new(DB).ip(IP).ip("fd7a:115c:a1e0::2"));
    tailscaled
}

async fn dial_self(tailscaled: &Tailscaled, host: &str) {
    let reply = dial(tailscaled, host, 5432).await;
    assert_eq!((reply.status, reply.body.len(), reply.header("Dial-Self")), (200, 0, Some("true")), "{host}");
    assert!(reply.header("Dial-Addr").unwrap().ends_with(":5432"));
    assert!(reply.header("Tailscale-Cap").is_some());
}

/// The stream of a dial that must succeed.
async fn stream(tailscaled: &Tailscaled, host: &str, port: u16) -> UnixStream {
    let mut stream = connect(tailscaled).await;
    stream.write_all(dial_request(host, port).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with(HEAD), "{head}");
    assert!(head.contains("\r\nUpgrade: ts-dial\r\n") && head.contains("\r\nConnection: upgrade\r\n"));
    stream
}

#[tokio::test]
async fn a_peer_is_reached_by_address_and_by_every_form_of_its_name() {
    let server = Server::start(Script::say("hello").receive(3).send("bye").hold());
    for mode in [Mode::Userspace, Mode::Tun] {
        let tailscaled = with_db(mode);
        tailscaled.forward(DB, 5432, server.addr());
        let full = format!("{DB}.tail1234.ts.net");
        for host in [IP, "fd7a:115c:a1e0::2", DB, &full, &format!("{full}."), &DB.to_uppercase()] {
            let mut stream = stream(&tailscaled, host, 5432).await;
            assert_eq!(take(&mut stream, 5).await, b"hello", "{host}");
            stream.write_all(b"abc").await.unwrap();
            assert_eq!(take(&mut stream, 3).await, b"bye");
        }
    }
}

#[tokio::test]
async fn either_end_of_a_stream_ends_both() {
    let server = Server::start(Script::new().receive(1));
    let tailscaled = with_db(Mode::Userspace);
    tailscaled.forward(DB, 5432, server.addr());
    let mut closed_there = stream(&tailscaled, DB, 5432).await;
    closed_there.write_all(b"x").await.unwrap();
    assert_eq!(drain(&mut closed_there).await, b"");
    let mut half_closed_here = stream(&tailscaled, DB, 5432).await;
    half_closed_here.shutdown().await.unwrap();
    assert_eq!(drain(&mut half_closed_here).await, b"");
    soon(server.until(|tally| tally.accepted == 2 && tally.open == 0)).await;
    soon(tailscaled.until(|tally| tally.open == 0)).await;
}

#[tokio::test]
async fn what_the_client_sends_ahead_reaches_the_peer() {
    let server = Server::start(Script::new().receive(5).send("bye"));
    let tailscaled = with_db(Mode::Userspace);
    tailscaled.forward(DB, 5432, server.addr());
    let mut stream = connect(&tailscaled).await;
    stream.write_all((dial_request(DB, 5432) + "ahead").as_bytes()).await.unwrap();
    assert!(drain(&mut stream).await.ends_with(b"bye"));
}

#[tokio::test]
async fn a_refusal_is_worded_as_its_network_stack_words_it() {
    let server = Server::start(Script::new());
    for (mode, text) in [
        (Mode::Userspace, "dial failure: connect tcp 100.64.0.2:5432: connection was refused\n"),
        (Mode::Tun, "dial failure: dial tcp 100.64.0.2:5432: connect: connection refused\n"),
    ] {
        let tailscaled = with_db(mode);
        let refused = async |what| {
            let reply = dial(&tailscaled, IP, 5432).await;
            assert_eq!((reply.status, reply.text()), (502, text), "{what}");
            assert_eq!(reply.header("Content-Type"), Some("text/plain; charset=utf-8"));
        };
        refused("never mentioned").await;
        tailscaled.refuse(DB, 5432);
        refused("said so").await;
        tailscaled.forward(DB, 5432, server.addr());
        server.stop();
        refused("server stopped").await;
        server.start_again();
        stream(&tailscaled, IP, 5432).await;
    }
}

#[tokio::test]
async fn a_backend_can_do_anything_else() {
    let tailscaled = with_db(Mode::Userspace);
    tailscaled.black_hole(DB, 5432);
    assert!(hangs(&tailscaled, DB, 5432).await);
    soon(tailscaled.until(|tally| tally.open == 0)).await;
    tailscaled.set_port(DB, 5432, PeerPort::DialSelf);
    dial_self(&tailscaled, DB).await;
    tailscaled.set_port(DB, 5432, PeerPort::Fail("connect tcp 100.64.0.2:5432: operation timed out".into()));
    let reply = dial(&tailscaled, DB, 5432).await;
    assert_eq!(reply.text(), "dial failure: connect tcp 100.64.0.2:5432: operation timed out\n");
    tailscaled.set_port(DB, 5432, PeerPort::Mute);
    assert!(silent(&mut stream(&tailscaled, DB, 5432).await).await);
}

#[tokio::test]
async fn a_vanished_peer_is_not_ours_since_1_98_and_silent_before() {
    for mode in [Mode::Userspace, Mode::Tun] {
        let tailscaled = with_db(mode);
        tailscaled.remove_peer(DB);
        dial_self(&tailscaled, IP).await;
        assert!(hangs(&tailscaled, DB, 5432).await, "the name goes to the system's resolver");
        tailscaled.set_version("1.94.2");
        assert!(hangs(&tailscaled, IP, 5432).await);
    }
}

#[tokio::test]
async fn expiry_and_stop_hang_in_userspace_and_are_not_ours_in_tun_mode() {
    let states: [fn(&Tailscaled); 4] = [
        |tailscaled| tailscaled.expire_peer(DB),
        |tailscaled| tailscaled.set_backend_state(BackendState::Stopped),
        Tailscaled::expire_own_key,
        |tailscaled| tailscaled.set_backend_state(BackendState::NeedsMachineAuth),
    ];
    for (number, state) in states.iter().enumerate() {
        let userspace = with_db(Mode::Userspace);
        state(&userspace);
        assert!(hangs(&userspace, IP, 5432).await, "{number}");
        let tun = with_db(Mode::Tun);
        state(&tun);
        dial_self(&tun, IP).await;
        tun.set_version("1.80.3");
        assert!(hangs(&tun, IP, 5432).await, "{number}");
    }
}

#[tokio::test]
async fn a_silent_peer_hangs_and_one_shown_offline_does_not() {
    let server = Server::start(Script::say("hello").hold());
    for mode in [Mode::Userspace, Mode::Tun] {
        let tailscaled = with_db(mode);
        tailscaled.forward(DB, 5432, server.addr());
        tailscaled.set_peer_online(DB, false);
        stream(&tailscaled, IP, 5432).await;
        tailscaled.set_peer_silent(DB, true);
        assert!(hangs(&tailscaled, IP, 5432).await);
    }
}

#[tokio::test]
async fn without_a_netmap_nothing_is_ours() {
    for state in [BackendState::NoState, BackendState::NeedsLogin] {
        let tailscaled = with_db(Mode::Userspace);
        tailscaled.set_backend_state(state);
        dial_self(&tailscaled, IP).await;
        tailscaled.with_state(|sim| sim.system_resolver = SystemResolver::Fails(format!("lookup {DB}: no such host")));
        let reply = dial(&tailscaled, DB, 5432).await;
        assert_eq!((reply.status, reply.text()), (502, "resolve failure: lookup stackeye-db-prd: no such host\n"));
        tailscaled.set_version("1.80.3");
        assert!(dial(&tailscaled, DB, 5432).await.text().starts_with("dial failure: lookup"));
    }
}

#[tokio::test]
async fn a_foreign_address_is_not_ours_since_1_98_and_a_false_success_before() {
    let server = Server::start(Script::say("not the database").hold());
    let foreign: SocketAddr = "10.99.0.1:5432".parse().unwrap();
    for mode in [Mode::Userspace, Mode::Tun] {
        let tailscaled = with_db(mode);
        tailscaled.with_state(|sim| {
            sim.foreign.insert(foreign, server.addr());
            sim.system_names.insert("cluster-db".into(), foreign.ip());
        });
        for host in ["10.99.0.1", "cluster-db"] {
            tailscaled.set_version("1.98.0");
            dial_self(&tailscaled, host).await;
            tailscaled.set_version("1.80.3");
            assert_eq!(take(&mut stream(&tailscaled, host, 5432).await, 3).await, b"not");
        }
    }
}

/// How a dial ended, in a word; it hangs if there is no answer in a time that is long for all dials at once.
async fn outcome(mut stream: UnixStream, request: String) -> &'static str {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = vec![0; 4096];
    let Ok(length) = tokio::time::timeout(10 * common::NOTHING, stream.read(&mut heard)).await else { return "hangs" };
    let heard = String::from_utf8_lossy(&heard[..length.unwrap()]);
    let words = [
        ("Dial-Self: true", "self"),
        (" 101 ", "connected"),
        ("refused\n", "refused"),
        ("connect: network is unreachable\n", "unreachable"),
    ];
    words.iter().find(|(text, _)| heard.contains(text)).unwrap_or_else(|| panic!("{heard}")).1
}

type Change = fn(&Tailscaled);
const RUNNING: Change = |_| {};
const PEER_EXPIRED: Change = |tailscaled| tailscaled.expire_peer(DB);
const STOPPED: Change = |tailscaled| tailscaled.set_backend_state(BackendState::Stopped);
const EXPIRED: Change = Tailscaled::expire_own_key;

/// Measured on a tailnet of two nodes; the columns are own address, own IPv6, peer's, peer's IPv6, an IPv6 nobody has, an
/// IPv4 nobody has, the resolver's DNS port and another port of it.
#[tokio::test]
async fn dials_end_as_they_were_measured() {
    use Mode::{Tun, Userspace};
    let (mut outcomes, mut all) = (JoinSet::new(), Vec::new());
    for (version, mode, state, expected) in [
        ("1.102.5", Userspace, RUNNING, "refused refused refused refused unreachable self hangs hangs"),
        ("1.102.5", Userspace, PEER_EXPIRED, "refused refused hangs hangs self self hangs hangs"),
        ("1.102.5", Userspace, STOPPED, "refused refused hangs hangs self self self self"),
        ("1.102.5", Userspace, EXPIRED, "refused refused hangs hangs self self hangs hangs"),
        ("1.102.5", Tun, RUNNING, "self refused refused refused hangs self connected refused"),
        ("1.102.5", Tun, PEER_EXPIRED, "self self self self self self connected refused"),
        ("1.102.5", Tun, STOPPED, "self self self self self self self self"),
        ("1.102.5", Tun, EXPIRED, "self self self self self self connected refused"),
        ("1.80.3", Userspace, RUNNING, "hangs hangs refused refused unreachable hangs hangs hangs"),
        ("1.80.3", Userspace, PEER_EXPIRED, "hangs hangs hangs hangs unreachable hangs hangs hangs"),
        ("1.80.3", Userspace, STOPPED, "hangs hangs hangs hangs unreachable hangs hangs hangs"),
        ("1.80.3", Userspace, EXPIRED, "hangs hangs hangs hangs unreachable hangs hangs hangs"),
        ("1.80.3", Tun, RUNNING, "refused refused refused refused hangs hangs connected hangs"),
        ("1.80.3", Tun, PEER_EXPIRED, "refused refused hangs unreachable unreachable hangs connected hangs"),
        ("1.80.3", Tun, STOPPED, "hangs unreachable hangs unreachable unreachable hangs hangs hangs"),
        ("1.80.3", Tun, EXPIRED, "hangs unreachable hangs unreachable unreachable hangs hangs hangs"),
    ] {
        let tailscaled = with_db(mode);
        tailscaled.set_version(version);
        state(&tailscaled);
        let hosts = ["100.64.0.1", "fd7a:115c:a1e0::1", IP, "fd7a:115c:a1e0::2", "fd7a:115c:a1e0::99", "100.64.9.9"];
        let dials = hosts.map(|host| (host, 7)).into_iter().chain([("100.100.100.100", 53), ("100.100.100.100", 7)]);
        for ((host, port), expected) in dials.zip(expected.split(' ')) {
            let (stream, request) = (connect(&tailscaled).await, dial_request(host, port));
            let name = format!("{version} {mode:?} {:?} {host}:{port}", tailscaled.with_state(|sim| sim.state.clone()));
            outcomes.spawn(async move { (name, outcome(stream, request).await, expected) });
        }
        all.push(tailscaled);
    }
    while let Some(ended) = outcomes.join_next().await {
        let (name, seen, expected) = ended.unwrap();
        assert_eq!(seen, expected, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_an_address_is_said_in_gos_words() {
    let tailscaled = with_db(Mode::Tun);
    for (host, port, network, text) in [
        (IP, "x", "tcp", "resolve failure: invalid port in address \"100.64.0.2:x\"\n"),
        (IP, "70000", "tcp", "resolve failure: invalid port in address \"100.64.0.2:70000\"\n"),
        (
            "[fd7a:115c:a1e0::2]",
            "7",
            "tcp",
            "resolve failure: address [[fd7a:115c:a1e0::2]]:7: missing port in address\n",
        ),
        (
            "fd7a:115c:a1e0::2",
            "7",
            "tcp4",
            "dial failure: dial tcp4: address fd7a:115c:a1e0::2: no suitable address found\n",
        ),
    ] {
        let request =
            dial_request(host, 1).replace("Dial-Port: 1", &format!("Dial-Port: {port}\r\nDial-Network: {network}"));
        let reply = common::ask(&tailscaled, &request).await;
        assert_eq!((reply.status, reply.text()), (502, text));
    }
}

#[tokio::test]
async fn a_service_is_reached_at_its_own_address() {
    let server = Server::start(Script::say("hello").hold());
    let tailscaled = with_db(Mode::Userspace);
    tailscaled.add_service(Service::new("db", "100.100.1.1", DB));
    tailscaled.forward("db", 5432, server.addr());
    for host in ["100.100.1.1", "db", "db.tail1234.ts.net."] {
        stream(&tailscaled, host, 5432).await;
    }
    assert_eq!(dial(&tailscaled, IP, 5432).await.status, 502);
    tailscaled.remove_peer(DB);
    dial_self(&tailscaled, "100.100.1.1").await;
}

#[tokio::test]
async fn a_peer_on_loopback_can_be_dialled_past_the_simulation() -> io::Result<()> {
    let server = Server::start_on(Script::say("hello").hold(), "127.0.0.77:0".parse().unwrap());
    let tailscaled = Tailscaled::start();
    tailscaled.set_mode(Mode::Tun);
    tailscaled.add_peer(Peer::new(DB).ip("127.0.0.77"));
    assert!(common::status(&tailscaled).await["Peer"].to_string().contains("127.0.0.77"));
    assert_eq!(take(&mut tokio::net::TcpStream::connect(server.addr()).await?, 5).await, b"hello");
    Ok(())
}

#[tokio::test]
async fn a_dial_that_failed_leaves_the_connection_usable() {
    let tailscaled = with_db(Mode::Userspace);
    let mut stream = connect(&tailscaled).await;
    assert_eq!(common::ask_on(&mut stream, &dial_request(IP, 5432)).await.status, 502);
    assert_eq!(common::ask_on(&mut stream, STATUS).await.status, 200);
}
