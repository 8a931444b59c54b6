//! Valkey and Redis: one PING, one line in return.
//!
//! The request is an array, as clients send it, and not an inline command: proxies (Envoy, Twemproxy) accept nothing else.
//! A request for authentication is success, and so is a server that does not know PING: it runs. PONG is the word of whoever
//! has the port: Sentinels, proxies without a backend and cluster nodes without slots say it, too.
//!
//! # Pooled connections
//!
//! [`ping`] can be called on a connection as long as it returns `Ok`. After an `Err` or a dropped future a reply may still
//! be under way: drop the connection, too. Bytes behind the reply in the same read are dropped. Bytes that arrive later are
//! read before the next PING: only an error or a push may be there then. So an old PONG is never taken for the reply to a
//! new PING.

use super::Detail;
use super::connect::Stream;
use super::reply_buffer::ReplyBuffer;
use crate::reason::{Failure, Reason};

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

/// Longest reply, pushes included. Of a longer error, such as `-DENIED` of the protected mode, the beginning is enough.
const MAX_REPLY: usize = 1024;

/// Most values in all pushes before the reply.
const MAX_PUSHED: usize = 64;

/// Sends PING and judges the reply. The deadline is the caller's.
pub async fn ping<S: Stream>(stream: &mut S) -> Result<Detail, Failure> {
    let mut reply = ReplyBuffer::new(MAX_REPLY);
    reply.read_available(stream).await;
    match reply.bytes() {
        // A server that is full or in protected mode sends an error first, and closes.
        [b'-', ..] => {}
        [] | [b'>', ..] => reply.send(stream, PING).await,
        _ => return Err(reply.unexpected(stream).await),
    }
    loop {
        match read(reply.bytes(), reply.is_exhausted()) {
            ReplyLine::Pong => return Ok(Detail::Accepting),
            ReplyLine::Error(text) => return judge(text),
            ReplyLine::Partial if reply.is_exhausted() => return Err(reply.incomplete()),
            ReplyLine::Partial => reply.read_more(stream).await,
            ReplyLine::Unexpected => return Err(reply.unexpected(stream).await),
        }
    }
}

/// The meaning of the bytes so far.
#[derive(Debug, PartialEq, Eq)]
enum ReplyLine<'a> {
    /// Too few.
    Partial,
    Pong,
    /// The text of an error, without its sign and end.
    Error(&'a [u8]),
    /// No reply to PING.
    Unexpected,
}

fn read(bytes: &[u8], exhausted: bool) -> ReplyLine<'_> {
    let rest = match skip_pushes(bytes) {
        Ok(rest) => rest,
        Err(line) => return line,
    };
    match rest {
        [] => ReplyLine::Partial,
        [b'+', ..] if rest.starts_with(PONG) => ReplyLine::Pong,
        [b'+', ..] if PONG.starts_with(rest) => ReplyLine::Partial,
        [b'-', text @ ..] => {
            let end = text.iter().position(|byte| *byte == b'\n');
            let letters = text.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
            match end {
                _ if letters < 2 && (text.len() >= 2 || end.is_some()) => ReplyLine::Unexpected,
                Some(end) => ReplyLine::Error(text.get(..end).unwrap_or(text)),
                // Cut by a reset, or very long: the beginning is enough.
                None if exhausted && letters >= 2 => ReplyLine::Error(text),
                None => ReplyLine::Partial,
            }
        }
        _ => ReplyLine::Unexpected,
    }
}

/// The bytes behind pushes (RESP3), which a server may send at any time, or the result if the pushes decide it.
///
/// Values are counted, so that nested ones need no recursion and no memory.
fn skip_pushes(mut rest: &[u8]) -> Result<&[u8], ReplyLine<'static>> {
    let mut open: usize = 0;
    while open > 0 || rest.starts_with(b">") {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(ReplyLine::Partial)?;
        let (line, behind) = rest.split_at(end);
        rest = behind.get(2..).unwrap_or_default();
        open = open.saturating_sub(1);
        match line {
            [b'>' | b'*' | b'~', count @ ..] => open += number(count)?,
            [b'%', count @ ..] => open += 2 * number(count)?,
            // The null of RESP2 has no text.
            [b'$', b'-', b'1'] => {}
            [b'$' | b'=', length @ ..] => rest = rest.get(number(length)? + 2..).ok_or(ReplyLine::Partial)?,
            [b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(', ..] => {}
            _ => return Err(ReplyLine::Unexpected),
        }
        if open > MAX_PUSHED {
            return Err(ReplyLine::Unexpected);
        }
    }
    Ok(rest)
}

/// A count or length that fits into a reply.
fn number(digits: &[u8]) -> Result<usize, ReplyLine<'static>> {
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    digits.parse().ok().filter(|number| *number < MAX_REPLY).ok_or(ReplyLine::Unexpected)
}

