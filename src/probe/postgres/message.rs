//! Messages of the server.

use super::sqlstate::{ServerError, meaning};
use crate::probe::connect::Stream;
use crate::probe::reply_buffer::ReplyBuffer;
use crate::probe_result::Detail;
use crate::reason::{Failure, Reason};

/// Longest message, its length included, its type not.
pub(super) const MAX_LENGTH: usize = 4096;

/// Reads the whole first message, which must be of one of these kinds unless the list is empty; its length in bytes.
pub(super) async fn read_message<S: Stream>(
    reply: &mut ReplyBuffer,
    stream: &mut S,
    kinds: &[u8],
) -> Result<usize, Failure> {
    loop {
        let total = match *reply.bytes() {
            [kind, ..] if !kinds.is_empty() && !kinds.contains(&kind) => None,
            [_, a, b, c, d, ..] => match u32::from_be_bytes([a, b, c, d]) as usize {
                length @ 4..=MAX_LENGTH => Some(1 + length),
                _ => None,
            },
            _ => Some(usize::MAX),
        };
        match total {
            None => return Err(unexpected(reply, stream).await),
            Some(total) if total <= reply.bytes().len() => return Ok(total),
            Some(_) if reply.is_exhausted() => return Err(reply.incomplete()),
            Some(_) => reply.read_more(stream).await,
        }
    }
}

/// The first message without type and length.
pub(super) fn body(reply: &ReplyBuffer, total: usize) -> &[u8] {
    reply.bytes().get(5..total).unwrap_or_default()
}

/// One field of an ErrorResponse: type byte, text, NUL. The last NUL may be missing.
pub(super) fn field(body: &[u8], kind: u8) -> Option<String> {
    let text = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[kind]))?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The failure of a server that sends no message of the protocol.
pub(super) async fn unexpected<S: Stream>(reply: &mut ReplyBuffer, stream: &mut S) -> Failure {
    let failure = reply.unexpected(stream).await;
    match reply.bytes() {
        // Where PostgreSQL cannot fork a backend it sends an error of protocol 2: a text without length.
        [b'E', text @ .., b'\n', 0] => Failure::new(Reason::ProtocolRejected, String::from_utf8_lossy(text)),
        _ => failure,
    }
}

/// The meaning of an ErrorResponse.
pub(super) fn judge_error(body: &[u8]) -> Result<Detail, Failure> {
    let code = field(body, b'C').unwrap_or_else(|| "no code".to_owned());
    let message = field(body, b'M').unwrap_or_default();
    let routine = field(body, b'R').unwrap_or_default();
    let error = ServerError { code: &code, message: &message, routine: &routine };
    meaning(error).map_err(|reason| Failure::new(reason, format_args!("{code}: {message}")))
}
