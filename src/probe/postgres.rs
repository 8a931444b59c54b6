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

/// Most messages until the server is ready. PostgreSQL 15 sends 16, and a notice or an extension may add some.
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
        [] => Err(answer.cut()),
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
    for text in ["user", user, "database", database, "application_name", "telltail"] {
        body.extend_from_slice(text.split('\0').next().unwrap_or_default().as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(4 + body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), body.as_slice()].concat()
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
            Some(_) if answer.is_over() => return Err(answer.cut()),
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
    let code = field(body, b'C').unwrap_or_else(|| "no code".to_owned());
    let message = field(body, b'M').unwrap_or_default();
    let reason = match code.as_str() {
        // Starting and shutting down share the code; the text may be in the server's language, then it counts as starting.
        "57P03" if message.contains("shutting down") => Reason::ProtocolShuttingDown,
        "57P03" => Reason::ProtocolStarting,
        "57P01" | "57P02" | "57P05" => Reason::ProtocolShuttingDown,
        "53300" => Reason::ProtocolFull,
        // PgBouncer 1.18 has this code for everything.
        "08P01" if message.starts_with("no more connections allowed") => Reason::ProtocolFull,
        "08P01" if message.starts_with("no such user") || message.ends_with("authentication failed") => {
            return Ok(Detail::AuthRejected);
        }
        "08P01" if message.starts_with("no such database") => return Ok(Detail::NoDatabase),
        "3D000" => return Ok(Detail::NoDatabase),
        code if code.len() == 5 && code.starts_with("28") => return Ok(Detail::AuthRejected),
        _ => Reason::ProtocolRejected,
    };
    Err(Failure::new(reason, format_args!("{code}: {message}")))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::probe::wire::script::{Peer, Then, cuts, run, slug};

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend_from_slice(&u32::try_from(4 + body.len()).expect("a short body").to_be_bytes());
        message.extend_from_slice(body);
        message
    }

    fn error(code: &str, text: &str) -> Vec<u8> {
        message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{text}\0Fpostmaster.c\0L2394\0RProcess\0\0").as_bytes())
    }

    fn auth(kind: u32, data: &[u8]) -> Vec<u8> {
        message(b'R', &[&kind.to_be_bytes(), data].concat())
    }

    /// What PostgreSQL 15 sends to a user it trusts.
    fn welcome() -> Vec<u8> {
        let mut welcome = auth(0, b"");
        for name in ["application_name", "client_encoding", "DateStyle", "in_hot_standby", "server_version"] {
            welcome.extend(message(b'S', format!("{name}\0x\0").as_bytes()));
        }
        welcome.extend(message(b'K', &[0, 0, 1, 2, 3, 4, 5, 6]));
        welcome.extend(message(b'Z', b"I"));
        welcome
    }

    fn ask_with(pieces: Vec<Vec<u8>>, then: Then) -> Result<Detail, Failure> {
        run(speak(&mut Peer::new(pieces, then), None, None))
    }

    fn log_in_with(pieces: Vec<Vec<u8>>, then: Then) -> Result<Detail, Failure> {
        run(speak(&mut Peer::new(pieces, then), Some("app"), None))
    }

    fn both(a: Vec<u8>, b: Vec<u8>) -> Vec<u8> {
        [a, b].concat()
    }

    #[test]
    fn every_answer_to_the_question_gets_its_verdict_however_it_is_cut() {
        let rows: Vec<(&str, Vec<u8>, Then, &str, &str)> = vec![
            ("no GSSAPI", b"N".into(), Then::Silence, "answering", ""),
            ("GSSAPI", b"G".into(), Then::Silence, "answering", ""),
            ("closed behind it", b"N".into(), Then::Close, "answering", ""),
            ("reset behind it", b"N".into(), Then::Reset, "answering", ""),
            ("too old", error("0A000", "unsupported frontend protocol 1234.5680"), Then::Close, "answering", ""),
            ("full", error("53300", "sorry, too many clients already"), Then::Close, "protocol_full", "53300: sorry"),
            (
                "starting",
                error("57P03", "the database system is starting up"),
                Then::Reset,
                "protocol_starting",
                "57P03",
            ),
            ("other error", error("08P01", "bad packet"), Then::Close, "protocol_rejected", "08P01: bad packet"),
            ("close", vec![], Then::Close, "protocol_closed", "connection closed before an answer"),
            ("reset", vec![], Then::Reset, "protocol_closed", "reset"),
            ("silence", vec![], Then::Silence, "protocol_timeout", ""),
            ("cut", b"E\0\0\0\x20SFATAL".into(), Then::Close, "protocol_closed", "in the middle"),
            ("cut and reset", b"E\0\0\0\x20SFATAL".into(), Then::Reset, "protocol_closed", "reset"),
            ("drips", b"E\0\0\0\x20SFATAL".into(), Then::Silence, "protocol_timeout", ""),
            (
                "no process",
                b"Ecould not fork new process for connection: Cannot allocate memory\n\0".into(),
                Then::Close,
                "protocol_rejected",
                "could not fork",
            ),
            ("memcached", b"ERROR\r\n".into(), Then::Silence, "protocol_garbage", "looks like memcached"),
            ("TLS wanted", b"S".into(), Then::Silence, "protocol_garbage", "begins with \"S\""),
            ("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n".into(), Then::Silence, "protocol_garbage", "looks like SSH"),
            ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".into(), Then::Close, "protocol_garbage", "looks like HTTP"),
            ("TLS alert", vec![0x15, 3, 3, 0, 2, 2, 10], Then::Close, "protocol_garbage", "looks like TLS"),
            ("SMTP", b"220 mx ESMTP\r\n".into(), Then::Silence, "protocol_garbage", "looks like SMTP"),
            ("MySQL", b"\x4a\0\0\0\x0a8.0.36\0".into(), Then::Silence, "protocol_garbage", "looks like MySQL"),
            ("Valkey", b"-ERR unknown command\r\n".into(), Then::Silence, "protocol_garbage", "looks like Valkey"),
            ("forger", b"\n\x1b[31mlevel=ERROR".into(), Then::Silence, "protocol_garbage", "\\n\\x1b[31mlevel"),
        ];
        for (name, answer, then, expected, cause) in rows {
            for pieces in cuts(&answer) {
                let verdict = ask_with(pieces.clone(), then);
                assert_eq!(slug(&verdict), expected, "{name} {pieces:?} {verdict:?}");
                let said = verdict.err().map(|failure| failure.cause).unwrap_or_default();
                assert!(said.contains(cause), "{name} {pieces:?} {said:?}");
            }
        }
    }

    #[test]
    fn bytes_glued_behind_the_one_byte_are_garbage() {
        for answer in [b"NN".as_slice(), b"No\r\n", b"G\0", b"N\x16\x03\x03"] {
            let verdict = ask_with(vec![answer.to_vec()], Then::Silence);
            assert_eq!(slug(&verdict), "protocol_garbage", "{answer:?}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one row per fault")]
    fn every_answer_to_a_login_gets_its_verdict_however_it_is_cut() {
        let notice = message(b'N', b"SNOTICE\0C00000\0Mhello\0\0");
        let long = error("XX000", &"x".repeat(MAX_LENGTH));
        let rows: Vec<(&str, Vec<u8>, Then, &str, &str)> = vec![
            ("trust", welcome(), Then::Silence, "accepting", ""),
            ("SCRAM", auth(10, b"SCRAM-SHA-256\0\0"), Then::Silence, "auth_required", ""),
            ("md5", auth(5, b"salt"), Then::Silence, "auth_required", ""),
            ("clear text", auth(3, b""), Then::Silence, "auth_required", ""),
            ("GSS", auth(7, b""), Then::Silence, "auth_required", ""),
            ("SSPI", auth(9, b""), Then::Silence, "auth_required", ""),
            ("a way of the future", auth(77, b"?"), Then::Silence, "auth_required", ""),
            (
                "negotiation first",
                both(message(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]), auth(3, b"")),
                Then::Silence,
                "auth_required",
                "",
            ),
            ("notice first", both(notice.clone(), auth(3, b"")), Then::Silence, "auth_required", ""),
            ("parameter first", both(message(b'S', b"a\0b\0"), auth(3, b"")), Then::Silence, "auth_required", ""),
            (
                "starting",
                error("57P03", "the database system is starting up"),
                Then::Close,
                "protocol_starting",
                "57P03: the database system is starting up",
            ),
            ("recovering", error("57P03", "not accepting connections"), Then::Close, "protocol_starting", ""),
            (
                "shutting down",
                error("57P03", "the database system is shutting down"),
                Then::Close,
                "protocol_shutting_down",
                "57P03",
            ),
            ("shut down", error("57P01", "terminating connection"), Then::Reset, "protocol_shutting_down", "57P01"),
            ("crashed", error("57P02", "terminating connection"), Then::Close, "protocol_shutting_down", ""),
            ("full", error("53300", "sorry, too many clients already"), Then::Reset, "protocol_full", "53300: sorry"),
            (
                "full for us",
                both(auth(0, b""), error("53300", "remaining connection slots")),
                Then::Close,
                "protocol_full",
                "remaining",
            ),
            ("PgBouncer, user", error("08P01", "\"trust\" authentication failed"), Then::Close, "auth_rejected", ""),
            ("PgBouncer, no user", error("08P01", "no such user: app"), Then::Close, "auth_rejected", ""),
            ("PgBouncer, database", error("08P01", "no such database: app"), Then::Close, "no_database", ""),
            (
                "PgBouncer full",
                error("08P01", "no more connections allowed (max_client_conn)"),
                Then::Close,
                "protocol_full",
                "",
            ),
            ("no pg_hba line", error("28000", "no pg_hba.conf entry"), Then::Close, "auth_rejected", ""),
            ("wrong password", error("28P01", "password authentication failed"), Then::Close, "auth_rejected", ""),
            (
                "no database",
                both(auth(0, b""), error("3D000", "database \"x\" does not exist")),
                Then::Close,
                "no_database",
                "",
            ),
            (
                "no role",
                both(auth(0, b""), error("28000", "role \"x\" does not exist")),
                Then::Close,
                "auth_rejected",
                "",
            ),
            (
                "another error",
                error("XX000", "could not\nlevel=INFO \u{1b}[31m"),
                Then::Close,
                "protocol_rejected",
                r"XX000: could not\nlevel=INFO \u{1b}[31m",
            ),
            ("no code", message(b'E', b"MAha\0\0"), Then::Close, "protocol_rejected", "no code: Aha"),
            ("no NUL", message(b'E', b"C53300\0Mfull"), Then::Close, "protocol_full", "53300: full"),
            ("not UTF-8", message(b'E', b"CXX000\0M\xff\xfe\0\0"), Then::Close, "protocol_rejected", "XX000"),
            ("empty error", message(b'E', b""), Then::Close, "protocol_rejected", "no code"),
            ("too long an error", long, Then::Close, "protocol_garbage", ""),
            ("no process", b"Ecould not fork\n\0".into(), Then::Close, "protocol_rejected", "could not fork"),
            (
                "unknown kinds once trusted",
                both(auth(0, b""), both(message(b'!', b"new"), message(b'Z', b"I"))),
                Then::Close,
                "accepting",
                "",
            ),
            ("unknown kind", message(b'!', b"new"), Then::Silence, "protocol_garbage", ""),
            ("length 0", b"R\0\0\0\0".into(), Then::Silence, "protocol_garbage", "looks like PostgreSQL"),
            ("length 3", b"R\0\0\0\x03".into(), Then::Silence, "protocol_garbage", ""),
            ("length 2^31-1", b"R\x7f\xff\xff\xff".into(), Then::Silence, "protocol_garbage", ""),
            ("length -1", b"R\xff\xff\xff\xff".into(), Then::Silence, "protocol_garbage", ""),
            ("R without its number", message(b'R', b"\0"), Then::Silence, "protocol_garbage", ""),
            ("R 0 twice", both(auth(0, b""), auth(0, b"")), Then::Silence, "protocol_garbage", ""),
            ("ready before trust", message(b'Z', b"I"), Then::Silence, "protocol_garbage", ""),
            ("trust, then nothing", auth(0, b""), Then::Silence, "protocol_timeout", ""),
            ("trust, then closed", auth(0, b""), Then::Close, "protocol_closed", ""),
            ("close", vec![], Then::Close, "protocol_closed", "before an answer"),
            ("reset", vec![], Then::Reset, "protocol_closed", "reset"),
            ("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n".into(), Then::Silence, "protocol_garbage", "looks like SSH"),
            ("HTTP", b"HTTP/1.1 400 Bad Request\r\n".into(), Then::Close, "protocol_garbage", "looks like HTTP"),
            ("TLS alert", vec![0x15, 3, 3, 0, 2, 2, 10], Then::Close, "protocol_garbage", "looks like TLS"),
        ];
        for (name, answer, then, expected, cause) in rows {
            let all = cuts(&answer);
            let step = 1 + all.len() / 400;
            for pieces in all.into_iter().step_by(step) {
                let verdict = log_in_with(pieces.clone(), then);
                assert_eq!(slug(&verdict), expected, "{name} {pieces:?} {verdict:?}");
                let said = verdict.err().map(|failure| failure.cause).unwrap_or_default();
                assert!(said.contains(cause), "{name} {pieces:?} {said:?}");
            }
        }
    }

    #[test]
    fn a_login_says_who_asks_and_nothing_that_a_name_could_smuggle_in() {
        let mut peer = Peer::new([auth(3, b"")], Then::Silence);
        assert_eq!(run(speak(&mut peer, Some("app\0options\0-c x=y"), Some("db"))), Ok(Detail::AuthRequired));
        let expected = b"\0\0\0\x38\0\x03\0\0user\0app\0database\0db\0application_name\0telltail\0\0";
        assert_eq!(peer.heard.escape_ascii().to_string(), expected.escape_ascii().to_string());

        let mut peer = Peer::new([welcome()], Then::Silence);
        assert_eq!(run(speak(&mut peer, Some("app"), None)), Ok(Detail::Accepting));
        let heard = peer.heard.escape_ascii().to_string();
        assert!(heard.contains("user\\x00app\\x00database\\x00app\\x00"), "{heard}");
        assert!(heard.ends_with("X\\x00\\x00\\x00\\x04"), "{heard}");
    }

    #[test]
    fn what_was_said_before_a_reset_counts_although_the_request_failed() {
        for user in [None, Some("app")] {
            let mut peer = Peer::new([error("53300", "sorry, too many clients already")], Then::Reset);
            peer.deaf = true;
            assert_eq!(slug(&run(speak(&mut peer, user, None))), "protocol_full");
        }
    }

    #[test]
    fn floods_end_within_bounds() {
        let notice = message(b'N', b"SNOTICE\0C00000\0Mhello\0\0");
        for flood in [notice, message(b'S', &[b'a'; 4000]), vec![b'N'; 70_000], vec![0; 70_000], b"E".to_vec()] {
            for user in [None, Some("app")] {
                let mut peer = Peer::new([flood.clone()], Then::Repeat);
                assert!(run(speak(&mut peer, user, None)).is_err());
                assert!(peer.taken <= (1 + MAX_MESSAGES) * (1 + MAX_LENGTH), "{}", peer.taken);
            }
        }
        let mut peer = Peer::new([auth(0, b""), message(b'S', &[b'a'; 4000])], Then::Repeat);
        assert_eq!(slug(&run(speak(&mut peer, Some("app"), None))), "protocol_garbage");
        assert!(peer.taken <= (1 + MAX_MESSAGES) * (1 + MAX_LENGTH), "{}", peer.taken);
    }

    #[tokio::test]
    async fn it_works_through_a_pipe_that_holds_one_byte() {
        let (mut ours, mut theirs) = duplex(1);
        let server = async {
            let mut length = [0; 4];
            theirs.read_exact(&mut length).await.expect("a length");
            let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
            theirs.read_exact(&mut rest).await.expect("a startup message");
            theirs.write_all(&welcome()).await.expect("read to the end");
            let mut farewell = Vec::new();
            theirs.read_to_end(&mut farewell).await.expect("a farewell");
            farewell
        };
        let (verdict, farewell) = tokio::join!(speak(&mut ours, Some("app"), None), server);
        assert_eq!((verdict, farewell.as_slice()), (Ok(Detail::Accepting), TERMINATE));
    }

    proptest! {
        #[test]
        fn nothing_a_peer_says_gets_more_than_a_verdict(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..20),
            start in proptest::sample::select(vec![&b""[..], b"N", b"E\0\0", b"R\0\0\0\x08\0\0\0\0", b"E\0\0\x01\0C53300\0"]),
            then in proptest::sample::select(vec![Then::Close, Then::Reset, Then::Silence, Then::Repeat]),
            user in proptest::option::of(".{0,20}"),
        ) {
            let pieces = std::iter::once(start.to_vec()).chain(pieces);
            let mut peer = Peer::new(pieces, then);
            if let Err(failure) = run(speak(&mut peer, user.as_deref(), None)) {
                prop_assert!(failure.cause.is_ascii() && failure.cause.len() <= 200);
            }
            prop_assert!(peer.taken <= (1 + MAX_MESSAGES) * (1 + MAX_LENGTH));
        }
    }
}
