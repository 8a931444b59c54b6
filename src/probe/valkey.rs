//! Valkey and Redis: one PING, one line in return.
//!
//! The request is an array, as clients send it, and not an inline command: proxies (Envoy, Twemproxy) take nothing else.
//! Being asked to authenticate is success, for only a server that lives asks.
//!
//! # A connection that is held
//!
//! [`ping`] can be called on a connection again and again as long as it returned `Ok`. After an `Err`, or when the
//! future was dropped before it was done, an answer may still be under way: drop the connection too. What stands behind
//! the answer in the same read is dropped, for one reply was asked for. What arrives later is found before the next
//! PING is sent: nothing but an error or a push may be there then, anything else is garbage. So an old PONG is never
//! taken for the answer to a new PING.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Detail;
use super::wire::Answer;
use crate::reason::{Failure, Reason};

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

/// Longest answer, pushes included. The longest line known, `-DENIED` of the protected mode, is just below this.
const MAX_ANSWER: usize = 1024;

/// Most values that pushes before the answer may hold in all.
const MAX_PUSHED: usize = 64;

/// Sends PING and judges what comes back. The deadline is the caller's.
pub async fn ping<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<Detail, Failure> {
    let mut answer = Answer::new(MAX_ANSWER);
    answer.arrived(stream).await;
    match answer.bytes() {
        // A server that is full or protects itself speaks first, and closes.
        [b'-', ..] => {}
        [] | [b'>', ..] => answer.ask(stream, PING).await,
        _ => {
            answer.gather(stream).await;
            return Err(answer.garbage());
        }
    }
    loop {
        match read(answer.bytes(), answer.is_over()) {
            Line::Pong => return Ok(Detail::Accepting),
            Line::Error(text) => return judge(text),
            Line::Partial if answer.is_over() => return Err(answer.closed()),
            Line::Partial => answer.more(stream).await,
            Line::Foreign => {
                answer.gather(stream).await;
                return Err(answer.garbage());
            }
        }
    }
}

/// What the bytes so far say.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// Too little to tell.
    Partial,
    Pong,
    /// The text of an error, without its sign and end.
    Error(&'a [u8]),
    /// No answer to PING.
    Foreign,
}

fn read(bytes: &[u8], over: bool) -> Line<'_> {
    let rest = match behind_pushes(bytes) {
        Ok(rest) => rest,
        Err(line) => return line,
    };
    match rest {
        [] => Line::Partial,
        [b'+', ..] if rest.starts_with(PONG) => Line::Pong,
        [b'+', ..] if PONG.starts_with(rest) => Line::Partial,
        [b'-', text @ ..] => {
            let end = text.iter().position(|byte| *byte == b'\n');
            let letters = text.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
            match end {
                _ if letters < 2 && (text.len() >= 2 || end.is_some()) => Line::Foreign,
                Some(end) => Line::Error(text.get(..end).unwrap_or(text)),
                // Cut short by a reset, or very long: its beginning tells enough.
                None if over && letters >= 2 => Line::Error(text),
                None => Line::Partial,
            }
        }
        _ => Line::Foreign,
    }
}

/// What follows behind pushes (RESP3), which come unasked at any time; else what the answer is because of them.
///
/// A push is counted off value by value, so that nested ones need no recursion and nothing is built from them.
fn behind_pushes(mut rest: &[u8]) -> Result<&[u8], Line<'static>> {
    let mut open: usize = 0;
    while open > 0 || rest.starts_with(b">") {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Line::Partial)?;
        let (line, behind) = rest.split_at(end);
        rest = behind.get(2..).unwrap_or_default();
        open = open.saturating_sub(1);
        match line {
            [b'>' | b'*' | b'~', count @ ..] => open += number(count)?,
            [b'%', count @ ..] => open += 2 * number(count)?,
            // No text at all: the null of RESP2.
            [b'$', b'-', b'1'] => {}
            [b'$' | b'=', length @ ..] => rest = rest.get(number(length)? + 2..).ok_or(Line::Partial)?,
            [b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(', ..] => {}
            _ => return Err(Line::Foreign),
        }
        if open > MAX_PUSHED {
            return Err(Line::Foreign);
        }
    }
    Ok(rest)
}

/// A count or length that can be part of an answer of ours at all.
fn number(digits: &[u8]) -> Result<usize, Line<'static>> {
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    digits.parse().ok().filter(|number| *number < MAX_ANSWER).ok_or(Line::Foreign)
}

/// What an error says about the server.
fn judge(text: &[u8]) -> Result<Detail, Failure> {
    let text = String::from_utf8_lossy(text);
    let code = text.split_ascii_whitespace().next().unwrap_or_default();
    let reason = match code {
        "NOAUTH" | "NOPERM" => return Ok(Detail::AuthRequired),
        "LOADING" => Reason::ProtocolLoading,
        // With cluster it goes on "+ cluster connections reached".
        "ERR" if text.starts_with("ERR max number of clients") => Reason::ProtocolFull,
        _ => Reason::ProtocolRejected,
    };
    Err(Failure::new(reason, text))
}
