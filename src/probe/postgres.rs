//! PostgreSQL, as far as it can be asked without credentials.
//!
//! Without a user the question is whether GSSAPI encryption is wanted: 8 bytes, one byte in return, and nothing in the
//! server's log, whether it has TLS or not. A server answers it even when it is full or starting, so the answer proves
//! that PostgreSQL (or a pooler) lives there, and no more. Servers before 12 do not know the question; they say so with
//! an error and a line in their log.
//!
//! With a user a login is begun. It tells starting, full and shutting down apart; it ends where a password is asked for.
//! A server that trusts the user is read until it is ready for a query, because only then the database exists, a slot
//! is free and nothing is left unread, which would reach the server as a reset and its log as a line.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Detail;
use super::wire::Answer;
use crate::reason::{Failure, Reason};

/// GSSENCRequest: length 8, code 1234.5680.
const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// Terminate: ends a session without a line in the server's log.
const TERMINATE: &[u8] = &[b'X', 0, 0, 0, 4];

/// Longest message, its length included, its type not.
const MAX_LENGTH: usize = 4096;

/// Most messages until the server is ready. PostgreSQL 18 sends 18, and a notice or an extension may add some.
const MAX_MESSAGES: usize = 32;

/// Asks, or with a user begins a login, and judges what comes back. The deadline is the caller's; the connection is not
/// to be used again.
pub async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    user: Option<&str>,
    database: Option<&str>,
) -> Result<Detail, Failure> {
    match user {
        None => ask(stream).await,
        Some(user) => log_in(stream, user, database.unwrap_or(user)).await,
    }
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<Detail, Failure> {
    let mut answer = Answer::new(1 + MAX_LENGTH);
    answer.ask(stream, GSS_REQUEST).await;
    if answer.bytes().is_empty() {
        answer.more(stream).await;
    }
    match answer.bytes() {
        [] => Err(answer.closed()),
        [b'N' | b'G'] => Ok(Detail::Answering),
        [b'E', ..] => {
            let total = whole(&mut answer, stream, b"E").await?;
            judge_refusal(body(&answer, total))
        }
        // A byte more than one, and it is no answer to this question.
        _ => Err(foreign(&mut answer, stream).await),
    }
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    user: &str,
    database: &str,
) -> Result<Detail, Failure> {
    let mut answer = Answer::new(1 + MAX_LENGTH);
    answer.ask(stream, &startup_message(user, database)).await;
    let mut trusted = false;
    for _ in 0..MAX_MESSAGES {
        // A server newer than this may send more kinds, but only one that has shown to be PostgreSQL.
        let kinds: &[u8] = if trusted { &[] } else { b"ENRSv" };
        let total = whole(&mut answer, stream, kinds).await?;
        let kind = answer.bytes().first().copied().unwrap_or_default();
        match step(kind, body(&answer, total), trusted) {
            Step::On => {}
            Step::Trusted => trusted = true,
            Step::Ready => {
                // The verdict stands, whatever becomes of the farewell.
                answer.ask(stream, TERMINATE).await;
                let _ = stream.shutdown().await;
                return Ok(Detail::Accepting);
            }
            Step::Done(verdict) => return verdict,
            Step::Foreign => return Err(foreign(&mut answer, stream).await),
        }
        answer.consume(total);
    }
    Err(Failure::new(Reason::ProtocolGarbage, format_args!("more than {MAX_MESSAGES} messages and no verdict")))
}

/// StartupMessage of protocol 3.0. A NUL would end a value and begin another one, so a value ends there.
fn startup_message(user: &str, database: &str) -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for (name, value) in [("user", user), ("database", database), ("application_name", "telltail")] {
        let value = value.split('\0').next().unwrap_or_default();
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(4 + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_be_bytes().to_vec();
    message.append(&mut body);
    message
}

/// Waits until the first message, of one of these kinds (or of any), is there whole; says how many bytes it has.
async fn whole<S: AsyncRead + Unpin>(answer: &mut Answer, stream: &mut S, kinds: &[u8]) -> Result<usize, Failure> {
    loop {
        let total = match *answer.bytes() {
            [kind, ..] if !kinds.is_empty() && !kinds.contains(&kind) => None,
            [_, a, b, c, d, ..] => match u32::from_be_bytes([a, b, c, d]) as usize {
                length @ 4..=MAX_LENGTH => Some(1 + length),
                _ => None,
            },
            _ => Some(usize::MAX),
        };
        match total {
            None => return Err(foreign(answer, stream).await),
            Some(total) if total <= answer.bytes().len() => return Ok(total),
            Some(_) if answer.is_over() => return Err(answer.closed()),
            Some(_) => answer.more(stream).await,
        }
    }
}

/// The first message without its type and length.
fn body(answer: &Answer, total: usize) -> &[u8] {
    answer.bytes().get(5..total).unwrap_or_default()
}

/// What one message means for a login.
enum Step {
    /// Nothing; read on.
    On,
    /// No password is asked for. What comes now is the session being set up, which may still fail.
    Trusted,
    /// The session is set up.
    Ready,
    Done(Result<Detail, Failure>),
    Foreign,
}

fn step(kind: u8, body: &[u8], trusted: bool) -> Step {
    match (kind, body) {
        (b'E', _) => Step::Done(judge_error(body)),
        (b'R', [0, 0, 0, 0]) if !trusted => Step::Trusted,
        (b'R', [_, _, _, _, ..]) if !trusted => Step::Done(Ok(Detail::AuthRequired)),
        (b'Z', [_]) => Step::Ready,
        (b'R' | b'Z', _) => Step::Foreign,
        _ => Step::On,
    }
}

/// An error in answer to GSSENCRequest: what tells the server's state counts, and not to know the question is as good
/// an answer as any, for only something that speaks PostgreSQL puts it into an ErrorResponse.
fn judge_refusal(body: &[u8]) -> Result<Detail, Failure> {
    match field(body, b'C').as_deref() {
        // feature_not_supported: PostgreSQL before 12.
        Some("0A000") => Ok(Detail::Answering),
        _ => judge_error(body),
    }
}

/// What an ErrorResponse says about the server.
fn judge_error(body: &[u8]) -> Result<Detail, Failure> {
    let code = field(body, b'C').unwrap_or_default();
    let message = field(body, b'M').unwrap_or_default();
    let reason = match code.as_str() {
        // Starting and shutting down share the code; the text may be in the server's language, then it counts as starting.
        "57P03" if message.contains("shutting down") => Reason::ProtocolShuttingDown,
        "57P03" => Reason::ProtocolStarting,
        "57P01" | "57P02" | "57P05" => Reason::ProtocolShuttingDown,
        "53300" => Reason::ProtocolFull,
        "3D000" => return Ok(Detail::NoDatabase),
        code if code.len() == 5 && code.starts_with("28") => return Ok(Detail::AuthRejected),
        _ => Reason::ProtocolRejected,
    };
    match code.as_str() {
        "" => Err(Failure::new(reason, format_args!("error without a code: {message}"))),
        _ => Err(Failure::new(reason, format_args!("{code}: {message}"))),
    }
}

/// One field of an ErrorResponse: a type byte, a text and NUL each; a missing NUL at the end is forgiven.
fn field(body: &[u8], kind: u8) -> Option<String> {
    let text = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[kind]))?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The failure of a peer that sends no message of the protocol.
async fn foreign<S: AsyncRead + Unpin>(answer: &mut Answer, stream: &mut S) -> Failure {
    answer.gather(stream).await;
    match answer.bytes() {
        // Where PostgreSQL cannot even start a process for us it speaks protocol 2: a text without length.
        [b'E', text @ .., b'\n', 0] => Failure::new(Reason::ProtocolRejected, String::from_utf8_lossy(text)),
        _ => answer.garbage(),
    }
}
