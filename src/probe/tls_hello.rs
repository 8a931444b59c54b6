//! Does a port speak TLS? A ClientHello, and the beginning of what comes back.
//!
//! Hand-written, as the other requests: any TLS server answers with a record of TLS, be it ServerHello or alert, and nothing
//! behind its first bytes is read. No handshake is completed and no secret is made.

use super::ProbeContext;
use super::connect::{Stream, connect};
use super::reply_buffer::{ReplyBuffer, closed_without_a_byte, is_tls};
use super::resolve::Resolution;
use crate::config::Target;
use crate::reason::{Failure, Reason};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A ClientHello (RFC 8446, section 4.1.2) of TLS 1.2 and 1.3 without a server name. It has no key share, so that a server of
/// TLS 1.3 answers HelloRetryRequest, which costs it no signature.
const CLIENT_HELLO: &[u8] = &[
    0x16, 3, 1, 0, 98, // record: handshake, TLS 1.0 for the sake of old middleboxes, length
    1, 0, 0, 94, // ClientHello, length
    3, 3, // legacy version: TLS 1.2
    b't', b'e', b'l', b'l', b't', b'a', b'i', b'l', b't', b'e', b'l', b'l', b't', b'a', b'i', b'l', // random:
    b't', b'e', b'l', b'l', b't', b'a', b'i', b'l', b't', b'e', b'l', b'l', b't', b'a', b'i',
    b'l', // no key depends on it
    0,    // no session
    0, 14, // cipher suites
    0x13, 0x01, 0x13, 0x02, 0x13, 0x03, // TLS 1.3: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305
    0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x30, 0x00, 0x9c, // TLS 1.2: ECDHE with ECDSA and RSA, RSA
    1, 0, // no compression
    0, 39, // extensions
    0, 43, 0, 5, 4, 3, 4, 3, 3, // supported versions: TLS 1.3, 1.2
    0, 10, 0, 6, 0, 4, 0, 29, 0, 23, // groups: X25519, P-256
    0, 13, 0, 10, 0, 8, 4, 3, 8, 4, 4, 1, 2, 1, // signatures: ECDSA, RSA-PSS and RSA with SHA-256, RSA with SHA-1
    0, 51, 0, 2, 0, 0, // key shares: none
];

/// A port that keeps closing without an answer is sent a ClientHello again after this time, so that what is told of it
/// does not age, and a server in trouble is not asked with each probe.
const HELLO_AGAIN: Duration = Duration::from_secs(300);

/// What came of the last ClientHello.
#[derive(Clone, Copy, Debug)]
pub(super) struct HelloAnswer {
    at: Instant,
    is_tls: bool,
}

/// Bytes that tell a record of TLS: type and version.
const HEADER: usize = 3;

/// A port that expects TLS closes without a byte, as a proxy without a backend does. Only the former answers a ClientHello,
/// which is sent before the deadline, once per outage and then rarely.
pub(super) async fn explain_close(
    failure: Failure,
    last: &mut Option<HelloAnswer>,
    target: &Target,
    resolution: &Resolution,
    context: ProbeContext<'_>,
    deadline: Instant,
) -> Failure {
    // Where SSLRequest has taken the time that was left, the next probe asks.
    if !closed_without_a_byte(&failure) || Instant::now() >= deadline {
        return failure;
    }
    if last.is_none_or(|answer| answer.at.elapsed() >= HELLO_AGAIN) {
        // A port that is silent has been asked. One that could not be reached has not.
        let answer = timeout_at(deadline, ask(target, resolution, context)).await.unwrap_or(Some(false));
        *last = answer.map(|is_tls| HelloAnswer { at: Instant::now(), is_tls });
    }
    match last {
        Some(HelloAnswer { is_tls: true, .. }) => {
            Failure::new(Reason::ProtocolTls, format_args!("{}; the port answers in TLS", failure.cause))
        }
        _ => failure,
    }
}

/// Sends a ClientHello on a new connection; none where there is no connection.
async fn ask(target: &Target, resolution: &Resolution, context: ProbeContext<'_>) -> Option<bool> {
    let stream = connect(target, resolution.dialable().ok()?, context.mode, context.dialer).await;
    Some(is_answered(&mut stream.ok()?).await)
}

/// Sends a ClientHello; is it answered in TLS? The deadline is the caller's, the connection cannot be used again.
async fn is_answered<S: Stream>(stream: &mut S) -> bool {
    let mut reply = ReplyBuffer::new(HEADER);
    reply.send(stream, CLIENT_HELLO).await;
    while !reply.is_exhausted() {
        reply.read_more(stream).await;
    }
    is_tls(reply.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::scripted_peer::{AfterScript, ScriptedPeer, run, splits};
    use crate::probe_result::Detail;

    fn answers(chunks: Vec<Vec<u8>>, then: AfterScript) -> bool {
        let mut peer = ScriptedPeer::new(chunks, then);
        let answered =
            async { if is_answered(&mut peer).await { Ok(Detail::Answering) } else { Ok(Detail::Connected) } };
        run(answered) == Ok(Detail::Answering)
    }

    #[test]
    fn only_a_record_of_tls_is_an_answer() {
        let rows: [(&[u8], bool); 8] = [
            (&[0x16, 3, 3, 0, 88, 2], true),
            (&[0x15, 3, 1, 0, 2, 2, 40], true),
            (&[0x16, 3], false),
            (&[], false),
            (b"+PONG\r\n", false),
            (b"-ERR unknown command\r\n", false),
            (b"HTTP/1.1 400 Bad Request\r\n", false),
            (b"E\0\0\0\x08", false),
        ];
        for (answer, expected) in rows {
            for chunks in splits(answer) {
                for then in [AfterScript::Close, AfterScript::Reset, AfterScript::Silence] {
                    assert_eq!(answers(chunks.clone(), then), expected, "{}", answer.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn the_lengths_in_the_hello_are_its_own() {
        let length = |at: usize| usize::from(CLIENT_HELLO[at]) * 256 + usize::from(CLIENT_HELLO[at + 1]);
        assert_eq!(length(3), CLIENT_HELLO.len() - 5, "record");
        assert_eq!(length(7), CLIENT_HELLO.len() - 9, "handshake");
        let ciphers = 9 + 2 + 32 + 1;
        let extensions = ciphers + 2 + length(ciphers) + 2;
        assert_eq!(length(extensions), CLIENT_HELLO.len() - extensions - 2, "extensions");
        let mut at = extensions + 2;
        while at < CLIENT_HELLO.len() {
            at += 4 + length(at + 2);
        }
        assert_eq!(at, CLIENT_HELLO.len(), "each extension");
    }
}
