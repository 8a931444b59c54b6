//! What a server does at one point of a conversation.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Steps, done in order. After the last one the conversation goes on, unless a step ended it. An empty script says nothing.
#[derive(Clone, Debug, Default)]
pub struct Script(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Send(Bytes),
    Segments(Bytes, usize, Duration),
    Flood(Bytes),
    Receive(usize),
    Pause(Duration),
    Hold,
    Close,
    Reset,
}

/// Far enough apart for loopback to deliver them one by one.
const BETWEEN_SEGMENTS: Duration = Duration::from_millis(1);

impl Script {
    /// Says nothing and goes on listening.
    #[must_use]
    pub fn new() -> Self {
        Script::default()
    }

    /// Says this.
    #[must_use]
    pub fn say(bytes: impl AsRef<[u8]>) -> Self {
        Script::new().send(bytes)
    }

    /// Never says anything any more, and keeps the connection.
    #[must_use]
    pub fn silence() -> Self {
        Script::new().hold()
    }

    /// The first `at` bytes, then a reset.
    #[must_use]
    pub fn reset_at(bytes: &[u8], at: usize) -> Self {
        Script::say(&bytes[..at.min(bytes.len())]).reset()
    }

    /// The first `at` bytes, then the end.
    #[must_use]
    pub fn close_at(bytes: &[u8], at: usize) -> Self {
        Script::say(&bytes[..at.min(bytes.len())]).close()
    }

    /// Then these bytes, at once.
    #[must_use]
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(Bytes::copy_from_slice(bytes.as_ref())))
    }

    /// Then these bytes in segments of `size`.
    #[must_use]
    pub fn send_split(self, bytes: impl AsRef<[u8]>, size: usize) -> Self {
        self.then(Step::Segments(Bytes::copy_from_slice(bytes.as_ref()), size.max(1), BETWEEN_SEGMENTS))
    }

    /// Then these bytes, one per interval.
    #[must_use]
    pub fn drip(self, bytes: impl AsRef<[u8]>, interval: Duration) -> Self {
        self.then(Step::Segments(Bytes::copy_from_slice(bytes.as_ref()), 1, interval))
    }

    /// Then these bytes for ever, as fast as they are taken.
    #[must_use]
    pub fn flood(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.then(Step::Flood(bytes.repeat((1 << 16) / bytes.len().max(1) + 1).into()))
    }

    /// Then waits for so many bytes of the client, and forgets them.
    #[must_use]
    pub fn receive(self, bytes: usize) -> Self {
        self.then(Step::Receive(bytes))
    }

    /// Then nothing for a while.
    #[must_use]
    pub fn pause(self, time: Duration) -> Self {
        self.then(Step::Pause(time))
    }

    /// Then nothing until the client leaves.
    #[must_use]
    pub fn hold(self) -> Self {
        self.then(Step::Hold)
    }

    /// Then the end of the connection.
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Then a reset.
    #[must_use]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Whether the conversation goes on.
    pub(crate) async fn run(&self, stream: &mut TcpStream, buffer: &mut BytesMut) -> bool {
        for step in &self.0 {
            let done = match step {
                Step::Send(bytes) => stream.write_all(bytes).await.is_ok(),
                Step::Segments(bytes, size, interval) => segments(stream, bytes, *size, *interval).await,
                Step::Flood(bytes) => {
                    while stream.write_all(bytes).await.is_ok() {}
                    false
                }
                Step::Receive(length) => {
                    let whole = receive(stream, buffer, *length).await;
                    drop(buffer.split_to(buffer.len().min(*length)));
                    whole
                }
                Step::Pause(time) => {
                    tokio::time::sleep(*time).await;
                    true
                }
                Step::Hold => receive(stream, buffer, usize::MAX).await,
                Step::Close => false,
                Step::Reset => {
                    let _ = stream.set_zero_linger();
                    false
                }
            };
            if !done {
                return false;
            }
        }
        true
    }
}

async fn segments(stream: &mut TcpStream, bytes: &[u8], size: usize, interval: Duration) -> bool {
    for segment in bytes.chunks(size) {
        if stream.write_all(segment).await.is_err() {
            return false;
        }
        tokio::time::sleep(interval).await;
    }
    true
}

/// False if the client left before so many bytes were there.
async fn receive(stream: &mut TcpStream, buffer: &mut BytesMut, length: usize) -> bool {
    while buffer.len() < length {
        if matches!(stream.read_buf(buffer).await, Ok(0) | Err(_)) {
            return false;
        }
    }
    true
}
