//! The two requests that a server answers with one byte before a login.

use super::message::{MAX_LENGTH, body, field, judge_error, read_message, unexpected};
use crate::probe::connect::Stream;
use crate::probe::reply_buffer::ReplyBuffer;
use crate::probe_result::Detail;
use crate::reason::Failure;

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

/// Asks, and judges the reply. The deadline is the caller's; the connection cannot be used again.
pub(super) async fn ask<S: Stream>(stream: &mut S, question: Question) -> Result<Detail, Failure> {
    let mut reply = ReplyBuffer::new(1 + MAX_LENGTH);
    reply.send(stream, question.request()).await;
    if reply.bytes().is_empty() {
        reply.read_more(stream).await;
    }
    match (question, reply.bytes()) {
        (_, []) => Err(reply.incomplete()),
        (_, [b'N']) | (Question::GssEncryption, [b'G']) => Ok(Detail::Answering),
        // Supavisor takes GSSENCRequest for SSLRequest. A banner may begin with this letter, too, and go on.
        (_, [b'S']) => {
            let failure = reply.unexpected(stream).await;
            if reply.bytes() == b"S" { Ok(Detail::TlsOnly) } else { Err(failure) }
        }
        (_, [b'E', ..]) => {
            let total = read_message(&mut reply, stream, b"E").await?;
            judge_refusal(body(&reply, total))
        }
        // The valid reply is one byte alone.
        _ => Err(unexpected(&mut reply, stream).await),
    }
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
