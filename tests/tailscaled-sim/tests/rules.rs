//! The LocalAPI's own rules: who may ask, what, and how it is answered.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use common::{OWN_STATUS, STATUS, ask, ask_on, connect, dial_request, drain, soon};
use tailscaled_sim::{BackendState, Peer, SocketFile, Tailscaled};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

const ERROR_TYPE: Option<&str> = Some("text/plain; charset=utf-8");

#[tokio::test]
async fn only_the_right_host_or_none_is_served() {
    let tailscaled = Tailscaled::start();
    for host in ["local-tailscaled.sock", ""] {
        let request = STATUS.replace("local-tailscaled.sock", host);
        assert_eq!(ask(&tailscaled, &request).await.status, 200, "{host:?}");
    }
    for host in ["localhost", "Local-Tailscaled.sock", "local-tailscaled.sock:80", "127.0.0.1"] {
        let reply = ask(&tailscaled, &STATUS.replace("local-tailscaled.sock", host)).await;
        assert_eq!((reply.status, reply.text()), (403, "invalid localapi request\n"), "{host:?}");
        assert_eq!(reply.header("Content-Type"), ERROR_TYPE);
        assert_eq!(reply.header("Tailscale-Version"), None);
    }
    assert_eq!(tailscaled.unexpected_requests(), [] as [String; 0]);
}

#[tokio::test]
async fn browsers_are_refused() {
    let tailscaled = Tailscaled::start();
    for (header, status) in
        [("Origin: http://x", 403), ("Referer: http://x", 403), ("Referer:", 200), ("Accept: x", 200)]
    {
        let request = STATUS.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
        assert_eq!(ask(&tailscaled, &request).await.status, status, "{header}");
    }
}

#[tokio::test]
async fn answers_name_the_release() {
    let tailscaled = Tailscaled::start();
    let reply = ask(&tailscaled, STATUS).await;
    assert!(reply.header("Tailscale-Version").unwrap().starts_with("1.102.5-t"));
    assert_eq!(reply.header("Tailscale-Cap"), Some("142"));
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    assert!(reply.header("Date").unwrap().ends_with(" GMT"));
    tailscaled.set_version("1.80.3");
    let reply = ask(&tailscaled, STATUS).await;
    assert_eq!(reply.header("Tailscale-Cap"), Some("113"));
    assert!(reply.json()["Version"].as_str().unwrap().starts_with("1.80.3-t"));
}

