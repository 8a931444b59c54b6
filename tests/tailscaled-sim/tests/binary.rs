//! The program by itself.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::process::{Command, Stdio};

use common::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

#[tokio::test]
async fn it_plays_until_its_input_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tailscaled.sock");
    let program = env!("CARGO_BIN_EXE_tailscaled-sim");
    let mut command = Command::new(program);
    let mut child = command.arg("--socket").arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
    while !line.starts_with("LocalAPI at ") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut lines, &mut line).unwrap(), 0);
    }
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(common::dial_request("stackeye-valkey-prd", 6379).as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.push(soon(stream.read_u8()).await.unwrap());
    }
    stream.write_all(b"PING\r\n").await.unwrap();
    assert_eq!(common::take(&mut stream, 7).await, b"+PONG\r\n");
    let mut input = child.stdin.take().unwrap();
    let mut send = |order: &str| {
        std::io::Write::write_all(&mut input, format!("{order}\n").as_bytes()).unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
        assert_eq!(line, format!("done: {order}\n"));
    };
    send("state Stopped");
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let question = "GET /localapi/v0/status HTTP/1.1\r\nHost: local-tailscaled.sock\r\nConnection: close\r\n\r\n";
    stream.write_all(question.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("\"Stopped\""), "{answer}");
    for order in ["stop", "start", "refuse no", "direct", "relay", "idle", "derp sfo", "hostname x", "warn x"] {
        send(order);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    assert!(!path.exists());
}

#[test]
fn it_says_how_it_is_used() {
    let output = Command::new(env!("CARGO_BIN_EXE_tailscaled-sim")).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("usage: tailscaled-sim --socket PATH"));
}
