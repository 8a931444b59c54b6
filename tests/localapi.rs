//! telltail's LocalAPI client against a tailscaled that is missing, dead, silent, malformed or very large.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "contract/child.rs"]
mod child;

use futures_util::future::join_all;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tailscaled_sim::services::{Server, Valkey};
use tailscaled_sim::{BackendState, Call, Crowd, Misbehaviour, Peer, SocketFile, Tailscaled};
use telltail::node::{Node, NodeState};
use telltail::reason::{Failure, Reason};
use telltail::tailscale::{self, CallResult, LocalApi, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// Far longer than anything here takes; a status ends after 3 s by itself.
const SOON: Duration = Duration::from_secs(20);

const DB: &str = "100.64.0.2:6379";
const STATUS: Duration = Duration::from_secs(3);

fn client_at(socket: &Path) -> LocalApi {
    LocalApi::new(Some(socket.to_owned()), Arc::new(|_, _| {}))
}

fn client(tailscaled: &Tailscaled) -> LocalApi {
    client_at(tailscaled.socket())
}

fn with_db() -> Tailscaled {
    let tailscaled = Tailscaled::start();
    tailscaled.add_peer(Peer::new("db").ip("100.64.0.2"));
    tailscaled
}

fn target() -> SocketAddr {
    DB.parse().unwrap()
}

async fn status(client: &mut LocalApi) -> Result<Status, Failure> {
    timeout(SOON, client.status(true, &|_, _| true)).await.expect("a status ends by itself")
}

async fn reason(client: &mut LocalApi) -> Reason {
    status(client).await.expect_err("a failure").reason
}

fn assert_all_expected(tailscaled: &Tailscaled) {
    assert_eq!(tailscaled.unexpected_requests(), [] as [String; 0]);
}

/// A tailscaled misbehaves for a while: the client must report that, and recover.
async fn recovers(name: &str, misbehaviour: Misbehaviour, want: Result<(), Reason>) {
    let tailscaled = with_db();
    let mut client = client(&tailscaled);
    assert!(status(&mut client).await.is_ok(), "{name}: before");
    tailscaled.misbehave(misbehaviour);
    let begun = Instant::now();
    let have = status(&mut client).await;
    assert_eq!(have.as_ref().map(drop).map_err(|failure| failure.reason), want, "{name}: {have:?}");
    if let Err(failure) = have {
        assert!(!failure.cause.is_empty() && failure.cause.len() <= 200, "{name}: {failure}");
    }
    if want == Err(Reason::NodeLocalapiTimeout) {
        assert!(begun.elapsed() >= STATUS, "{name}: given up early");
    }
    tailscaled.behave();
    assert_eq!(status(&mut client).await.unwrap().peers.len(), 1, "{name}: after");
    timeout(SOON, tailscaled.until(|tally| tally.open == 1)).await.expect("nothing but the kept connection is open");
    assert_all_expected(&tailscaled);
}

fn json(text: impl Into<Vec<u8>>) -> Misbehaviour {
    Misbehaviour::Json(text.into().into())
}

fn error(status: u16) -> Misbehaviour {
    Misbehaviour::Error(status, "no backend".to_owned())
}

#[tokio::test]
async fn a_failed_status_has_its_reason_and_the_next_one_works() {
    const INVALID: Result<(), Reason> = Err(Reason::NodeLocalapiInvalid);
    const FORBIDDEN: Result<(), Reason> = Err(Reason::NodeSocketForbidden);
    let long = "x".repeat(100_000);
    let cases = [
        ("closed before the head", Misbehaviour::CloseAfter(0), INVALID),
        ("a body too short", Misbehaviour::ContentLength(10), INVALID),
        ("a body too long", Misbehaviour::ContentLength(-10), INVALID),
        ("a broken chunk", Misbehaviour::BrokenChunk, INVALID),
        ("bytes behind the answer", Misbehaviour::Trailing("HTTP/1.1 200 OK\r\n\r\nnonsense".into()), Ok(())),
        ("another program", Misbehaviour::not_http(), INVALID),
        ("a redirect", Misbehaviour::redirect(), INVALID),
        ("101 unasked", Misbehaviour::unsolicited_upgrade(), INVALID),
        ("101 with bytes", Misbehaviour::glued_upgrade(b"{}"), INVALID),
        ("a head without end", Misbehaviour::endless_head(), INVALID),
        ("204", Misbehaviour::Hold("HTTP/1.1 204 No Content\r\n\r\n".into()), INVALID),
        ("200 without a body", Misbehaviour::Hold("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()), INVALID),
        ("HTTP/2", Misbehaviour::Close("HTTP/2 200\r\n\r\n".into()), INVALID),
        ("401", error(401), FORBIDDEN),
        ("403", error(403), FORBIDDEN),
        ("404", error(404), INVALID),
        ("500", error(500), INVALID),
        ("501", error(501), INVALID),
        ("503", error(503), INVALID),
        ("a long error", Misbehaviour::Error(500, format!("\u{1b}[31m\n{long}")), INVALID),
        ("no JSON", json("<html>"), INVALID),
        ("JSON cut", json(r#"{"Version":"1.102.5","#), INVALID),
        ("two documents", json("{}{}"), INVALID),
        ("a list", json("[]"), INVALID),
        ("a wrong type", json(r#"{"TUN":"yes"}"#), INVALID),
        ("a wrong type in the own node", json(r#"{"Self":{"TailscaleIPs":7}}"#), INVALID),
        ("a wrong type in a peer", json(r#"{"Peer":{"nodekey:1":{"Expired":"no"}}}"#), INVALID),
        ("invalid UTF-8", json(b"{\"Version\":\"\xff\xfe\"}"), INVALID),
        ("a number too large", json(r#"{"Self":{"Online":1e999}}"#), INVALID),
        ("nested deeply", Misbehaviour::deep_nesting(100_000), INVALID),
        ("a version of 10 MB", Misbehaviour::giant_string(10 << 20), INVALID),
        ("an empty object", json("{}"), Ok(())),
        ("the same field twice", json(r#"{"TUN":true,"TUN":false,"Peer":null,"Peer":null}"#), Ok(())),
        ("only what is new", json(r#"{"New":[{"Peer":{"a":1}}],"Newer":"\ud83e\udd80"}"#), Ok(())),
    ];
    for (name, misbehaviour, want) in cases {
        recovers(name, misbehaviour, want).await;
    }
}

#[tokio::test]
async fn a_status_that_does_not_end_times_out() {
    let head = |rest: &str| Misbehaviour::Hold(format!("HTTP/1.1 200 OK\r\n{rest}").into());
    let mut cases = vec![
        ("silence", Misbehaviour::Silent),
        ("dripping", Misbehaviour::Drip(Duration::from_millis(50))),
        ("half a head", head("Content-Length: 100\r\n")),
        ("half a body", head("Content-Length: 100\r\n\r\n{\"Version\":")),
        ("half a chunk", head("Transfer-Encoding: chunked\r\n\r\nff\r\n{\"Version\":")),
    ];
    cases.extend((0..3000).step_by(100).map(|bytes| ("stalled", Misbehaviour::StallAfter(bytes))));
    let all = cases.into_iter().map(|(name, m)| recovers(name, m, Err(Reason::NodeLocalapiTimeout)));
    join_all(all).await;
}

/// An error with an endless text.
fn endless_error(status: &str) -> Misbehaviour {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n\r\n");
    Misbehaviour::Flood { start: head.into(), unit: vec![b'x'; 1 << 16].into(), units: None, end: "".into() }
}

#[tokio::test]
async fn only_the_beginning_of_an_error_is_read() {
    let tailscaled = with_db();
    let mut client = client(&tailscaled);
    tailscaled.misbehave_at(Call::Status, endless_error("500 Internal Server Error"));
    tailscaled.misbehave_at(Call::Dial, endless_error("502 Bad Gateway"));
    assert_eq!(reason(&mut client).await, Reason::NodeLocalapiInvalid, "not by the timeout");
    let dialled = timeout(SOON, client.dialer().dial(target())).await.expect("a dial ends by itself");
    assert_eq!(dialled.unwrap_err().reason, Reason::ConnectFailed);
    assert_all_expected(&tailscaled);
}

/// One after another, because each takes until its timeout.
#[tokio::test]
async fn endless_responses_are_bounded() {
    recovers("1xx without end", Misbehaviour::informational_flood(), Err(Reason::NodeLocalapiTimeout)).await;
    let tailscaled = with_db();
    let mut client = client(&tailscaled);
    tailscaled.misbehave(Misbehaviour::endless_body());
    let begun = Instant::now();
    // The size limit or the timeout, whichever this machine reaches first.
    let reason = reason(&mut client).await;
    assert!(matches!(reason, Reason::NodeLocalapiTimeout | Reason::NodeLocalapiInvalid), "{reason:?}");
    assert!(begun.elapsed() < SOON / 2);
    tailscaled.behave();
    assert!(status(&mut client).await.is_ok());
    assert_all_expected(&tailscaled);
}

#[tokio::test]
async fn a_truncated_status_is_invalid() {
    let tailscaled = with_db();
    let mut client = client(&tailscaled);
    for bytes in 0.. {
        tailscaled.misbehave(Misbehaviour::CloseAfter(bytes));
        match status(&mut client).await {
            Ok(status) => {
                assert!(bytes > 1500 && status.peers.len() == 1, "whole after {bytes} bytes");
                break;
            }
            Err(failure) => assert_eq!(failure.reason, Reason::NodeLocalapiInvalid, "{bytes}: {failure}"),
        }
    }
    assert_all_expected(&tailscaled);
}

#[tokio::test]
async fn the_status_does_not_depend_on_the_chunks() {
    let tailscaled = with_db();
    let mut client = client(&tailscaled);
    let whole = status(&mut client).await.unwrap();
    for size in [1, 2, 3, 7, 100, 1 << 20] {
        tailscaled.set_chunk_size(Some(size));
        assert_eq!(status(&mut client).await.unwrap(), whole, "{size}");
    }
    assert_all_expected(&tailscaled);
}

#[tokio::test]
async fn an_unknown_backend_state_is_an_unknown_node_state() {
    let tailscaled = with_db();
    tailscaled.set_backend_state(BackendState::Other("Hibernating".to_owned()));
    let status = status(&mut client(&tailscaled)).await.unwrap();
    let node = Node::of(&status, std::time::SystemTime::now());
    assert_eq!((node.state, node.fault.unwrap().reason), (NodeState::Unknown, Reason::NodeLocalapiInvalid));
    assert_all_expected(&tailscaled);
}

/// The login URL is a credential: telltail must not store it.
#[tokio::test]
async fn the_login_url_is_not_stored() {
    let tailscaled = with_db();
    tailscaled.set_backend_state(BackendState::NeedsLogin);
    let url = tailscaled.with_state(|state| state.auth_url.clone());
    assert!(url.starts_with("https://"));
    let status = status(&mut client(&tailscaled)).await.unwrap();
    assert!(!format!("{status:?}").contains("login.tailscale"), "{status:?}");
}

#[tokio::test]
async fn an_unusable_socket_has_its_reason() {
    let tailscaled = Tailscaled::absent();
    let mut client = client(&tailscaled);
    assert_eq!(reason(&mut client).await, Reason::NodeSocketMissing, "not started yet");
    tailscaled.listen();
    assert!(status(&mut client).await.is_ok());
    for (place, want) in [
        (SocketFile::File, Reason::NodeSocketRefused),
        (SocketFile::Folder, Reason::NodeSocketRefused),
        (SocketFile::DanglingLink, Reason::NodeSocketMissing),
        (SocketFile::Nothing, Reason::NodeSocketMissing),
    ] {
        tailscaled.replace_socket(place);
        assert_eq!(reason(&mut client).await, want, "{place:?}");
        assert_eq!(client.dialer().dial(target()).await.unwrap_err().reason, want, "{place:?}");
        tailscaled.listen();
        assert!(status(&mut client).await.is_ok(), "after {place:?}");
    }
    tailscaled.crash();
    assert_eq!(reason(&mut client).await, Reason::NodeSocketRefused, "left over");
    tailscaled.listen();
    assert!(status(&mut client).await.is_ok());
    assert_all_expected(&tailscaled);

    for path in [tailscaled.socket().join("below"), PathBuf::from("/x".repeat(100)), PathBuf::new()] {
        let failure = status(&mut client_at(&path)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::NodeSocketMissing, "{failure}");
        assert!(!failure.cause.is_empty());
    }
}

/// containerboot's own layout: a link at the usual place.
#[tokio::test]
async fn a_link_to_the_socket_is_followed() {
    let tailscaled = with_db();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("tailscaled.sock");
    symlink(tailscaled.socket(), &link).unwrap();
    assert!(status(&mut client_at(&link)).await.is_ok());
    assert_all_expected(&tailscaled);
}

#[tokio::test]
async fn one_connection_serves_every_status() {
    let tailscaled = with_db();
    let mut client = client(&tailscaled);
    for peers in [true, false, true, true] {
        client.status(peers, &|_, _| true).await.unwrap();
    }
    let requests = tailscaled.requests();
    assert!(requests.iter().all(|request| request.connection == 1 && request.method == "GET"), "{requests:?}");
    assert_eq!(requests.iter().map(|request| &*request.query).collect::<Vec<_>>(), ["", "peers=false", "", ""]);
    // After a reset or with a new socket the next status connects again and succeeds.
    tailscaled.kill_connections();
    timeout(SOON, tailscaled.until(|tally| tally.open == 0)).await.unwrap();
    assert!(status(&mut client).await.is_ok());
    tailscaled.listen();
    assert!(status(&mut client).await.is_ok());
    assert_eq!(tailscaled.tally().accepted, 3);
    // A dial uses its own connection and keeps the other open.
    assert_eq!(client.dialer().dial(target()).await.unwrap_err().reason, Reason::ConnectRefused);
    assert!(status(&mut client).await.is_ok());
    assert_eq!(tailscaled.requests().last().unwrap().connection, 3);
    assert_all_expected(&tailscaled);
}

#[tokio::test]
async fn a_request_has_only_the_needed_headers() {
    let tailscaled = with_db();
    let mut client = client(&tailscaled);
    status(&mut client).await.unwrap();
    client.dialer().dial(target()).await.unwrap_err();
    let requests = tailscaled.requests();
    let headers = |at: usize| requests[at].headers.iter().map(|(name, value)| format!("{name}: {value}"));
    assert_eq!(headers(0).collect::<Vec<_>>(), ["host: local-tailscaled.sock"]);
    let want = [
        "connection: upgrade",
        "dial-host: 100.64.0.2",
        "dial-port: 6379",
        "host: local-tailscaled.sock",
        "upgrade: ts-dial",
    ];
    let mut dial: Vec<_> = headers(1).collect();
    dial.sort();
    assert_eq!(dial, want);
}

#[tokio::test]
async fn many_clients_work_at_once() {
    let tailscaled = with_db();
    let valkey = Server::start(Valkey::healthy());
    tailscaled.forward("db", 6379, valkey.addr());
    join_all((0..50).map(async |_| {
        let mut client = client(&tailscaled);
        assert!(status(&mut client).await.is_ok());
        let dials = join_all((0..5).map(async |_| client.dialer().dial(target()).await)).await;
        assert!(dials.iter().all(Result::is_ok));
    }))
    .await;
    timeout(SOON, tailscaled.until(|tally| tally.open == 0)).await.unwrap();
    assert_eq!(tailscaled.requests().len(), 300);
    assert_all_expected(&tailscaled);
}

#[tokio::test]
async fn a_failed_dial_has_its_reason() {
    let fails = |text: &str| Misbehaviour::Error(502, text.to_owned());
    let hold = |text: &'static str| Misbehaviour::Hold(text.into());
    for (misbehaviour, want) in [
        (fails("dial failure: connect tcp 100.64.0.2:6379: connection was refused"), Reason::ConnectRefused),
        (fails("dial failure: dial tcp 100.64.0.2:6379: connect: connection refused"), Reason::ConnectRefused),
        (fails("dial failure: connect tcp 100.64.0.2:6379: operation timed out"), Reason::ConnectTimeout),
        (fails("dial failure: dial tcp 100.64.0.2:6379: i/o timeout"), Reason::ConnectTimeout),
        (fails("dial failure: connect tcp 100.64.0.2:6379: no route to host"), Reason::ConnectUnreachable),
        (fails("dial failure: dial tcp: connect: network is unreachable"), Reason::ConnectUnreachable),
        (fails("resolve failure: lookup db: no such host"), Reason::ConnectFailed),
        (fails(""), Reason::ConnectFailed),
        (error(403), Reason::NodeSocketForbidden),
        (error(400), Reason::NodeLocalapiInvalid),
        (error(404), Reason::NodeLocalapiInvalid),
        (error(405), Reason::NodeLocalapiInvalid),
        (error(500), Reason::NodeLocalapiInvalid),
        (hold("HTTP/1.1 200 OK\r\nDial-Self: true\r\nContent-Length: 0\r\n\r\n"), Reason::ConnectNotRouted),
        (hold("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Reason::NodeLocalapiInvalid),
        (Misbehaviour::redirect(), Reason::NodeLocalapiInvalid),
        (Misbehaviour::not_http(), Reason::NodeLocalapiInvalid),
        (Misbehaviour::endless_head(), Reason::NodeLocalapiInvalid),
        (Misbehaviour::CloseAfter(0), Reason::NodeLocalapiInvalid),
        (Misbehaviour::CloseAfter(20), Reason::NodeLocalapiInvalid),
    ] {
        let tailscaled = with_db();
        let mut client = client(&tailscaled);
        tailscaled.misbehave_at(Call::Dial, misbehaviour.clone());
        let dialled = timeout(SOON, client.dialer().dial(target())).await.unwrap();
        assert_eq!(dialled.unwrap_err().reason, want, "{misbehaviour:?}");
        assert!(status(&mut client).await.is_ok(), "reading goes on");
        assert_all_expected(&tailscaled);
    }
}

#[tokio::test]
async fn bytes_behind_101_belong_to_the_stream() {
    let tailscaled = with_db();
    tailscaled.misbehave_at(Call::Dial, Misbehaviour::glued_upgrade(b"+PONG\r\n"));
    let mut stream = client(&tailscaled).dialer().dial(target()).await.unwrap();
    let mut received = [0; 7];
    timeout(SOON, stream.read_exact(&mut received)).await.unwrap().unwrap();
    assert_eq!(&received, b"+PONG\r\n");
    stream.write_all(b"more").await.unwrap();
    assert_all_expected(&tailscaled);
}

/// A dial waits as long as its caller. Dropping it closes the connection and counts the call.
#[tokio::test]
async fn a_dropped_dial_closes_its_connection_and_is_counted() {
    let tailscaled = with_db();
    tailscaled.black_hole("db", 6379);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let observe = move |call, result| sink.lock().unwrap().push((call, result));
    let mut client = LocalApi::new(Some(tailscaled.socket().to_owned()), Arc::new(observe));
    let dial = async { client.dialer().dial(target()).await.map(drop) };
    tokio::select! {
        ended = dial => panic!("{ended:?}"),
        tally = tailscaled.until(|tally| tally.requests == 1) => assert_eq!(tally.open, 1),
    }
    timeout(SOON, tailscaled.until(|tally| tally.open == 0)).await.unwrap();
    tailscaled.refuse("db", 6379);
    assert_eq!(client.dialer().dial(target()).await.unwrap_err().reason, Reason::ConnectRefused);
    status(&mut client).await.unwrap();
    tailscaled.misbehave(error(403));
    status(&mut client).await.unwrap_err();
    let (dial, status) = (tailscale::Call::Dial, tailscale::Call::Status);
    let want = [
        (dial, CallResult::NoAnswer),
        (dial, CallResult::Ok),
        (status, CallResult::Ok),
        (status, CallResult::NoAnswer),
    ];
    assert_eq!(*seen.lock().unwrap(), want);
    assert_all_expected(&tailscaled);
}

/// Prints to stderr also when the test passes.
fn print(what: &str) {
    let _ = writeln!(std::io::stderr(), "localapi: {what}");
}

const SOCKET: &str = "TELLTAIL_TEST_SOCKET";

fn socket_from_outside() -> PathBuf {
    std::env::var_os(SOCKET).expect("started by another test, not by hand").into()
}

#[tokio::test]
async fn a_socket_that_is_closed_to_the_user_is_forbidden() {
    if child::uid() != 0 {
        forbidden().await;
        return;
    }
    child::run(&child::as_user(), "forbidden_alone", &[]).await;
}

#[tokio::test]
#[ignore = "a part of the test above, which runs it as another user than root"]
async fn forbidden_alone() {
    assert_ne!(child::uid(), 0);
    forbidden().await;
}

/// As between bind and chmod when tailscaled starts.
async fn forbidden() {
    let tailscaled = with_db();
    let mut client = client(&tailscaled);
    tailscaled.set_socket_mode(0);
    assert_eq!(reason(&mut client).await, Reason::NodeSocketForbidden);
    assert_eq!(client.dialer().dial(target()).await.unwrap_err().reason, Reason::NodeSocketForbidden);
    tailscaled.set_socket_mode(0o666);
    assert!(status(&mut client).await.is_ok());
}

/// In a mount namespace of its own, for the places are fixed.
#[tokio::test]
async fn both_usual_places_are_tried() {
    let places = "exec 9<\"$0\"; mount -t tmpfs none /tmp && mount -t tmpfs none /run && exec /proc/self/fd/9 \"$@\"";
    let wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c", places];
    let possible = std::process::Command::new(wrapper[0]).args(["--map-root-user", "--mount", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        print("the two usual places of the socket NOT TESTED: this user may make no mount namespace");
        return;
    }
    child::run(&wrapper, "usual_places_alone", &[]).await;
}

#[tokio::test]
#[ignore = "a part of the test above, which runs it where nothing else is"]
async fn usual_places_alone() {
    let [first, second] = ["/var/run/tailscale/tailscaled.sock", "/tmp/tailscaled.sock"].map(Path::new);
    std::fs::create_dir(first.parent().unwrap()).unwrap();
    let mut client = LocalApi::new(None, Arc::new(|_, _| {}));
    let failure = status(&mut client).await.unwrap_err();
    assert_eq!(failure.reason, Reason::NodeSocketMissing);
    for path in [first, second] {
        assert!(failure.cause.contains(path.to_str().unwrap()), "both are named: {failure}");
    }
    let containerboots = Tailscaled::at(second);
    assert!(status(&mut client).await.is_ok(), "the second place alone");
    let tailscaleds = Tailscaled::at(first);
    assert!(status(&mut client).await.is_ok(), "the kept connection");
    containerboots.kill_connections();
    timeout(SOON, containerboots.until(|tally| tally.open == 0)).await.unwrap();
    assert!(status(&mut client).await.is_ok());
    assert_eq!((containerboots.tally().accepted, tailscaleds.tally().accepted), (1, 1), "the first place first");
    tailscaleds.crash();
    assert!(status(&mut client).await.is_ok(), "a dead socket at the first place");
    containerboots.stop();
    let failure = status(&mut client).await.unwrap_err();
    assert_eq!(failure.reason, Reason::NodeSocketRefused, "says more than the one that is missing: {failure}");
}

#[tokio::test]
async fn replacing_the_socket_costs_no_descriptor() {
    child::run(&["env"], "replacing_alone", &[]).await;
}

/// Alone in its process, because descriptors are counted.
#[tokio::test]
#[ignore = "a part of the test above, which runs it alone"]
async fn replacing_alone() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let tailscaled = with_db();
    let mut client = client(&tailscaled);
    status(&mut client).await.unwrap();
    client.dialer().dial(target()).await.unwrap_err();
    timeout(SOON, tailscaled.until(|tally| tally.open == 1)).await.unwrap();
    let before = descriptors();
    for round in 0..200 {
        match round % 4 {
            0 => tailscaled.listen(),
            1 => tailscaled.crash(),
            2 => tailscaled.stop(),
            _ => tailscaled.misbehave(Misbehaviour::CloseAfter(round)),
        }
        assert_eq!(status(&mut client).await.is_ok(), round % 4 == 0, "{round}");
        assert!(client.dialer().dial(target()).await.is_err());
        tailscaled.behave();
        tailscaled.listen();
        status(&mut client).await.unwrap_or_else(|failure| panic!("{round}: {failure}"));
    }
    timeout(SOON, tailscaled.until(|tally| tally.open == 1)).await.unwrap();
    assert_eq!(descriptors(), before);
    assert_all_expected(&tailscaled);
}

/// As large as the largest known, in a release build; without optimisation that would take as long as the client waits.
const GIANT: u32 = if cfg!(debug_assertions) { 8_000 } else { 38_000 };

/// Only one of many peers is kept.
#[tokio::test]
async fn a_very_large_tailnet_is_read_in_little_memory() {
    let tailscaled = with_db();
    tailscaled.set_crowd(Crowd { peers: GIANT, padding: 200 });
    let output = child::run(&["env"], "giant_alone", &[(SOCKET, tailscaled.socket().as_os_str())]).await;
    print(output.lines().find(|line| line.starts_with("read ")).unwrap_or(&output));
    assert_all_expected(&tailscaled);
}

/// Alone in its process, because memory is measured.
#[tokio::test]
#[ignore = "a part of the test above, which runs it alone"]
async fn giant_alone() {
    let memory = |what: &str| -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    };
    let mut client = client_at(&socket_from_outside());
    client.status(false, &|_, _| false).await.unwrap();
    let before = memory("VmRSS:");
    let begun = Instant::now();
    let status = client.status(true, &|_, peer| peer.dns_name.starts_with("db.")).await.unwrap();
    let (peak, took) = (memory("VmHWM:"), begun.elapsed());
    let grown = peak - before;
    println!("\nread {} bytes in {took:?}; peak memory {peak} kB, {grown} kB of it for this", status.size);
    assert_eq!(status.peers.len(), 1, "only the selected peer is kept");
    assert!(status.size > GIANT as usize * 1200, "{}", status.size);
    assert!(grown < 1024, "{grown} kB");
}