#[tokio::test]
async fn an_unknown_call_is_not_found_and_noticed() {
    let tailscaled = Tailscaled::start();
    for path in ["/localapi/v0/nosuch", "/localapi/v1/status", "/status", "/localapi/v0/status/"] {
        let reply = ask(&tailscaled, &STATUS.replace("/localapi/v0/status", path)).await;
        assert_eq!((reply.status, reply.text()), (404, "404 page not found\n"));
        assert_eq!(reply.header("Tailscale-Cap").is_some(), path.starts_with("/localapi/"), "{path}");
    }
    assert_eq!(tailscaled.unexpected_requests().len(), 4);
    assert_eq!(tailscaled.unexpected_requests()[0], "GET /localapi/v0/nosuch");
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection() {
    let tailscaled = Tailscaled::start();
    for (bytes, answer) in [
        ("PING\r\n\r\n", "400 Bad Request"),
        ("GET /localapi/v0/status HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header"),
        ("GET /localapi/v0/status HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad Request"),
        ("GET /localapi/v0/status HTTP/1.1\r\nHost : a\r\n\r\n", "400 Bad Request: missing required Host header"),
        (
            "GET /localapi/v0/status HTTP/2.0\r\nHost: a\r\n\r\n",
            "505 HTTP Version Not Supported: unsupported protocol version",
        ),
    ] {
        let mut stream = connect(&tailscaled).await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let reply = String::from_utf8(drain(&mut stream).await).unwrap();
        assert!(reply.starts_with(&format!("HTTP/1.1 {answer}\r\n")) && reply.ends_with(answer), "{reply}");
    }
    assert_eq!(tailscaled.unexpected_requests().len(), 5);
}

#[tokio::test]
async fn a_dial_needs_its_method_and_headers_exactly() {
    let tailscaled = Tailscaled::start();
    let right = dial_request("100.64.0.9", 1);
    for (from, to, status, text) in [
        ("POST", "GET", 405, "POST required\n"),
        ("Connection: upgrade", "Connection: Upgrade", 400, "bad ts-dial upgrade\n"),
        ("Connection: upgrade\r\n", "", 400, "bad ts-dial upgrade\n"),
        ("Upgrade: ts-dial", "Upgrade: TS-Dial", 400, "bad ts-dial upgrade\n"),
        ("Dial-Host: 100.64.0.9\r\n", "", 400, "missing Dial-Host or Dial-Port header\n"),
        ("Dial-Port: 1\r\n", "", 400, "missing Dial-Host or Dial-Port header\n"),
        ("Connection: upgrade", "Connection: keep-alive, upgrade", 200, ""),
        ("Dial-Port: 1\r\n", "Dial-Port: 1\r\nDial-Network: tcp4\r\n", 200, ""),
    ] {
        let reply = ask(&tailscaled, &right.replace(from, to)).await;
        assert_eq!((reply.status, reply.text()), (status, text), "{from} → {to}");
    }
    assert_eq!(ask(&tailscaled, &right.replace("Port: 1", "Port: x")).await.status, 502);
    assert!(tailscaled.unexpected_requests().is_empty());
    assert_eq!(ask(&tailscaled, &right.replace("Dial-Port", "Dial-Network: udp\r\nDial-Port")).await.status, 502);
    assert_eq!(tailscaled.unexpected_requests(), ["Dial-Network: udp"]);
}

#[tokio::test]
async fn a_connection_is_kept_and_every_request_is_remembered() {
    let tailscaled = Tailscaled::start();
    let mut stream = connect(&tailscaled).await;
    for request in [STATUS, OWN_STATUS, STATUS] {
        assert_eq!(ask_on(&mut stream, request).await.status, 200);
    }
    assert_eq!(ask(&tailscaled, STATUS).await.status, 200);
    let requests = tailscaled.requests();
    assert_eq!(requests.iter().map(|request| request.connection).collect::<Vec<_>>(), [1, 1, 1, 2]);
    assert_eq!(requests[1].parameter("peers"), Some("false"));
    assert_eq!(requests[0].header("host"), Some("local-tailscaled.sock"));
    // Root in one place, somebody in another: what matters is that the socket was asked.
    assert!(requests[0].uid.is_some());
    assert_eq!((tailscaled.tally().accepted, tailscaled.tally().requests), (2, 4));
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let tailscaled = Tailscaled::start();
    let mut stream = connect(&tailscaled).await;
    assert!(ask_on(&mut stream, &[STATUS, OWN_STATUS].concat()).await.json()["Peer"].is_null());
    assert_eq!(ask_on(&mut stream, "").await.status, 200);
}

#[tokio::test]
async fn a_client_can_ask_for_the_end() {
    let tailscaled = Tailscaled::start();
    for request in
        [STATUS.replace("Host", "Connection: close\r\nHost"), STATUS.replace("HTTP/1.1", "HTTP/1.0"), STATUS.into()]
    {
        let mut stream = connect(&tailscaled).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        if request == STATUS {
            assert_eq!(ask_on(&mut stream, STATUS).await.status, 200);
        } else {
            drain(&mut stream).await;
        }
    }
}

#[tokio::test]
async fn short_bodies_have_a_length_and_long_ones_a_chunk() {
    let tailscaled = Tailscaled::start();
    tailscaled.set_backend_state(BackendState::NoState);
    let short = ask(&tailscaled, STATUS).await;
    assert!(short.body.len() <= 2048 && short.chunks.is_none());
    tailscaled.set_backend_state(BackendState::Running);
    for number in 0..5 {
        tailscaled.add_peer(Peer::new(&format!("peer{number}")).ip(&format!("100.64.1.{number}")));
    }
    let long = ask(&tailscaled, STATUS).await;
    assert!(long.body.len() > 2048);
    assert_eq!(long.chunks, Some(1));
    tailscaled.set_chunk_size(Some(100));
    let split = ask(&tailscaled, STATUS).await;
    assert_eq!(split.chunks, Some(split.body.len().div_ceil(100)));
    assert_eq!(split.text(), long.text());
    tailscaled.set_chunk_size(Some(1));
    assert_eq!(ask(&tailscaled, STATUS).await.text(), long.text());
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let tailscaled = Tailscaled::start();
    let mut stream = connect(&tailscaled).await;
    let request = STATUS.replace("GET", "HEAD").replace("Host", "Connection: close\r\nHost");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(drain(&mut stream).await.ends_with(b"\r\n\r\n"));
}

#[tokio::test]
async fn the_socket_is_open_to_all_and_ends_with_the_handle() {
    let tailscaled = Tailscaled::start();
    let path = tailscaled.socket().to_owned();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o666);
    tailscaled.set_socket_mode(0o600);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = connect(&tailscaled).await;
    drop(tailscaled);
    assert!(!path.exists() && !path.parent().unwrap().exists());
    assert_eq!(drain(&mut stream).await, b"");
}