/// The meaning of an error. A refusal of who asks, or of PING, comes from a server that lives; the server's own state (loading,
/// full, busy, no disk, no master) and a refusal of everybody beyond its machine (`DENIED`) are failures.
fn judge(text: &[u8]) -> Result<Detail, Failure> {
    let text = String::from_utf8_lossy(text);
    let (code, rest) = text.split_once(' ').unwrap_or((text.trim_end(), ""));
    let outcome = match code {
        "NOAUTH" | "NOPERM" => Ok(Detail::AuthRequired),
        "LOADING" => Err(Reason::ProtocolLoading),
        "ERR" => meaning_of_err(rest),
        _ => Err(Reason::ProtocolRejected),
    };
    outcome.map_err(|reason| Failure::new(reason, text))
}

/// The meaning of `ERR`, whose text alone tells it.
fn meaning_of_err(text: &str) -> Result<Detail, Reason> {
    const TEXTS: &[(&str, Result<Detail, Reason>)] = &[
        // In a cluster of Valkey the text continues with "+ cluster connections reached".
        ("max number of clients", Err(Reason::ProtocolFull)),
        // Kvrocks.
        ("LOADING ", Err(Reason::ProtocolLoading)),
        // PING is renamed or disabled, or a proxy does not know it. Nothing shows what a worker may do.
        ("unknown command", Ok(Detail::Answering)),
        // Pika, and Redis before 2.8.
        ("NOAUTH ", Ok(Detail::AuthRequired)),
        ("operation not permitted", Ok(Detail::AuthRequired)),
        // Dragonfly, Redis Enterprise.
        ("Bad TLS header", Err(Reason::ProtocolTls)),
        ("unencrypted connection is prohibited", Err(Reason::ProtocolTls)),
    ];
    let meaning = TEXTS.iter().find(|(beginning, _)| text.starts_with(beginning));
    meaning.map_or(Err(Reason::ProtocolRejected), |(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::probe::scripted_peer::{AfterScript, ScriptedPeer, run, slug, splits};

    #[expect(clippy::too_many_lines, reason = "one row per fault")]
    fn rows() -> Vec<(&'static str, Vec<u8>, AfterScript, &'static str, &'static str)> {
        let denied = format!("-DENIED Running in protected mode because {}\r\n", "x".repeat(1100));
        vec![
            ("PONG", b"+PONG\r\n".into(), AfterScript::Silence, "accepting", ""),
            ("PONG, closed", b"+PONG\r\n".into(), AfterScript::Close, "accepting", ""),
            ("PONG, reset", b"+PONG\r\n".into(), AfterScript::Reset, "accepting", ""),
            ("password", b"-NOAUTH Authentication required.\r\n".into(), AfterScript::Silence, "auth_required", ""),
            (
                "no permission",
                b"-NOPERM this user has no permissions\r\n".into(),
                AfterScript::Silence,
                "auth_required",
                "",
            ),
            (
                "Pika: password",
                b"-ERR NOAUTH Authentication required.\r\n".into(),
                AfterScript::Silence,
                "auth_required",
                "",
            ),
            (
                "Redis 2.6: password",
                b"-ERR operation not permitted\r\n".into(),
                AfterScript::Silence,
                "auth_required",
                "",
            ),
            (
                "PING renamed",
                b"-ERR unknown command 'PING', with args beginning with: \r\n".into(),
                AfterScript::Silence,
                "answering",
                "",
            ),
            (
                "Dragonfly with TLS",
                b"-ERR Bad TLS header, double check if you enabled TLS for your client.\r\n".into(),
                AfterScript::Close,
                "protocol_tls",
                "ERR Bad TLS header",
            ),
            (
                "Redis Enterprise with TLS",
                b"-ERR unencrypted connection is prohibited\r\n".into(),
                AfterScript::Close,
                "protocol_tls",
                "ERR unencrypted",
            ),
            (
                "twemproxy without a backend",
                b"-ERR Connection refused\r\n".into(),
                AfterScript::Silence,
                "protocol_rejected",
                "ERR Connection refused",
            ),
            (
                "Kvrocks loading",
                b"-ERR LOADING kvrocks is restoring the db from backup\r\n".into(),
                AfterScript::Silence,
                "protocol_loading",
                "",
            ),
            ("no text", b"-ERR\r\n".into(), AfterScript::Silence, "protocol_rejected", "ERR"),
            (
                "loading",
                b"-LOADING Redis is loading the dataset in memory\r\n".into(),
                AfterScript::Silence,
                "protocol_loading",
                "LOADING Redis",
            ),
            (
                "full",
                b"-ERR max number of clients reached\r\n".into(),
                AfterScript::Reset,
                "protocol_full",
                "ERR max number",
            ),
            (
                "full cluster",
                b"-ERR max number of clients + cluster connections reached\r\n".into(),
                AfterScript::Close,
                "protocol_full",
                "",
            ),
            ("cut by a reset", b"-ERR max number of clients rea".into(), AfterScript::Reset, "protocol_full", ""),
            ("protected", denied.into_bytes(), AfterScript::Close, "protocol_rejected", "DENIED Running in protected"),
            (
                "master down",
                b"-MASTERDOWN Link with MASTER is down\r\n".into(),
                AfterScript::Silence,
                "protocol_rejected",
                "MASTERDOWN Link",
            ),
            (
                "busy",
                b"-BUSY Redis is busy running a script.\r\n".into(),
                AfterScript::Silence,
                "protocol_rejected",
                "BUSY",
            ),
            (
                "no disk",
                b"-MISCONF Errors writing to the AOF\r\n".into(),
                AfterScript::Silence,
                "protocol_rejected",
                "MISCONF",
            ),
            (
                "read only",
                b"-READONLY You can't write\r\n".into(),
                AfterScript::Silence,
                "protocol_rejected",
                "READONLY",
            ),
            ("no memory", b"-OOM command not allowed\r\n".into(), AfterScript::Silence, "protocol_rejected", "OOM"),
            (
                "no cluster",
                b"-CLUSTERDOWN The cluster is down\r\n".into(),
                AfterScript::Silence,
                "protocol_rejected",
                "",
            ),
            ("elsewhere", b"-MOVED 1 192.0.2.1:6379\r\n".into(), AfterScript::Silence, "protocol_rejected", "MOVED"),
            ("forger", b"-ERR a\x1b[31m\xff\r\n".into(), AfterScript::Silence, "protocol_rejected", "ERR a\\u{1b}[31m"),
            (
                "push first",
                b">3\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n:1\r\n+PONG\r\n".into(),
                AfterScript::Silence,
                "accepting",
                "",
            ),
            (
                "pushes of every kind",
                b">1\r\n%1\r\n+a\r\n#t\r\n>3\r\n_\r\n,1.5\r\n$-1\r\n>0\r\n-NOAUTH x\r\n".into(),
                AfterScript::Silence,
                "auth_required",
                "",
            ),
            ("push, then an error", b">1\r\n+a\r\n-LOADING x\r\n".into(), AfterScript::Silence, "protocol_loading", ""),
            ("push without end", b">3\r\n+a\r\n".into(), AfterScript::Silence, "protocol_timeout", ""),
            ("push, then closed", b">3\r\n+a\r\n".into(), AfterScript::Close, "protocol_closed", "in the middle"),
            (
                "nested a thousand times",
                b">1\r\n*1\r\n".iter().chain(b"*1\r\n".repeat(1000).iter()).copied().collect(),
                AfterScript::Silence,
                "protocol_garbage",
                "",
            ),
            ("huge push", b">2147483647\r\n".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("wide push", b">900\r\n".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("negative push", b">-5\r\n".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("huge string in a push", b">1\r\n$2147483647\r\n".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("bulk string", b"$2147483647\r\n".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("array", b"*1\r\n*1\r\n".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("number", b":1\r\n".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("another word", b"+OK\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like POP3"),
            ("no carriage return", b"+PONG\n".into(), AfterScript::Silence, "protocol_garbage", "+PONG"),
            ("a minus, but no error", b"-----BEGIN\r\n".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("nothing but a minus", b"-\r\n".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("cut", b"+PO".into(), AfterScript::Close, "protocol_closed", "in the middle of an answer: \"+PO\""),
            ("drips", b"+PO".into(), AfterScript::Silence, "protocol_timeout", ""),
            ("close", vec![], AfterScript::Close, "protocol_closed", "before an answer"),
            ("reset", vec![], AfterScript::Reset, "protocol_closed", "reset"),
            ("silence", vec![], AfterScript::Silence, "protocol_timeout", ""),
            (
                "HTTP",
                b"HTTP/1.1 400 Bad Request\r\n\r\n".into(),
                AfterScript::Close,
                "protocol_garbage",
                "looks like HTTP",
            ),
            ("memcached", b"ERROR\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like memcached"),
            ("TLS alert", vec![0x15, 3, 1, 0, 2, 2, 70], AfterScript::Close, "protocol_tls", "looks like TLS"),
        ]
    }

    #[test]
    fn every_reply_has_its_outcome_in_any_chunks() {
        for (name, answer, then, expected, cause) in rows() {
            let all = splits(&answer);
            let step = 1 + all.len() / 400;
            for chunks in all.into_iter().step_by(step) {
                let outcome = run(ping(&mut ScriptedPeer::new(chunks.clone(), then)));
                assert_eq!(slug(&outcome), expected, "{name} {chunks:?} {outcome:?}");
                let cause_text = outcome.err().map(|failure| failure.cause).unwrap_or_default();
                assert!(cause_text.contains(cause), "{name} {chunks:?} {cause_text:?}");
            }
        }
    }

    #[test]
    fn a_server_that_sends_first_may_only_send_errors_and_pushes() {
        let rows = [
            (&b"-ERR max number of clients reached\r\n"[..], "protocol_full"),
            (b"-DENIED x\r\n", "protocol_rejected"),
            (b">1\r\n+a\r\n+PONG\r\n", "accepting"),
            (b"+PONG\r\n", "protocol_garbage"),
            (b"220 mx ESMTP\r\n", "protocol_garbage"),
            (b"SSH-2.0-x\r\n", "protocol_garbage"),
        ];
        for (answer, expected) in rows {
            for writes_fail in [false, true] {
                let mut peer = ScriptedPeer::new([answer.to_vec()], AfterScript::Close);
                (peer.speaks_first, peer.writes_fail) = (true, writes_fail);
                assert_eq!(slug(&run(ping(&mut peer))), expected, "{}", answer.escape_ascii());
            }
        }
    }

    #[test]
    fn an_error_before_a_reset_is_read_although_the_request_failed() {
        let mut peer = ScriptedPeer::new([b"-ERR max number of clients reached\r\n".to_vec()], AfterScript::Reset);
        peer.writes_fail = true;
        assert_eq!(slug(&run(ping(&mut peer))), "protocol_full");
        let mut peer = ScriptedPeer::new([], AfterScript::Close);
        peer.writes_fail = true;
        let failure = run(ping(&mut peer)).expect_err("closed");
        assert_eq!((failure.reason, failure.cause.as_str()), (Reason::ProtocolClosed, "broken pipe before an answer"));
    }

    #[test]
    fn floods_end_within_bounds() {
        for flood in [&b"-"[..], b"-ERR ", b"+", b"+PONG", b">", b">1\r\n", b">1\r\n+a\r\n", b"$1\r\n", b"\0", b"A"] {
            let mut peer = ScriptedPeer::new([flood.to_vec()], AfterScript::Repeat);
            assert!(run(ping(&mut peer)).is_err(), "{}", flood.escape_ascii());
            assert!(peer.bytes_sent <= MAX_REPLY, "{}", peer.bytes_sent);
        }
    }

    #[tokio::test]
    async fn a_pooled_connection_can_be_used_again_through_a_pipe_of_one_byte() {
        let (mut ours, theirs) = duplex(1);
        let (mut requests, mut answers) = tokio::io::split(theirs);
        let server = async {
            let mut request = [0; PING.len()];
            for answer in [&b"+PONG\r\n"[..], b"-NOAUTH x\r\n", b">1\r\n+a\r\n+PONG\r\n", b"+PONG\r\n"] {
                requests.read_exact(&mut request).await.expect("a request");
                assert_eq!(request, PING);
                answers.write_all(answer).await.expect("read to the end");
            }
        };
        let client = async {
            let mut outcomes = Vec::new();
            for _ in 0..4 {
                outcomes.push(ping(&mut ours).await.map(Detail::slug));
            }
            outcomes
        };
        let ((), outcomes) = tokio::join!(server, client);
        assert_eq!(outcomes, [Ok("accepting"), Ok("auth_required"), Ok("accepting"), Ok("accepting")]);
    }

    #[tokio::test]
    async fn an_old_pong_is_never_the_reply_to_a_new_ping() {
        let (mut ours, mut theirs) = duplex(1024);
        let answer = async {
            let mut request = [0; PING.len()];
            theirs.read_exact(&mut request).await.expect("a request");
            theirs.write_all(b"+PONG\r\n+PONG\r\n").await.expect("a pipe");
        };
        let (outcome, ()) = tokio::join!(ping(&mut ours), answer);
        assert_eq!(outcome, Ok(Detail::Accepting), "surplus bytes in the same read are dropped");

        // The surplus is not taken for the reply of a server that is now silent.
        let silent = tokio::time::timeout(std::time::Duration::from_millis(50), ping(&mut ours)).await;
        assert!(silent.is_err());

        let (mut ours, mut theirs) = duplex(1024);
        theirs.write_all(b"+PONG\r\n").await.expect("a pipe");
        assert_eq!(slug(&ping(&mut ours).await), "protocol_garbage", "surplus bytes in a later read are an error");
    }

    #[tokio::test]
    async fn max_clients_is_read_from_a_socket_that_was_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        for _ in 0..50 {
            let mut ours = TcpStream::connect(address).await.expect("a connection");
            let (mut theirs, _) = listener.accept().await.expect("a connection");
            theirs.write_all(b"-ERR max number of clients reached\r\n").await.expect("room");
            theirs.set_zero_linger().expect("a socket option");
            drop(theirs);
            assert_eq!(slug(&ping(&mut ours).await), "protocol_full");
        }
    }

    proptest! {
        #[test]
        fn no_reply_panics_or_is_read_without_bound(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..10),
            start in proptest::sample::select(vec![&b""[..], b"+", b"-ERR", b">3\r\n", b">1\r\n$5\r\n", b">2\r\n%3\r\n"]),
            then in proptest::sample::select(vec![AfterScript::Close, AfterScript::Reset, AfterScript::Silence, AfterScript::Repeat]),
            speaks_first in any::<bool>(),
            writes_fail in any::<bool>(),
        ) {
            let mut peer = ScriptedPeer::new(std::iter::once(start.to_vec()).chain(chunks), then);
            (peer.speaks_first, peer.writes_fail) = (speaks_first, writes_fail);
            if let Err(failure) = run(ping(&mut peer)) {
                prop_assert!(failure.cause.is_ascii() && failure.cause.len() <= 200);
            }
            prop_assert!(peer.bytes_sent <= MAX_REPLY);
        }

        #[test]
        fn the_outcome_does_not_depend_on_the_chunks(
            answer in "(>[0-9]{1,2}\r\n)?([+$:-][A-Z0-9 ]{0,6}\r\n){0,4}",
            cut in proptest::collection::vec(1usize..8, 0..20),
        ) {
            let whole = run(ping(&mut ScriptedPeer::new([answer.clone().into_bytes()], AfterScript::Close)));
            let mut rest = answer.as_bytes();
            let mut chunks = Vec::new();
            for count in cut {
                let (chunk, behind) = rest.split_at(count.min(rest.len()));
                chunks.push(chunk.to_vec());
                rest = behind;
            }
            chunks.push(rest.to_vec());
            prop_assert_eq!(slug(&run(ping(&mut ScriptedPeer::new(chunks, AfterScript::Close)))), slug(&whole));
        }
    }
}
