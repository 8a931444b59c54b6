//! The server's end of a connection: what is read is kept, what is written can be stalled, cut or dripped.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::request::{Malformed, Request};

/// As in Go's server.
const MAX_HEAD: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct HttpStream {
    pub(crate) stream: UnixStream,
    /// Read, but not yet used.
    pub(crate) early: BytesMut,
    pub(crate) pace: WritePace,
}

/// How an answer gets onto the http.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WritePace {
    Free,
    /// This many more bytes, then nothing.
    Stall(usize),
    /// This many more bytes, then the end.
    Close(usize),
    /// One byte at a time.
    Drip(Duration),
}

/// The connection is of no more use.
#[derive(Debug)]
pub(crate) struct Disconnected;

impl HttpStream {
    pub(crate) fn new(stream: UnixStream) -> Self {
        HttpStream { stream, early: BytesMut::new(), pace: WritePace::Free }
    }

    /// The next request; `Err(Disconnected)` at the end of the connection.
    pub(crate) async fn request(&mut self) -> Result<Result<Request, Malformed>, Disconnected> {
        loop {
            if let Some(end) = self.early.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = self.early.split_to(end + 4);
                return Ok(Request::parse(&head[..end]));
            }
            if self.early.len() > MAX_HEAD {
                return Ok(Err(Malformed("431 Request Header Fields Too Large")));
            }
            self.read().await?;
        }
    }

    pub(crate) async fn skip(&mut self, length: usize) -> Result<(), Disconnected> {
        while self.early.len() < length {
            self.read().await?;
        }
        drop(self.early.split_to(length));
        Ok(())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Disconnected> {
        match self.pace {
            WritePace::Free => self.stream.write_all(bytes).await.map_err(|_| Disconnected),
            WritePace::Stall(left) | WritePace::Close(left) => {
                let part = &bytes[..left.min(bytes.len())];
                self.stream.write_all(part).await.map_err(|_| Disconnected)?;
                let left = left - part.len();
                let stalls = matches!(self.pace, WritePace::Stall(_));
                self.pace = if stalls { WritePace::Stall(left) } else { WritePace::Close(left) };
                match (left, stalls) {
                    (0, true) => Err(self.left().await),
                    (0, false) => Err(Disconnected),
                    (_, _) => Ok(()),
                }
            }
            WritePace::Drip(interval) => {
                for byte in bytes {
                    self.stream.write_all(&[*byte]).await.map_err(|_| Disconnected)?;
                    tokio::time::sleep(interval).await;
                }
                Ok(())
            }
        }
    }

    /// Waits until the client is gone; what it sends meanwhile is kept.
    pub(crate) async fn left(&mut self) -> Disconnected {
        loop {
            if self.read().await.is_err() {
                return Disconnected;
            }
        }
    }

    /// Everything not yet used.
    pub(crate) fn take_early(&mut self) -> Bytes {
        std::mem::take(&mut self.early).freeze()
    }

    async fn read(&mut self) -> Result<(), Disconnected> {
        match self.stream.read_buf(&mut self.early).await {
            Ok(0) | Err(_) => Err(Disconnected),
            Ok(_) => Ok(()),
        }
    }
}