#[tokio::test]
async fn a_restart_makes_a_new_socket_and_ends_the_old_connections() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let tailscaled = Tailscaled::at(&path);
    // Kept open, lest the file system gives the number away again.
    let kept = folder.path().join("kept.sock");
    std::fs::hard_link(&path, &kept).unwrap();
    let mut stream = connect(&tailscaled).await;
    assert_eq!(ask_on(&mut stream, STATUS).await.status, 200);
    tailscaled.listen();
    assert_eq!(drain(&mut stream).await, b"");
    assert_eq!(ask(&tailscaled, STATUS).await.status, 200);
    assert_ne!(kept.metadata().unwrap().ino(), path.metadata().unwrap().ino());
    soon(tailscaled.until(|tally| tally.accepted == 2 && tally.open == 0)).await;
}

#[tokio::test]
async fn what_is_at_the_path_can_be_anything() {
    let tailscaled = Tailscaled::absent();
    let error = || async { UnixStream::connect(tailscaled.socket()).await.unwrap_err().kind() };
    assert_eq!(error().await, std::io::ErrorKind::NotFound);
    tailscaled.listen();
    assert_eq!(ask(&tailscaled, STATUS).await.status, 200);
    tailscaled.crash();
    assert!(tailscaled.socket().metadata().unwrap().file_type().is_socket());
    assert_eq!(error().await, std::io::ErrorKind::ConnectionRefused);
    tailscaled.replace_socket(SocketFile::File);
    assert_eq!(error().await, std::io::ErrorKind::ConnectionRefused);
    tailscaled.replace_socket(SocketFile::Folder);
    assert_eq!(error().await, std::io::ErrorKind::ConnectionRefused);
    tailscaled.replace_socket(SocketFile::DanglingLink);
    assert_eq!(error().await, std::io::ErrorKind::NotFound);
    tailscaled.listen();
    assert_eq!(ask(&tailscaled, STATUS).await.status, 200);
    tailscaled.stop();
    assert_eq!(error().await, std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn connections_can_be_cut() {
    let tailscaled = Tailscaled::start();
    let mut stream = connect(&tailscaled).await;
    assert_eq!(ask_on(&mut stream, STATUS).await.status, 200);
    tailscaled.kill_connections();
    assert_eq!(drain(&mut stream).await, b"");
    assert_eq!(ask(&tailscaled, STATUS).await.status, 200);
}
