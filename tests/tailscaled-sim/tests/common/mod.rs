//! Raw bytes over the socket, so that no client forgives what a server gets wrong.

#![allow(dead_code, reason = "each test file uses a part")]

use std::time::Duration;

use serde_json::Value;
use tailscaled_sim::Tailscaled;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Long enough for any machine; nothing that is right takes it.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough to say that nothing came.
pub const NOTHING: Duration = Duration::from_millis(150);

pub const STATUS: &str = "GET /localapi/v0/status HTTP/1.1\r\nHost: local-tailscaled.sock\r\n\r\n";
pub const OWN_STATUS: &str = "GET /localapi/v0/status?peers=false HTTP/1.1\r\nHost: local-tailscaled.sock\r\n\r\n";

pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    pub chunks: Option<usize>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub async fn connect(tailscaled: &Tailscaled) -> UnixStream {
    UnixStream::connect(tailscaled.socket()).await.unwrap()
}

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing came")
}

/// One request on a connection of its own.
pub async fn ask(tailscaled: &Tailscaled, request: &str) -> Reply {
    let mut stream = connect(tailscaled).await;
    ask_on(&mut stream, request).await
}

pub async fn ask_on(stream: &mut UnixStream, request: &str) -> Reply {
    stream.write_all(request.as_bytes()).await.unwrap();
    soon(reply(stream)).await
}

pub async fn status(tailscaled: &Tailscaled) -> Value {
    ask(tailscaled, STATUS).await.json()
}

pub fn dial_request(host: &str, port: u16) -> String {
    format!(
        "POST /localapi/v0/dial HTTP/1.1\r\nHost: local-tailscaled.sock\r\nConnection: upgrade\r\nUpgrade: ts-dial\r\n\
         Dial-Host: {host}\r\nDial-Port: {port}\r\nContent-Length: 0\r\n\r\n"
    )
}

pub async fn dial(tailscaled: &Tailscaled, host: &str, port: u16) -> Reply {
    ask(tailscaled, &dial_request(host, port)).await
}

/// Whether a dial gets no answer.
pub async fn hangs(tailscaled: &Tailscaled, host: &str, port: u16) -> bool {
    let mut stream = connect(tailscaled).await;
    stream.write_all(dial_request(host, port).as_bytes()).await.unwrap();
    tokio::time::timeout(NOTHING, stream.read_u8()).await.is_err()
}

/// Everything until the connection ends, in whatever way.
pub async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    bytes
}

/// What is there once `length` bytes have come.
pub async fn take(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

pub async fn silent(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    tokio::time::timeout(NOTHING, stream.read_u8()).await.is_err()
}

async fn line(stream: &mut UnixStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

async fn reply(stream: &mut UnixStream) -> Reply {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push_str(&line(stream).await);
    }
    let status = head[9..12].parse().unwrap();
    let mut reply = Reply { status, head, body: Vec::new(), chunks: None };
    if let Some(length) = reply.header("Content-Length") {
        reply.body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut reply.body).await.unwrap();
    } else if reply.header("Transfer-Encoding").is_some() {
        let mut chunks = 0;
        loop {
            let size = usize::from_str_radix(line(stream).await.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await.unwrap();
            assert!(chunk.ends_with(b"\r\n"));
            if size == 0 {
                break;
            }
            reply.body.extend(&chunk[..size]);
            chunks += 1;
        }
        reply.chunks = Some(chunks);
    }
    reply
}
