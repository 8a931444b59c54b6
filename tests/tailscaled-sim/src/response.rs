//! Responses as Go's net/http writes them.

use std::time::SystemTime;

use crate::clock::http_date;
use crate::http_stream::{Disconnected, HttpStream};
use crate::misbehaviour::Misbehaviour;
use crate::status::Status;
use crate::{Request, Version};

/// Bodies up to here get a `Content-Length`, longer ones are chunked.
const GO_BUFFER: usize = 2048;
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; script-src 'none'; script-src-elem 'none'; script-src-attr 'none'";

#[derive(Debug)]
pub(crate) struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Whole(Vec<u8>),
    Status(Status),
}

impl Body {
    fn pieces(&self) -> Box<dyn Iterator<Item = Vec<u8>> + Send + '_> {
        match self {
            Body::Whole(bytes) => Box::new(std::iter::once(bytes.clone())),
            Body::Status(status) => Box::new(status.pieces()),
        }
    }
}

impl Response {
    pub(crate) fn new(status: u16, body: Vec<u8>) -> Self {
        Response { status, headers: Vec::new(), body: Body::Whole(body) }
    }

    pub(crate) fn json(body: Body) -> Self {
        Response { status: 200, headers: vec![("Content-Type", "application/json".into())], body }
    }

    /// Go's `http.Error`.
    pub(crate) fn error(status: u16, text: &str) -> Self {
        Response::new(status, format!("{text}\n").into_bytes())
            .with("Content-Type", "text/plain; charset=utf-8")
            .with("X-Content-Type-Options", "nosniff")
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(have, _)| *have != name);
        self.headers.push((name, value.into()));
        self
    }

    /// What every answer carries that got past the check of the Host header.
    pub(crate) fn signed(self, version: Version) -> Self {
        self.with("Tailscale-Version", version.long())
            .with("Tailscale-Cap", version.capability().to_string())
            .with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            .with("X-Frame-Options", "DENY")
            .with("X-Content-Type-Options", "nosniff")
    }

    fn head(&self, old: bool, framing: Option<String>, keep: bool) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.sort();
        let version = if old { "HTTP/1.0" } else { "HTTP/1.1" };
        let mut head = format!("{version} {} {}\r\n", self.status, phrase(self.status));
        let close = (!keep && !old).then(|| "Connection: close".to_owned());
        let date = (self.status != 101).then(|| format!("Date: {}", http_date(SystemTime::now())));
        let named = headers.iter().map(|(name, value)| format!("{name}: {value}"));
        for line in named.chain(date).chain(framing).chain(close) {
            head.push_str(&line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Head alone, as before a raw stream.
    pub(crate) async fn send_head(&self, http: &mut HttpStream, request: &Request) -> Result<(), Disconnected> {
        http.send(&self.head(request.old, None, true)).await
    }

    /// Head alone, as before a stream of chunks.
    pub(crate) async fn send_chunked_head(&self, http: &mut HttpStream, request: &Request) -> Result<(), Disconnected> {
        let chunked = Some("Transfer-Encoding: chunked".to_owned());
        http.send(&self.head(request.old, chunked, request.keeps_alive())).await
    }

    /// Head and body; `chunk` is the size of chunks, where Go would write one for the whole body.
    pub(crate) async fn send(
        &self,
        http: &mut HttpStream,
        request: &Request,
        chunk: Option<usize>,
        spoilt: Option<&Misbehaviour>,
    ) -> Result<(), Disconnected> {
        let (keep, old) = (request.keeps_alive(), request.old);
        let length: usize = self.body.pieces().map(|piece| piece.len()).sum();
        if let Some(Misbehaviour::ContentLength(off)) = spoilt {
            let claimed = i64::try_from(length).unwrap_or(i64::MAX) + off;
            http.send(&self.head(old, Some(format!("Content-Length: {claimed}")), keep)).await?;
            return self.send_plain(http).await.and(Err(Disconnected));
        }
        let chunked = Some("Transfer-Encoding: chunked".to_owned());
        if let Some(Misbehaviour::BrokenChunk) = spoilt {
            http.send(&self.head(old, chunked, keep)).await?;
            http.send(b"8\r\n{\"Versio\r\nno chunk\r\n").await?;
            return Err(Disconnected);
        }
        let fixed = length <= GO_BUFFER && chunk.is_none() || old;
        let framing = if fixed { Some(format!("Content-Length: {length}")) } else { chunked };
        http.send(&self.head(old, framing, keep)).await?;
        match (request.method.as_str(), fixed) {
            ("HEAD", _) => Ok(()),
            (_, true) => self.send_plain(http).await,
            (_, false) => self.send_chunks(http, length, chunk.unwrap_or(length)).await,
        }
    }

    async fn send_plain(&self, http: &mut HttpStream) -> Result<(), Disconnected> {
        for piece in self.body.pieces() {
            http.send(&piece).await?;
        }
        Ok(())
    }

    async fn send_chunks(&self, http: &mut HttpStream, length: usize, size: usize) -> Result<(), Disconnected> {
        let (mut unsent, mut left) = (length, 0);
        for piece in self.body.pieces() {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                if left == 0 {
                    left = size.min(unsent);
                    http.send(format!("{left:x}\r\n").as_bytes()).await?;
                }
                let (now, later) = rest.split_at(left.min(rest.len()));
                http.send(now).await?;
                (rest, left, unsent) = (later, left - now.len(), unsent - now.len());
                if left == 0 {
                    http.send(b"\r\n").await?;
                }
            }
        }
        http.send(b"0\r\n\r\n").await
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Unheard Of",
    }
}
