//! LocalAPI byte by byte, for requests that telltail's client cannot send.

use super::{SOON, Testbed};
use serde_json::Value;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A connection to the socket.
pub struct RawConnection {
    stream: UnixStream,
    unread: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct RawResponse {
    pub version: String,
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl RawConnection {
    pub async fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).await;
        let stream = stream.unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        Self { stream, unread: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap_or_else(|error| panic!("{bytes:?}: {error}"));
    }

    /// Sends a request with the right Host and reads its answer.
    pub async fn get(&mut self, path: &str) -> RawResponse {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: local-tailscaled.sock\r\n\r\n")).await;
        self.answer().await
    }

    pub async fn answer(&mut self) -> RawResponse {
        timeout(2 * SOON, self.read_answer()).await.expect("an answer comes soon")
    }

    async fn read_answer(&mut self) -> RawResponse {
        let mut answer = self.head().await;
        answer.body = String::from_utf8(self.read_body(&answer).await).unwrap();
        answer
    }

    /// A response whose body has not been read.
    pub async fn head(&mut self) -> RawResponse {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            assert!(self.read().await, "closed in a head: {:?}", String::from_utf8_lossy(&self.unread));
        };
        let head = String::from_utf8(self.take(end + 4)).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let mut words = lines.next().unwrap().splitn(3, ' ');
        let version = words.next().unwrap().to_owned();
        let status = words.next().unwrap().parse().unwrap_or_else(|_| panic!("not HTTP: {head:?}"));
        let headers = lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}")));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        RawResponse { version, status, headers, body: String::new() }
    }

    async fn read_body(&mut self, answer: &RawResponse) -> Vec<u8> {
        if answer.status == 101 {
            return Vec::new();
        }
        if answer.header("Transfer-Encoding") == Some("chunked") {
            let mut body = Vec::new();
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    return body;
                }
                body.extend(chunk);
            }
        }
        if let Some(length) = answer.header("Content-Length") {
            return self.exactly(length.parse().unwrap()).await;
        }
        while self.read().await {}
        self.take(self.unread.len())
    }

    /// The next chunk of a body; the last one is empty.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        let chunk = self.exactly(size).await;
        assert_eq!(self.line().await, "");
        chunk
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\r\n") {
                let line = self.take(end + 2);
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.read().await, "closed in a line");
        }
    }

    /// This many bytes.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let reading = async {
            while self.unread.len() < length {
                assert!(self.read().await, "closed {} bytes early", length - self.unread.len());
            }
        };
        timeout(SOON, reading).await.expect("the bytes come soon");
        self.take(length)
    }

    /// Does the other side close without sending more?
    pub async fn ends(&mut self) -> bool {
        timeout(SOON, self.read()).await.is_ok_and(|more| !more)
    }

    /// Shuts down the write side.
    pub async fn close_write_side(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        self.unread.drain(..length).collect()
    }

    /// Reads some bytes; false at the end.
    async fn read(&mut self) -> bool {
        self.stream.read_buf(&mut self.unread).await.is_ok_and(|length| length > 0)
    }
}

impl RawResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        assert_eq!((self.status, self.header("Content-Type")), (200, Some("application/json")), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends a head, `\r\n` between its lines and at its end, on a connection of its own and reads the answer.
pub async fn ask(testbed: &impl Testbed, head: &str) -> RawResponse {
    let mut connection = RawConnection::open(testbed.socket()).await;
    connection.send(&format!("{head}\r\n\r\n")).await;
    connection.answer().await
}

/// The status as JSON.
pub async fn status(testbed: &impl Testbed) -> Value {
    RawConnection::open(testbed.socket()).await.get("/localapi/v0/status").await.json()
}

/// The head of a valid dial.
pub fn dial(host: &str, port: &str) -> String {
    format!(
        "POST /localapi/v0/dial HTTP/1.1\r\nHost: local-tailscaled.sock\r\nConnection: upgrade\r\nUpgrade: ts-dial\r\n\
         Dial-Host: {host}\r\nDial-Port: {port}"
    )
}
