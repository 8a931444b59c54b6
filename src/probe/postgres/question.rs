//! The two requests that a server answers with one byte before a login.

use super::message::{MAX_LENGTH, body, field, judge_error, read_message, unexpected};
use crate::probe::connect::Stream;
use crate::probe::reply_buffer::ReplyBuffer;
use crate::probe_result::Detail;
use crate::reason::Failure;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What a server is asked whose URL names no user ("Message Formats" in PostgreSQL's documentation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Question {
    /// GSSENCRequest, code 1234.5680: PostgreSQL from 12 on logs nothing, whatever follows.
    #[default]
    GssEncryption,
    /// SSLRequest, code 1234.5679: every server knows it, but one that has TLS logs that no handshake follows.
    Tls,
}

impl Question {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::GssEncryption => Self::Tls,
            Self::Tls => Self::GssEncryption,
        }
    }

    const fn request(self) -> &'static [u8] {
        match self {
            Self::GssEncryption => &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30],
            Self::Tls => &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f],
        }
    }
}

/// How long more is waited for behind the reply of one byte. What another protocol sends arrives in one packet, or in the next.
const ALONE: Duration = Duration::from_millis(50);

/// A reply that says that something answers.
pub(super) struct Answer {
    pub detail: Detail,
    pub at: Instant,
    /// The reply, where one byte said so: a greeting of another protocol may begin with it. That of a MySQL 5.7.44-log does.
    one_byte: Option<ReplyBuffer>,
}

impl Answer {
    /// Makes sure that no other byte follows. It takes time, so that what a target once answered is not made sure of again.
    pub async fn confirm<S: Stream>(self, stream: &mut S, deadline: Instant) -> Result<Detail, Failure> {
        if let Some(mut reply) = self.one_byte {
            let _ = timeout_at(deadline.min(Instant::now() + ALONE), reply.read_more(stream)).await;
            if reply.bytes().len() > 1 {
                return Err(unexpected(&mut reply, stream).await);
            }
        }
        Ok(self.detail)
    }
}

/// Asks, and judges the reply. The deadline is the caller's; the connection cannot be used again.
pub(super) async fn ask<S: Stream>(stream: &mut S, question: Question) -> Result<Answer, Failure> {
    let mut reply = ReplyBuffer::new(1 + MAX_LENGTH);
    reply.send(stream, question.request()).await;
    if reply.bytes().is_empty() {
        reply.read_more(stream).await;
    }
    let at = Instant::now();
    let detail = match (question, reply.bytes()) {
        (_, []) => return Err(reply.incomplete()),
        (_, [b'N']) | (Question::GssEncryption, [b'G']) => Detail::Answering,
        // Supavisor takes GSSENCRequest for SSLRequest.
        (_, [b'S']) => Detail::TlsOnly,
        (_, [b'E', ..]) => {
            let total = read_message(&mut reply, stream, b"E").await?;
            return judge_refusal(body(&reply, total)).map(|detail| Answer { detail, at, one_byte: None });
        }
        // The valid reply is one byte alone.
        _ => return Err(unexpected(&mut reply, stream).await),
    };
    Ok(Answer { detail, at, one_byte: Some(reply) })
}

/// The meaning of an error in reply. That the request is not supported is success: only PostgreSQL says so in an
/// ErrorResponse.
fn judge_refusal(body: &[u8]) -> Result<Detail, Failure> {
    match field(body, b'C').as_deref() {
        // feature_not_supported: PostgreSQL before 12.
        Some("0A000") => Ok(Detail::Answering),
        _ => judge_error(body),
    }
}
