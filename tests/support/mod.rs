//! What tests of the agent in this process and of the built binary share.

use serde_json::{Map, Value};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest line: a cause has at most 200 characters, and the sentences are our own.
const LONGEST_LINE: usize = 1024;

/// A line of the log. One that is not a JSON object, has a key twice, is too long or has anything but printable ASCII in
/// it is a failure.
pub fn line(line: &str) -> Map<String, Value> {
    assert!(line.len() <= LONGEST_LINE, "{} bytes: {line}", line.len());
    assert!(line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{line:?}");
    assert!(!line.contains("login.tailscale.com"), "the AuthURL is a secret: {line}");
    let object: Map<String, Value> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    for key in object.keys() {
        let written = format!("\"{key}\":");
        let places = line.match_indices(&written).filter(|(at, _)| !line[..*at].ends_with('\\'));
        assert_eq!(places.count(), 1, "{key} is there twice: {line}");
    }
    for key in ["timestamp", "level", "message"] {
        assert!(object.contains_key(key), "no {key}: {line}");
    }
    object
}

/// Status and body of a page at `address`, over a connection of its own; none if the agent is not there (any more).
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
}
