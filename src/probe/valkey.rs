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

/// Longest answer, pushes included. An error may be longer (`-DENIED` of the protected mode is, by a little): its
/// beginning tells enough.
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
            Line::Partial if answer.is_over() => return Err(answer.cut()),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::probe::wire::script::{Peer, Then, cuts, run, slug};

    #[expect(clippy::too_many_lines, reason = "one row per fault")]
    fn rows() -> Vec<(&'static str, Vec<u8>, Then, &'static str, &'static str)> {
        let denied = format!("-DENIED Running in protected mode because {}\r\n", "x".repeat(1100));
        vec![
            ("PONG", b"+PONG\r\n".into(), Then::Silence, "accepting", ""),
            ("PONG, closed", b"+PONG\r\n".into(), Then::Close, "accepting", ""),
            ("PONG, reset", b"+PONG\r\n".into(), Then::Reset, "accepting", ""),
            ("password", b"-NOAUTH Authentication required.\r\n".into(), Then::Silence, "auth_required", ""),
            ("no permission", b"-NOPERM this user has no permissions\r\n".into(), Then::Silence, "auth_required", ""),
            (
                "loading",
                b"-LOADING Redis is loading the dataset in memory\r\n".into(),
                Then::Silence,
                "protocol_loading",
                "LOADING Redis",
            ),
            ("full", b"-ERR max number of clients reached\r\n".into(), Then::Reset, "protocol_full", "ERR max number"),
            (
                "full cluster",
                b"-ERR max number of clients + cluster connections reached\r\n".into(),
                Then::Close,
                "protocol_full",
                "",
            ),
            ("cut by a reset", b"-ERR max number of clients rea".into(), Then::Reset, "protocol_full", ""),
            ("protected", denied.into_bytes(), Then::Close, "protocol_rejected", "DENIED Running in protected"),
            (
                "master down",
                b"-MASTERDOWN Link with MASTER is down\r\n".into(),
                Then::Silence,
                "protocol_rejected",
                "MASTERDOWN Link",
            ),
            ("busy", b"-BUSY Redis is busy running a script.\r\n".into(), Then::Silence, "protocol_rejected", "BUSY"),
            (
                "no disk",
                b"-MISCONF Errors writing to the AOF\r\n".into(),
                Then::Silence,
                "protocol_rejected",
                "MISCONF",
            ),
            ("read only", b"-READONLY You can't write\r\n".into(), Then::Silence, "protocol_rejected", "READONLY"),
            ("no memory", b"-OOM command not allowed\r\n".into(), Then::Silence, "protocol_rejected", "OOM"),
            ("no cluster", b"-CLUSTERDOWN The cluster is down\r\n".into(), Then::Silence, "protocol_rejected", ""),
            ("elsewhere", b"-MOVED 1 192.0.2.1:6379\r\n".into(), Then::Silence, "protocol_rejected", "MOVED"),
            ("forger", b"-ERR a\x1b[31m\xff\r\n".into(), Then::Silence, "protocol_rejected", "ERR a\\u{1b}[31m"),
            (
                "push first",
                b">3\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n:1\r\n+PONG\r\n".into(),
                Then::Silence,
                "accepting",
                "",
            ),
            (
                "pushes of every kind",
                b">1\r\n%1\r\n+a\r\n#t\r\n>3\r\n_\r\n,1.5\r\n$-1\r\n>0\r\n-NOAUTH x\r\n".into(),
                Then::Silence,
                "auth_required",
                "",
            ),
            ("push, then an error", b">1\r\n+a\r\n-LOADING x\r\n".into(), Then::Silence, "protocol_loading", ""),
            ("push without end", b">3\r\n+a\r\n".into(), Then::Silence, "protocol_timeout", ""),
            ("push, then closed", b">3\r\n+a\r\n".into(), Then::Close, "protocol_closed", "in the middle"),
            (
                "nested a thousand times",
                b">1\r\n*1\r\n".iter().chain(b"*1\r\n".repeat(1000).iter()).copied().collect(),
                Then::Silence,
                "protocol_garbage",
                "",
            ),
            ("huge push", b">2147483647\r\n".into(), Then::Silence, "protocol_garbage", ""),
            ("wide push", b">900\r\n".into(), Then::Silence, "protocol_garbage", ""),
            ("negative push", b">-5\r\n".into(), Then::Silence, "protocol_garbage", ""),
            ("huge string in a push", b">1\r\n$2147483647\r\n".into(), Then::Silence, "protocol_garbage", ""),
            ("bulk string", b"$2147483647\r\n".into(), Then::Silence, "protocol_garbage", ""),
            ("array", b"*1\r\n*1\r\n".into(), Then::Silence, "protocol_garbage", ""),
            ("number", b":1\r\n".into(), Then::Silence, "protocol_garbage", ""),
            ("another word", b"+OK\r\n".into(), Then::Silence, "protocol_garbage", "looks like POP3"),
            ("no carriage return", b"+PONG\n".into(), Then::Silence, "protocol_garbage", "+PONG"),
            ("a minus, but no error", b"-----BEGIN\r\n".into(), Then::Silence, "protocol_garbage", ""),
            ("nothing but a minus", b"-\r\n".into(), Then::Silence, "protocol_garbage", ""),
            ("cut", b"+PO".into(), Then::Close, "protocol_closed", "in the middle of an answer: \"+PO\""),
            ("drips", b"+PO".into(), Then::Silence, "protocol_timeout", ""),
            ("close", vec![], Then::Close, "protocol_closed", "before an answer"),
            ("reset", vec![], Then::Reset, "protocol_closed", "reset"),
            ("silence", vec![], Then::Silence, "protocol_timeout", ""),
            ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".into(), Then::Close, "protocol_garbage", "looks like HTTP"),
            ("memcached", b"ERROR\r\n".into(), Then::Silence, "protocol_garbage", "looks like memcached"),
            ("TLS alert", vec![0x15, 3, 1, 0, 2, 2, 70], Then::Close, "protocol_garbage", "looks like TLS"),
        ]
    }

    #[test]
    fn every_answer_gets_its_verdict_however_it_is_cut() {
        for (name, answer, then, expected, cause) in rows() {
            let all = cuts(&answer);
            let step = 1 + all.len() / 400;
            for pieces in all.into_iter().step_by(step) {
                let verdict = run(ping(&mut Peer::new(pieces.clone(), then)));
                assert_eq!(slug(&verdict), expected, "{name} {pieces:?} {verdict:?}");
                let said = verdict.err().map(|failure| failure.cause).unwrap_or_default();
                assert!(said.contains(cause), "{name} {pieces:?} {said:?}");
            }
        }
    }

    #[test]
    fn a_server_that_speaks_first_may_only_refuse() {
        let rows = [
            (&b"-ERR max number of clients reached\r\n"[..], "protocol_full"),
            (b"-DENIED x\r\n", "protocol_rejected"),
            (b">1\r\n+a\r\n+PONG\r\n", "accepting"),
            (b"+PONG\r\n", "protocol_garbage"),
            (b"220 mx ESMTP\r\n", "protocol_garbage"),
            (b"SSH-2.0-x\r\n", "protocol_garbage"),
        ];
        for (answer, expected) in rows {
            for deaf in [false, true] {
                let mut peer = Peer::new([answer.to_vec()], Then::Close);
                (peer.early, peer.deaf) = (true, deaf);
                assert_eq!(slug(&run(ping(&mut peer))), expected, "{}", answer.escape_ascii());
            }
        }
    }

    #[test]
    fn what_was_said_before_a_reset_counts_although_the_request_failed() {
        let mut peer = Peer::new([b"-ERR max number of clients reached\r\n".to_vec()], Then::Reset);
        peer.deaf = true;
        assert_eq!(slug(&run(ping(&mut peer))), "protocol_full");
        let mut peer = Peer::new([], Then::Close);
        peer.deaf = true;
        let failure = run(ping(&mut peer)).expect_err("closed");
        assert_eq!((failure.reason, failure.cause.as_str()), (Reason::ProtocolClosed, "broken pipe before an answer"));
    }

    #[test]
    fn floods_end_within_bounds() {
        for flood in [&b"-"[..], b"-ERR ", b"+", b"+PONG", b">", b">1\r\n", b">1\r\n+a\r\n", b"$1\r\n", b"\0", b"A"] {
            let mut peer = Peer::new([flood.to_vec()], Then::Repeat);
            assert!(run(ping(&mut peer)).is_err(), "{}", flood.escape_ascii());
            assert!(peer.taken <= MAX_ANSWER, "{}", peer.taken);
        }
    }

    #[tokio::test]
    async fn a_held_connection_answers_again_and_again_through_a_pipe_that_holds_one_byte() {
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
            let mut verdicts = Vec::new();
            for _ in 0..4 {
                verdicts.push(ping(&mut ours).await.map(Detail::slug));
            }
            verdicts
        };
        let ((), verdicts) = tokio::join!(server, client);
        assert_eq!(verdicts, [Ok("accepting"), Ok("auth_required"), Ok("accepting"), Ok("accepting")]);
    }

    #[tokio::test]
    async fn an_old_pong_is_never_the_answer_to_a_new_ping() {
        let (mut ours, mut theirs) = duplex(1024);
        let answer = async {
            let mut request = [0; PING.len()];
            theirs.read_exact(&mut request).await.expect("a request");
            theirs.write_all(b"+PONG\r\n+PONG\r\n").await.expect("a pipe");
        };
        let (verdict, ()) = tokio::join!(ping(&mut ours), answer);
        assert_eq!(verdict, Ok(Detail::Accepting), "more than was asked for, at once: dropped");

        // Nobody answers now, and the surplus of before is not taken for an answer.
        let silent = tokio::time::timeout(std::time::Duration::from_millis(50), ping(&mut ours)).await;
        assert!(silent.is_err());

        let (mut ours, mut theirs) = duplex(1024);
        theirs.write_all(b"+PONG\r\n").await.expect("a pipe");
        assert_eq!(slug(&ping(&mut ours).await), "protocol_garbage", "more than was asked for, later: found out");
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
        fn nothing_a_peer_says_gets_more_than_a_verdict(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..10),
            start in proptest::sample::select(vec![&b""[..], b"+", b"-ERR", b">3\r\n", b">1\r\n$5\r\n", b">2\r\n%3\r\n"]),
            then in proptest::sample::select(vec![Then::Close, Then::Reset, Then::Silence, Then::Repeat]),
            early in any::<bool>(),
            deaf in any::<bool>(),
        ) {
            let mut peer = Peer::new(std::iter::once(start.to_vec()).chain(pieces), then);
            (peer.early, peer.deaf) = (early, deaf);
            if let Err(failure) = run(ping(&mut peer)) {
                prop_assert!(failure.cause.is_ascii() && failure.cause.len() <= 200);
            }
            prop_assert!(peer.taken <= MAX_ANSWER);
        }

        #[test]
        fn a_verdict_does_not_depend_on_the_cut(
            answer in "(>[0-9]{1,2}\r\n)?([+$:-][A-Z0-9 ]{0,6}\r\n){0,4}",
            cut in proptest::collection::vec(1usize..8, 0..20),
        ) {
            let whole = run(ping(&mut Peer::new([answer.clone().into_bytes()], Then::Close)));
            let mut rest = answer.as_bytes();
            let mut pieces = Vec::new();
            for count in cut {
                let (piece, behind) = rest.split_at(count.min(rest.len()));
                pieces.push(piece.to_vec());
                rest = behind;
            }
            pieces.push(rest.to_vec());
            prop_assert_eq!(slug(&run(ping(&mut Peer::new(pieces, Then::Close)))), slug(&whole));
        }
    }
}
