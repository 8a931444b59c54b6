//! What the spoken protocols share: an answer in a buffer of fixed size, and a name for what does not belong.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::reason::{Failure, Reason};

/// How long a peer that has shown to speak something else may go on, so that it can be named. Only a failing probe
/// waits for it.
const GRACE: Duration = Duration::from_millis(250);

/// How much of a foreign answer is read: enough for a banner, or for a text from before there were lengths.
const SAMPLE: usize = 256;

/// How much of it is shown.
const SHOWN: usize = 48;

/// What a peer has answered so far. The buffer never grows, and no number from the wire decides its size.
pub(super) struct Answer {
    buffer: Box<[u8]>,
    filled: usize,
    ended: bool,
    fault: Option<io::Error>,
}

impl Answer {
    /// An empty answer that holds at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: vec![0; limit].into_boxed_slice(), filled: 0, ended: false, fault: None }
    }

    /// What is there.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    /// Can no more bytes come, because the peer ended or the buffer is full?
    pub fn is_over(&self) -> bool {
        self.ended || self.filled == self.buffer.len()
    }

    /// Sends a request. A failure is kept for later instead of returned: a server that is full says so and closes, our
    /// request then comes back as a reset, and what the server said is still there to be read.
    pub async fn ask<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, request: &[u8]) {
        if self.ended {
            return;
        }
        let sent = async {
            stream.write_all(request).await?;
            stream.flush().await
        };
        self.fault = sent.await.err();
    }

    /// Waits for more bytes or the end.
    pub async fn more<S: AsyncRead + Unpin>(&mut self, stream: &mut S) {
        poll_fn(|cx| self.poll_more(stream, cx)).await;
    }

    /// Takes what has arrived by now, without waiting.
    pub async fn arrived<S: AsyncRead + Unpin>(&mut self, stream: &mut S) {
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
                self.fault = Some(error);
            }
        }
        Poll::Ready(())
    }

    /// Forgets the first `count` bytes, which have been dealt with.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.filled);
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    /// The failure of a peer whose answer can no longer become whole.
    pub fn cut(&self) -> Failure {
        let how = self.fault.as_ref().map_or_else(|| "connection closed".to_owned(), ToString::to_string);
        let seen = quote(self.bytes());
        match self.filled {
            _ if !self.ended => Failure::new(Reason::ProtocolGarbage, format_args!("answer without end: {seen}")),
            0 => Failure::new(Reason::ProtocolClosed, format_args!("{how} before an answer")),
            _ => Failure::new(Reason::ProtocolClosed, format_args!("{how} in the middle of an answer: {seen}")),
        }
    }

    /// Reads on for a moment, and at most a banner's length, so that what answers can be named.
    pub async fn gather<S: AsyncRead + Unpin>(&mut self, stream: &mut S) {
        let gathered = async {
            while self.filled < SAMPLE && !self.is_over() {
                self.more(stream).await;
            }
        };
        // Out of time is no failure: then the name has to come from less.
        let _ = timeout(GRACE, gathered).await;
    }

    /// The failure of a peer that speaks something else; [`gather`](Self::gather) first.
    pub fn garbage(&self) -> Failure {
        let seen = quote(self.bytes());
        match fingerprint(self.bytes()) {
            Some(name) => Failure::new(Reason::ProtocolGarbage, format_args!("answer looks like {name}: {seen}")),
            None => Failure::new(Reason::ProtocolGarbage, format_args!("answer begins with {seen}")),
        }
    }
}

/// The beginning of an answer, in quotes, for a person.
fn quote(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.get(..SHOWN).unwrap_or(bytes).escape_ascii())
}

/// What an answer looks like that is not what was asked for.
fn fingerprint(bytes: &[u8]) -> Option<&'static str> {
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
        // A TLS record: alert or handshake, of SSL 3 to TLS 1.3.
        [0x15 | 0x16, 3, 0..=4, ..] => Some("TLS"),
        // A greeting: length in three bytes, packet number 0, protocol version 10.
        [_, _, 0, 0, 10, ..] => Some("MySQL"),
        _ => BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, name)| *name),
    }
}

/// A peer by script, for the tests of what is spoken.
#[cfg(test)]
pub(super) mod script {
    use std::collections::VecDeque;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use crate::probe::Detail;
    use crate::reason::{Failure, Reason};

    /// What a peer does once it has said everything.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Then {
        Close,
        Reset,
        Silence,
        /// Says its last piece again and again.
        Repeat,
    }

    /// A stream whose other side says these pieces, each in a read of its own.
    #[derive(Debug)]
    pub struct Peer {
        pieces: VecDeque<Vec<u8>>,
        then: Then,
        /// Does it speak before it was asked?
        pub early: bool,
        /// Do writes fail, as on a connection that was reset?
        pub deaf: bool,
        pub heard: Vec<u8>,
        pub taken: usize,
        pause: bool,
    }

    impl Peer {
        pub fn new(pieces: impl IntoIterator<Item = Vec<u8>>, then: Then) -> Self {
            let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
            Self { pieces, then, early: false, deaf: false, heard: Vec::new(), taken: 0, pause: false }
        }
    }

    impl AsyncRead for Peer {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if !self.early && !self.deaf && self.heard.is_empty() {
                return Poll::Pending;
            }
            self.pause = !self.pause;
            if self.pause && !self.early {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(mut piece) = self.pieces.pop_front() else {
                return match self.then {
                    Then::Close | Then::Repeat => Poll::Ready(Ok(())),
                    Then::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                    Then::Silence => Poll::Pending,
                };
            };
            if self.then == Then::Repeat && self.pieces.is_empty() {
                self.pieces.push_back(piece.clone());
            }
            let rest = piece.split_off(piece.len().min(room.remaining()));
            room.put_slice(&piece);
            self.taken += piece.len();
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.deaf {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            self.heard.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Every way to cut an answer that can matter: not at all, once at each place, everywhere.
    pub fn cuts(answer: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut cuts = vec![vec![answer.to_vec()], answer.iter().map(|byte| vec![*byte]).collect()];
        for at in 1..answer.len() {
            let (a, b) = answer.split_at(at);
            cuts.push(vec![a.to_vec(), b.to_vec()]);
        }
        cuts
    }

    /// Runs a probe with a deadline as the caller does, on a paused clock.
    pub fn run(probe: impl Future<Output = Result<Detail, Failure>>) -> Result<Detail, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            tokio::time::timeout(Duration::from_secs(3), probe)
                .await
                .unwrap_or_else(|_| Err(Failure::new(Reason::ProtocolTimeout, "deadline")))
        })
    }

    /// A verdict as tables write it: the slug of the detail or of the reason.
    pub fn slug(verdict: &Result<Detail, Failure>) -> &'static str {
        match verdict {
            Ok(detail) => detail.slug(),
            Err(failure) => failure.reason.slug(),
        }
    }
}
