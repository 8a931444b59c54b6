//! Just enough of an HTTP client to see what tailscaled says, apart from telltail's own.

use std::{fmt::Display, path::Path, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// An HTTP response.
#[derive(Debug, Clone, Deserialize)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// What tailscaled made of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dial {
    /// 101: the connection stands.
    Connected,
    /// 200 with Dial-Self: no way through the tailnet.
    DialSelf,
    /// Any other answer: its code and text.
    Refused(u16, String),
    /// No answer in time.
    Silent,
}

/// HTTP/1.0 spares us chunked bodies.
pub(crate) async fn ask(socket: &Path, method: &str, path: &str) -> HttpResponse {
    let request = format!("{method} /localapi/v0/{path} HTTP/1.0\r\nHost: local-tailscaled.sock\r\n\r\n");
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(Duration::from_secs(20), exchange).await;
    let answer = answer.unwrap_or_else(|_| panic!("{method} {path}: no answer"));
    let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {answer:?}"));
    HttpResponse { status: status(head), body: body.to_owned() }
}

pub(crate) async fn dial(socket: &Path, host: impl Display, port: u16, within: Duration) -> Dial {
    let request = format!(
        "POST /localapi/v0/dial HTTP/1.1\r\nHost: local-tailscaled.sock\r\nConnection: upgrade\r\n\
         Upgrade: ts-dial\r\nDial-Host: {host}\r\nDial-Port: {port}\r\nContent-Length: 0\r\n\r\n"
    );
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await?;
        answer.truncate(length);
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let Ok(answer) = timeout(within, exchange).await else { return Dial::Silent };
    let answer = answer.unwrap_or_else(|error| panic!("dial {host}:{port}: {error}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match status(head) {
        101 => Dial::Connected,
        200 if head.to_ascii_lowercase().contains("dial-self: true") => Dial::DialSelf,
        code => Dial::Refused(code, body.trim().to_owned()),
    }
}

fn status(head: &str) -> u16 {
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("not HTTP: {head:?}"))
}
