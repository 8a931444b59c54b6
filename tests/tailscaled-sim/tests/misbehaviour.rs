//! The LocalAPI gone wrong, seen by a client that reads bytes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{STATUS, ask, connect, dial, drain, silent, soon, status, take};
use tailscaled_sim::{Call, Crowd, Misbehaviour, Peer, Tailscaled};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

async fn spoilt(misbehaviour: Misbehaviour) -> (Tailscaled, UnixStream) {
    let tailscaled = Tailscaled::start();
    tailscaled.misbehave(misbehaviour);
    let mut stream = connect(&tailscaled).await;
    stream.write_all(STATUS.as_bytes()).await.unwrap();
    (tailscaled, stream)
}

async fn text_until_end(misbehaviour: Misbehaviour) -> String {
    let (_tailscaled, mut stream) = spoilt(misbehaviour).await;
    String::from_utf8(drain(&mut stream).await).unwrap()
}

/// The head of a right answer, whose date is the only part that may change between two.
const HEAD_START: &[u8] = b"HTTP/1.1 200 OK\r\n";

#[tokio::test]
async fn it_can_accept_and_never_answer() {
    let (tailscaled, mut stream) = spoilt(Misbehaviour::Silent).await;
    assert!(silent(&mut stream).await);
    assert_eq!(tailscaled.requests().len(), 1);
    drop(stream);
    soon(tailscaled.until(|tally| tally.open == 0)).await;
    tailscaled.behave();
    assert_eq!(ask(&tailscaled, STATUS).await.status, 200);
}

#[tokio::test]
async fn it_can_stall_or_end_after_any_byte() {
    for bytes in [0, 1, HEAD_START.len(), 400, 1000] {
        let (_tailscaled, mut stream) = spoilt(Misbehaviour::StallAfter(bytes)).await;
        let start = take(&mut stream, bytes).await;
        assert_eq!(start[..bytes.min(17)], HEAD_START[..bytes.min(17)]);
        assert!(silent(&mut stream).await);
        assert_eq!(text_until_end(Misbehaviour::CloseAfter(bytes)).await.len(), bytes);
    }
}

#[tokio::test]
async fn it_can_drip() {
    let (_tailscaled, mut stream) = spoilt(Misbehaviour::Drip(Duration::from_millis(5))).await;
    let mut bytes = [0; 64];
    for expected in HEAD_START {
        assert_eq!(soon(stream.read(&mut bytes)).await.unwrap(), 1);
        assert_eq!(bytes[0], *expected);
    }
}

#[tokio::test]
async fn its_length_can_be_wrong() {
    for off in [-1, 1, 100] {
        let text = text_until_end(Misbehaviour::ContentLength(off)).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let claimed: i64 = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        assert_eq!(claimed - i64::try_from(body.len()).unwrap(), off);
    }
}

#[tokio::test]
async fn its_chunks_can_be_broken_and_bytes_can_follow() {
    let text = text_until_end(Misbehaviour::BrokenChunk).await;
    assert!(text.contains("Transfer-Encoding: chunked") && text.ends_with("\r\nno chunk\r\n"));
    let (_tailscaled, mut stream) = spoilt(Misbehaviour::Trailing(Bytes::from_static(b"behind"))).await;
    let mut heard = Vec::new();
    while !heard.ends_with(b"}\nbehind") {
        heard.push(soon(stream.read_u8()).await.unwrap());
    }
}

#[tokio::test]
async fn it_can_be_something_else() {
    assert!(text_until_end(Misbehaviour::not_http()).await.starts_with("SSH-2.0-"));
    for (misbehaviour, start, end) in [
        (Misbehaviour::redirect(), "HTTP/1.1 301 Moved Permanently\r\nLocation: ", "\r\n\r\n"),
        (Misbehaviour::unsolicited_upgrade(), "HTTP/1.1 101 Switching Protocols\r\n", "\r\n\r\n"),
        (Misbehaviour::glued_upgrade(b"+PONG\r\n"), "HTTP/1.1 101 Switching Protocols\r\n", "\r\n\r\n+PONG\r\n"),
    ] {
        let (_tailscaled, mut stream) = spoilt(misbehaviour).await;
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            heard.push(soon(stream.read_u8()).await.unwrap());
        }
        assert!(heard.starts_with(start.as_bytes()));
        assert!(silent(&mut stream).await);
    }
}

