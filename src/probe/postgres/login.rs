//! The beginning of a login.

use tokio::io::AsyncWriteExt;

use super::message::{MAX_LENGTH, body, judge_error, read_message, unexpected};
use crate::probe::connect::Stream;
use crate::probe::reply_buffer::ReplyBuffer;
use crate::probe_result::Detail;
use crate::reason::{Failure, Reason};

/// Terminate: ends a session without a line in the server's log.
pub(super) const TERMINATE: &[u8] = &[b'X', 0, 0, 0, 4];

/// Most messages until the server is ready. PostgreSQL 15 sends 16; notices and extensions may add some.
pub(super) const MAX_MESSAGES: usize = 32;

/// Begins a login and judges the replies. The deadline is the caller's; the connection cannot be used again.
pub async fn log_in<S: Stream>(stream: &mut S, user: &str, database: &str) -> Result<Detail, Failure> {
    let mut reply = ReplyBuffer::new(1 + MAX_LENGTH);
    reply.send(stream, &startup_message(user, database)).await;
    let mut trusted = false;
    for _ in 0..MAX_MESSAGES {
        // Newer servers may send other kinds; they count only after the server has shown to be PostgreSQL.
        let kinds: &[u8] = if trusted { &[] } else { b"ENRSv" };
        let total = read_message(&mut reply, stream, kinds).await?;
        let kind = reply.bytes().first().copied().unwrap_or_default();
        match login_step(kind, body(&reply, total), trusted) {
            LoginStep::Continue => {}
            LoginStep::Trusted => trusted = true,
            LoginStep::Ready => {
                // A failing Terminate does not change the outcome.
                reply.send(stream, TERMINATE).await;
                let _ = stream.shutdown().await;
                return Ok(Detail::Accepting);
            }
            LoginStep::Done(outcome) => return outcome,
            LoginStep::Unexpected => return Err(unexpected(&mut reply, stream).await),
        }
        reply.consume(total);
    }
    Err(Failure::new(Reason::ProtocolGarbage, format_args!("more than {MAX_MESSAGES} messages before the login ended")))
}

/// StartupMessage of protocol 3.0. Values are cut at a NUL, behind which they could add parameters.
fn startup_message(user: &str, database: &str) -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for text in ["user", user, "database", database, "application_name", "telltail"] {
        body.extend_from_slice(text.split('\0').next().unwrap_or_default().as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(4 + body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), body.as_slice()].concat()
}

/// The meaning of a message during a login.
enum LoginStep {
    /// None; read on.
    Continue,
    /// No password is requested. The session is being set up, which may still fail.
    Trusted,
    /// The session is set up.
    Ready,
    /// The outcome is known.
    Done(Result<Detail, Failure>),
    /// Not a message of a login.
    Unexpected,
}

fn login_step(kind: u8, body: &[u8], trusted: bool) -> LoginStep {
    match (kind, body) {
        (b'E', _) => LoginStep::Done(judge_error(body)),
        (b'R', [0, 0, 0, 0]) if !trusted => LoginStep::Trusted,
        (b'R', [_, _, _, _, ..]) if !trusted => LoginStep::Done(Ok(Detail::AuthRequired)),
        (b'Z', [_]) => LoginStep::Ready,
        (b'R' | b'Z', _) => LoginStep::Unexpected,
        _ => LoginStep::Continue,
    }
}
