//! A server's reply in a buffer of fixed size, and a guess at the protocol of one that is not understood.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::reason::{Failure, Reason};
use crate::shortage::is_own_shortage;

/// How long a reply of another protocol is read, so that the protocol can be named. Only a failing probe waits for it.
const GRACE: Duration = Duration::from_millis(250);

/// Bytes of such a reply that are read: enough for a banner, or an error text of PostgreSQL's protocol 2.
const SAMPLE: usize = 256;

/// Bytes of it that are quoted.
const SHOWN: usize = 48;

/// How the cause of [`closed_without_a_byte`] ends. A cause that quotes a reply ends with a quotation mark.
const BEFORE_ANSWER: &str = " before an answer";

/// The bytes that a server has sent so far. The buffer never grows, and no length from the wire decides its size.
pub(super) struct ReplyBuffer {
    buffer: Box<[u8]>,
    filled: usize,
    ended: bool,
    error: Option<io::Error>,
}

impl ReplyBuffer {
    /// An empty buffer for at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: vec![0; limit].into_boxed_slice(), filled: 0, ended: false, error: None }
    }

    /// The bytes that are there.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    /// Can no more bytes come, because the server closed or the buffer is full?
    pub fn is_exhausted(&self) -> bool {
        self.ended || self.filled == self.buffer.len()
    }

    /// Sends a request. An error is stored instead of returned: a server that is full sends its error and closes, the
    /// request then fails by a reset, and the server's error can still be read.
    pub async fn send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, request: &[u8]) {
        if self.ended {
            return;
        }
        let sent = async {
            stream.write_all(request).await?;
            stream.flush().await
        };
        self.error = sent.await.err();
        // Nothing was asked, so nothing will be answered.
        self.ended = self.error.as_ref().is_some_and(is_own_shortage);
    }

    /// Waits for more bytes or the end.
    pub async fn read_more<S: AsyncRead + Unpin>(&mut self, stream: &mut S) {
        poll_fn(|cx| self.poll_more(stream, cx)).await;
    }

    /// Reads what has arrived, without waiting.
    pub async fn read_available<S: AsyncRead + Unpin>(&mut self, stream: &mut S) {
        poll_fn(|cx| {
            let _ = self.poll_more(stream, cx);
            Poll::Ready(())
        })
        .await;
    }

    fn poll_more<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        if self.ended || room.is_empty() {
            return Poll::Ready(());
        }
        let mut room = ReadBuf::new(room);
        match ready!(Pin::new(stream).poll_read(cx, &mut room)) {
            Ok(()) => {
                let count = room.filled().len();
                self.ended = count == 0;
                self.filled += count;
            }
            Err(error) => {
                self.ended = true;
                self.error = Some(error);
            }
        }
        Poll::Ready(())
    }

    /// Removes the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.filled);
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    /// The failure of a server whose reply stays incomplete.
    pub fn incomplete(&self) -> Failure {
        if let Some(error) = self.error.as_ref().filter(|error| is_own_shortage(error)) {
            return Failure::new(Reason::NodeOutOfResources, format_args!("the connection: {error}"));
        }
        let how = self.error.as_ref().map_or_else(|| "connection closed".to_owned(), ToString::to_string);
        let seen = quote(self.bytes());
        match self.filled {
            _ if !self.ended => Failure::new(Reason::ProtocolGarbage, format_args!("answer without end: {seen}")),
            0 => Failure::new(Reason::ProtocolClosed, format_args!("{how}{BEFORE_ANSWER}")),
            _ => Failure::new(Reason::ProtocolClosed, format_args!("{how} in the middle of an answer: {seen}")),
        }
    }

    /// The failure of a server with another protocol. Reads on for a moment, and at most a banner's length, so that the
    /// protocol can be named.
    pub async fn unexpected<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Failure {
        let sample = async {
            while self.filled < SAMPLE && !self.is_exhausted() {
                self.read_more(stream).await;
            }
        };
        // After the time limit the name comes from fewer bytes.
        let _ = timeout(GRACE, sample).await;
        let seen = quote(self.bytes());
        match protocol_of(self.bytes()) {
            Some(TLS) => Failure::new(Reason::ProtocolTls, format_args!("answer looks like {TLS}: {seen}")),
            Some(name) => Failure::new(Reason::ProtocolGarbage, format_args!("answer looks like {name}: {seen}")),
            None => Failure::new(Reason::ProtocolGarbage, format_args!("answer begins with {seen}")),
        }
    }
}

/// Did the server end the connection without having sent anything?
pub(super) fn closed_without_a_byte(failure: &Failure) -> bool {
    failure.reason == Reason::ProtocolClosed && failure.cause.ends_with(BEFORE_ANSWER)
}

/// Is this the beginning of a TLS record: alert or handshake, of SSL 3 to TLS 1.3?
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, 0..=4, ..])
}

/// The beginning of a reply, quoted and escaped.
fn quote(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.get(..SHOWN).unwrap_or(bytes).escape_ascii())
}

const TLS: &str = "TLS";

/// The protocol that a reply looks like.
fn protocol_of(bytes: &[u8]) -> Option<&'static str> {
    const BEGINNINGS: &[(&[u8], &str)] = &[
        (b"HTTP/", "HTTP"),
        (b"<", "HTTP"),
        (b"SSH-", "SSH"),
        (b"220", "SMTP or FTP"),
        (b"+OK", "POP3"),
        (b"* OK", "IMAP"),
        (b"ERROR\r\n", "memcached"),
        (b"RFB ", "VNC"),
        (b"AMQP", "AMQP"),
        (b"+PONG", "Valkey"),
        (b"-NOAUTH", "Valkey"),
        (b"-DENIED", "Valkey"),
        (b"-ERR", "Valkey"),
        (b"E\0\0", "PostgreSQL"),
        (b"R\0\0", "PostgreSQL"),
    ];
    match bytes {
        bytes if is_tls(bytes) => Some(TLS),
        // A greeting: length in three bytes, packet number 0, protocol version 10.
        [_, _, 0, 0, 10, ..] => Some("MySQL"),
        _ => BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, name)| *name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection without room for what is sent, that is silent.
    struct NoBuffers;

    impl AsyncRead for NoBuffers {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for NoBuffers {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(nix::errno::Errno::ENOBUFS.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_request_that_could_not_be_sent_is_not_waited_for_and_no_servers_fault() {
        let outcome = crate::probe::valkey::ping(&mut NoBuffers).await;
        assert_eq!(outcome.expect_err("nothing was sent").reason, Reason::NodeOutOfResources);
        let outcome = crate::probe::postgres::log_in(&mut NoBuffers, "user", "database").await;
        assert_eq!(outcome.expect_err("nothing was sent").reason, Reason::NodeOutOfResources);
    }
}