#[tokio::test]
async fn it_can_flood_until_the_client_leaves() {
    for (misbehaviour, start) in [
        (Misbehaviour::informational_flood(), "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"),
        (Misbehaviour::endless_head(), "HTTP/1.1 200 OK\r\nX-Padding: a"),
        (Misbehaviour::endless_body(), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: "),
    ] {
        let (tailscaled, mut stream) = spoilt(misbehaviour).await;
        assert!(take(&mut stream, 4 << 20).await.starts_with(start.as_bytes()));
        drop(stream);
        soon(tailscaled.until(|tally| tally.open == 0)).await;
    }
}

#[tokio::test]
async fn an_endless_body_is_made_of_whole_chunks() {
    let (_tailscaled, mut stream) = spoilt(Misbehaviour::endless_body()).await;
    let heard = take(&mut stream, 1 << 18).await;
    let start = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let mut rest = &heard[start..];
    for expected in [16, 1 << 16, 1 << 16] {
        let line = rest.iter().position(|byte| *byte == b'\r').unwrap();
        assert_eq!(usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16), Ok(expected));
        assert_eq!(&rest[line + 2 + expected..line + 4 + expected], b"\r\n");
        rest = &rest[line + 4 + expected..];
    }
}

#[tokio::test]
async fn it_can_answer_errors_and_bad_json() {
    let tailscaled = Tailscaled::start();
    for code in [401, 403, 404, 500, 501] {
        tailscaled.misbehave(Misbehaviour::Error(code, "no".into()));
        let reply = ask(&tailscaled, STATUS).await;
        assert_eq!((reply.status, reply.text()), (code, "no\n"));
    }
    tailscaled.misbehave(Misbehaviour::Json(Bytes::from_static(b"{\"BackendState\": 7")));
    let reply = ask(&tailscaled, STATUS).await;
    assert_eq!((reply.text(), reply.header("Content-Type")), ("{\"BackendState\": 7", Some("application/json")));
    tailscaled.misbehave(Misbehaviour::deep_nesting(100_000));
    assert_eq!(ask(&tailscaled, STATUS).await.body.len(), 200_009);
    tailscaled.misbehave(Misbehaviour::giant_string(10_000_000));
    let version = status(&tailscaled).await["Version"].as_str().unwrap().len();
    assert!((10_000_000..10_100_000).contains(&version));
}

#[tokio::test]
async fn one_call_can_misbehave_alone() {
    let tailscaled = Tailscaled::start();
    tailscaled.add_peer(Peer::new("db").ip("100.64.0.2"));
    tailscaled.misbehave_at(Call::Dial, Misbehaviour::Error(501, "not here".into()));
    assert_eq!(ask(&tailscaled, STATUS).await.status, 200);
    assert_eq!(dial(&tailscaled, "db", 1).await.status, 501);
    tailscaled.behave();
    assert_eq!(dial(&tailscaled, "db", 1).await.status, 502);
}

#[tokio::test]
async fn fifty_megabytes_are_streamed() {
    let tailscaled = Tailscaled::start();
    tailscaled.set_crowd(Crowd { peers: 20_000, padding: 1_500 });
    let mut stream = connect(&tailscaled).await;
    stream.write_all(STATUS.replace("Host", "Connection: close\r\nHost").as_bytes()).await.unwrap();
    let (mut length, mut buffer, mut end) = (0, vec![0; 1 << 16], Vec::new());
    loop {
        let read = soon(stream.read(&mut buffer)).await.unwrap();
        if read == 0 {
            break;
        }
        length += read;
        end = buffer[..read].to_vec();
    }
    assert!(length > 50_000_000, "{length}");
    assert!(end.ends_with(b"}\n\r\n0\r\n\r\n"));
}
