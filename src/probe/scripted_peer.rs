//! A scripted peer for the tests of the protocols.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::probe_result::Detail;
use crate::reason::{Failure, Reason};

/// What a scripted peer does after its last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterScript {
    Close,
    Reset,
    Silence,
    /// Sends the last chunk again and again.
    Repeat,
}

/// A stream whose other side sends these chunks, one for each read.
#[derive(Debug)]
pub struct ScriptedPeer {
    chunks: VecDeque<Vec<u8>>,
    then: AfterScript,
    /// Does it send before it has received anything?
    pub speaks_first: bool,
    /// Do writes fail, as on a connection that was reset?
    pub writes_fail: bool,
    pub received: Vec<u8>,
    pub bytes_sent: usize,
    pause: bool,
}

impl ScriptedPeer {
    pub fn new(chunks: impl IntoIterator<Item = Vec<u8>>, then: AfterScript) -> Self {
        let chunks = chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect();
        Self {
            chunks,
            then,
            speaks_first: false,
            writes_fail: false,
            received: Vec::new(),
            bytes_sent: 0,
            pause: false,
        }
    }
}

impl AsyncRead for ScriptedPeer {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.speaks_first && !self.writes_fail && self.received.is_empty() {
            return Poll::Pending;
        }
        self.pause = !self.pause;
        if self.pause && !self.speaks_first {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(mut chunk) = self.chunks.pop_front() else {
            return match self.then {
                AfterScript::Close | AfterScript::Repeat => Poll::Ready(Ok(())),
                AfterScript::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                AfterScript::Silence => Poll::Pending,
            };
        };
        if self.then == AfterScript::Repeat && self.chunks.is_empty() {
            self.chunks.push_back(chunk.clone());
        }
        let rest = chunk.split_off(chunk.len().min(room.remaining()));
        room.put_slice(&chunk);
        self.bytes_sent += chunk.len();
        if !rest.is_empty() {
            self.chunks.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ScriptedPeer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.writes_fail {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.received.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The relevant ways to split a reply into chunks: not at all, everywhere, and once at each place.
pub fn splits(reply: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut splits = vec![vec![reply.to_vec()], reply.iter().map(|byte| vec![*byte]).collect()];
    for at in 1..reply.len() {
        let (a, b) = reply.split_at(at);
        splits.push(vec![a.to_vec(), b.to_vec()]);
    }
    splits
}

/// Runs a probe with a deadline and a paused clock.
pub fn run(probe: impl Future<Output = Result<Detail, Failure>>) -> Result<Detail, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(Duration::from_secs(3), probe)
            .await
            .unwrap_or_else(|_| Err(Failure::new(Reason::ProtocolTimeout, "deadline")))
    })
}

/// The slug of the detail or of the reason.
pub fn slug(outcome: &Result<Detail, Failure>) -> &'static str {
    match outcome {
        Ok(detail) => detail.slug(),
        Err(failure) => failure.reason.slug(),
    }
}
