//! PostgreSQL, as far as a client without credentials gets.
//!
//! Without a user the probe sends GSSENCRequest: 8 bytes, one byte in return, and no line in the server's log, with and
//! without TLS. A server answers it even when it is full or starting, so the reply proves that PostgreSQL (or a pooler)
//! runs there, and no more. Servers before 12 do not know the request; they reply with an error and a line in their log.
//!
//! With a user the probe begins a login. It distinguishes starting, full and shutting down, and ends where a password is
//! requested. A server that trusts the user is read until it is ready for a query: only then the database exists and a slot
//! is free, and unread data would reach the server as a reset, with a line in its log.

use tokio::io::AsyncWriteExt;

use super::Detail;
use super::connect::Stream;
use super::reply_buffer::ReplyBuffer;
use crate::reason::{Failure, Reason};

/// GSSENCRequest: length 8, code 1234.5680.
const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// Terminate: ends a session without a line in the server's log.
const TERMINATE: &[u8] = &[b'X', 0, 0, 0, 4];

/// Longest message, its length included, its type not.
const MAX_LENGTH: usize = 4096;

/// Most messages until the server is ready. PostgreSQL 15 sends 16; notices and extensions may add some.
const MAX_MESSAGES: usize = 32;

/// Sends GSSENCRequest, or with a user begins a login, and judges the reply. The deadline is the caller's; the connection
/// cannot be used again.
pub async fn speak<S: Stream>(stream: &mut S, user: Option<&str>, database: Option<&str>) -> Result<Detail, Failure> {
    match user {
        None => request_gss(stream).await,
        Some(user) => log_in(stream, user, database.unwrap_or(user)).await,
    }
}

async fn request_gss<S: Stream>(stream: &mut S) -> Result<Detail, Failure> {
    let mut reply = ReplyBuffer::new(1 + MAX_LENGTH);
    reply.send(stream, GSS_REQUEST).await;
    if reply.bytes().is_empty() {
        reply.read_more(stream).await;
    }
    match reply.bytes() {
        [] => Err(reply.incomplete()),
        [b'N' | b'G'] => Ok(Detail::Answering),
        [b'E', ..] => {
            let total = read_message(&mut reply, stream, b"E").await?;
            judge_gss_error(body(&reply, total))
        }
        // The valid reply is one byte alone.
        _ => Err(unexpected(&mut reply, stream).await),
    }
}

async fn log_in<S: Stream>(stream: &mut S, user: &str, database: &str) -> Result<Detail, Failure> {
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

/// Reads the whole first message, which must be of one of these kinds unless the list is empty; its length in bytes.
async fn read_message<S: Stream>(reply: &mut ReplyBuffer, stream: &mut S, kinds: &[u8]) -> Result<usize, Failure> {
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
fn body(reply: &ReplyBuffer, total: usize) -> &[u8] {
    reply.bytes().get(5..total).unwrap_or_default()
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

/// The meaning of an error after GSSENCRequest. That the request is not supported is success: only PostgreSQL says so in an
/// ErrorResponse.
fn judge_gss_error(body: &[u8]) -> Result<Detail, Failure> {
    match field(body, b'C').as_deref() {
        // feature_not_supported: PostgreSQL before 12.
        Some("0A000") => Ok(Detail::Answering),
        _ => judge_error(body),
    }
}

/// The meaning of an ErrorResponse.
fn judge_error(body: &[u8]) -> Result<Detail, Failure> {
    let code = field(body, b'C').unwrap_or_else(|| "no code".to_owned());
    let message = field(body, b'M').unwrap_or_default();
    let reason = match code.as_str() {
        // Starting and shutting down share the code. A message in another language counts as starting.
        "57P03" if message.contains("shutting down") => Reason::ProtocolShuttingDown,
        "57P03" => Reason::ProtocolStarting,
        "57P01" | "57P02" | "57P05" => Reason::ProtocolShuttingDown,
        // The limit of a role or of a database, not of the server. The routine is in no language.
        "53300"
            if message.starts_with("too many connections for")
                || matches!(field(body, b'R').as_deref(), Some("InitializeSessionUserId" | "CheckMyDatabase")) =>
        {
            return Ok(Detail::AuthRejected);
        }
        "53300" => Reason::ProtocolFull,
        // PgBouncer 1.18 uses this code for every error.
        "08P01" if message.starts_with("no more connections allowed") => Reason::ProtocolFull,
        "08P01"
            if message == "SSL required"
                || message.starts_with("no such user")
                || message.ends_with("authentication failed") =>
        {
            return Ok(Detail::AuthRejected);
        }
        "08P01" if message.starts_with("no such database") => return Ok(Detail::NoDatabase),
        "3D000" => return Ok(Detail::NoDatabase),
        // PgCat: the pair of database and user has no pool.
        "58000" if message.starts_with("No pool configured") => return Ok(Detail::NoDatabase),
        // The user lacks CONNECT on the database.
        "42501" => return Ok(Detail::AuthRejected),
        code if code.len() == 5 && code.starts_with("28") => return Ok(Detail::AuthRejected),
        _ => Reason::ProtocolRejected,
    };
    Err(Failure::new(reason, format_args!("{code}: {message}")))
}

/// One field of an ErrorResponse: type byte, text, NUL. The last NUL may be missing.
fn field(body: &[u8], kind: u8) -> Option<String> {
    let text = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[kind]))?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The failure of a server that sends no message of the protocol.
async fn unexpected<S: Stream>(reply: &mut ReplyBuffer, stream: &mut S) -> Failure {
    let failure = reply.unexpected(stream).await;
    match reply.bytes() {
        // Where PostgreSQL cannot fork a backend it sends an error of protocol 2: a text without length.
        [b'E', text @ .., b'\n', 0] => Failure::new(Reason::ProtocolRejected, String::from_utf8_lossy(text)),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::probe::scripted_peer::{AfterScript, ScriptedPeer, run, slug, splits};

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

    fn request_gss_with(chunks: Vec<Vec<u8>>, then: AfterScript) -> Result<Detail, Failure> {
        run(speak(&mut ScriptedPeer::new(chunks, then), None, None))
    }

    fn log_in_with(chunks: Vec<Vec<u8>>, then: AfterScript) -> Result<Detail, Failure> {
        run(speak(&mut ScriptedPeer::new(chunks, then), Some("app"), None))
    }

    fn both(a: Vec<u8>, b: Vec<u8>) -> Vec<u8> {
        [a, b].concat()
    }

    #[test]
    fn every_reply_to_gssencrequest_has_its_outcome_in_any_chunks() {
        let rows: Vec<(&str, Vec<u8>, AfterScript, &str, &str)> = vec![
            ("no GSSAPI", b"N".into(), AfterScript::Silence, "answering", ""),
            ("GSSAPI", b"G".into(), AfterScript::Silence, "answering", ""),
            ("closed behind it", b"N".into(), AfterScript::Close, "answering", ""),
            ("reset behind it", b"N".into(), AfterScript::Reset, "answering", ""),
            ("too old", error("0A000", "unsupported frontend protocol 1234.5680"), AfterScript::Close, "answering", ""),
            (
                "full",
                error("53300", "sorry, too many clients already"),
                AfterScript::Close,
                "protocol_full",
                "53300: sorry",
            ),
            (
                "starting",
                error("57P03", "the database system is starting up"),
                AfterScript::Reset,
                "protocol_starting",
                "57P03",
            ),
            ("other error", error("08P01", "bad packet"), AfterScript::Close, "protocol_rejected", "08P01: bad packet"),
            ("close", vec![], AfterScript::Close, "protocol_closed", "connection closed before an answer"),
            ("reset", vec![], AfterScript::Reset, "protocol_closed", "reset"),
            ("silence", vec![], AfterScript::Silence, "protocol_timeout", ""),
            ("cut", b"E\0\0\0\x20SFATAL".into(), AfterScript::Close, "protocol_closed", "in the middle"),
            ("cut and reset", b"E\0\0\0\x20SFATAL".into(), AfterScript::Reset, "protocol_closed", "reset"),
            ("drips", b"E\0\0\0\x20SFATAL".into(), AfterScript::Silence, "protocol_timeout", ""),
            (
                "no process",
                b"Ecould not fork new process for connection: Cannot allocate memory\n\0".into(),
                AfterScript::Close,
                "protocol_rejected",
                "could not fork",
            ),
            ("memcached", b"ERROR\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like memcached"),
            ("TLS wanted", b"S".into(), AfterScript::Silence, "protocol_garbage", "begins with \"S\""),
            ("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like SSH"),
            (
                "HTTP",
                b"HTTP/1.1 400 Bad Request\r\n\r\n".into(),
                AfterScript::Close,
                "protocol_garbage",
                "looks like HTTP",
            ),
            ("TLS alert", vec![0x15, 3, 3, 0, 2, 2, 10], AfterScript::Close, "protocol_tls", "looks like TLS"),
            ("SMTP", b"220 mx ESMTP\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like SMTP"),
            ("MySQL", b"\x4a\0\0\0\x0a8.0.36\0".into(), AfterScript::Silence, "protocol_garbage", "looks like MySQL"),
            (
                "Valkey",
                b"-ERR unknown command\r\n".into(),
                AfterScript::Silence,
                "protocol_garbage",
                "looks like Valkey",
            ),
            ("forger", b"\n\x1b[31mlevel=ERROR".into(), AfterScript::Silence, "protocol_garbage", "\\n\\x1b[31mlevel"),
        ];
        for (name, answer, then, expected, cause) in rows {
            for chunks in splits(&answer) {
                let outcome = request_gss_with(chunks.clone(), then);
                assert_eq!(slug(&outcome), expected, "{name} {chunks:?} {outcome:?}");
                let cause_text = outcome.err().map(|failure| failure.cause).unwrap_or_default();
                assert!(cause_text.contains(cause), "{name} {chunks:?} {cause_text:?}");
            }
        }
    }

    #[test]
    fn more_than_one_byte_is_unexpected() {
        for answer in [b"NN".as_slice(), b"No\r\n", b"G\0", b"N\x16\x03\x03"] {
            let outcome = request_gss_with(vec![answer.to_vec()], AfterScript::Silence);
            assert_eq!(slug(&outcome), "protocol_garbage", "{answer:?}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one row per fault")]
    fn every_reply_to_a_login_has_its_outcome_in_any_chunks() {
        let notice = message(b'N', b"SNOTICE\0C00000\0Mhello\0\0");
        let long = error("XX000", &"x".repeat(MAX_LENGTH));
        let rows: Vec<(&str, Vec<u8>, AfterScript, &str, &str)> = vec![
            ("trust", welcome(), AfterScript::Silence, "accepting", ""),
            ("SCRAM", auth(10, b"SCRAM-SHA-256\0\0"), AfterScript::Silence, "auth_required", ""),
            ("md5", auth(5, b"salt"), AfterScript::Silence, "auth_required", ""),
            ("clear text", auth(3, b""), AfterScript::Silence, "auth_required", ""),
            ("GSS", auth(7, b""), AfterScript::Silence, "auth_required", ""),
            ("SSPI", auth(9, b""), AfterScript::Silence, "auth_required", ""),
            ("a way of the future", auth(77, b"?"), AfterScript::Silence, "auth_required", ""),
            (
                "negotiation first",
                both(message(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]), auth(3, b"")),
                AfterScript::Silence,
                "auth_required",
                "",
            ),
            ("notice first", both(notice.clone(), auth(3, b"")), AfterScript::Silence, "auth_required", ""),
            (
                "parameter first",
                both(message(b'S', b"a\0b\0"), auth(3, b"")),
                AfterScript::Silence,
                "auth_required",
                "",
            ),
            (
                "starting",
                error("57P03", "the database system is starting up"),
                AfterScript::Close,
                "protocol_starting",
                "57P03: the database system is starting up",
            ),
            ("recovering", error("57P03", "not accepting connections"), AfterScript::Close, "protocol_starting", ""),
            (
                "shutting down",
                error("57P03", "the database system is shutting down"),
                AfterScript::Close,
                "protocol_shutting_down",
                "57P03",
            ),
            (
                "shut down",
                error("57P01", "terminating connection"),
                AfterScript::Reset,
                "protocol_shutting_down",
                "57P01",
            ),
            ("crashed", error("57P02", "terminating connection"), AfterScript::Close, "protocol_shutting_down", ""),
            (
                "full",
                error("53300", "sorry, too many clients already"),
                AfterScript::Reset,
                "protocol_full",
                "53300: sorry",
            ),
            (
                "full for us",
                both(auth(0, b""), error("53300", "remaining connection slots")),
                AfterScript::Close,
                "protocol_full",
                "remaining",
            ),
            (
                "PgBouncer, user",
                error("08P01", "\"trust\" authentication failed"),
                AfterScript::Close,
                "auth_rejected",
                "",
            ),
            ("PgBouncer, no user", error("08P01", "no such user: app"), AfterScript::Close, "auth_rejected", ""),
            ("PgBouncer, database", error("08P01", "no such database: app"), AfterScript::Close, "no_database", ""),
            (
                "PgBouncer full",
                error("08P01", "no more connections allowed (max_client_conn)"),
                AfterScript::Close,
                "protocol_full",
                "",
            ),
            ("PgBouncer, TLS only", error("08P01", "SSL required"), AfterScript::Close, "auth_rejected", ""),
            (
                "PgCat, no pool",
                error("58000", "No pool configured for database: \"x\", user: \"y\""),
                AfterScript::Close,
                "no_database",
                "",
            ),
            ("broken", error("58000", "could not load library"), AfterScript::Close, "protocol_rejected", "58000"),
            (
                "no CONNECT",
                both(auth(0, b""), error("42501", "permission denied for database \"x\"")),
                AfterScript::Close,
                "auth_rejected",
                "",
            ),
            (
                "the role's limit",
                both(auth(0, b""), error("53300", "too many connections for role \"x\"")),
                AfterScript::Close,
                "auth_rejected",
                "",
            ),
            (
                "the role's limit in another language",
                message(b'E', b"C53300\0Mzu viele\0RInitializeSessionUserId\0\0"),
                AfterScript::Close,
                "auth_rejected",
                "",
            ),
            (
                "the database's limit",
                both(auth(0, b""), error("53300", "too many connections for database \"x\"")),
                AfterScript::Close,
                "auth_rejected",
                "",
            ),
            ("no pg_hba line", error("28000", "no pg_hba.conf entry"), AfterScript::Close, "auth_rejected", ""),
            (
                "wrong password",
                error("28P01", "password authentication failed"),
                AfterScript::Close,
                "auth_rejected",
                "",
            ),
            (
                "no database",
                both(auth(0, b""), error("3D000", "database \"x\" does not exist")),
                AfterScript::Close,
                "no_database",
                "",
            ),
            (
                "no role",
                both(auth(0, b""), error("28000", "role \"x\" does not exist")),
                AfterScript::Close,
                "auth_rejected",
                "",
            ),
            (
                "another error",
                error("XX000", "could not\nlevel=INFO \u{1b}[31m"),
                AfterScript::Close,
                "protocol_rejected",
                r"XX000: could not\nlevel=INFO \u{1b}[31m",
            ),
            ("no code", message(b'E', b"MAha\0\0"), AfterScript::Close, "protocol_rejected", "no code: Aha"),
            ("no NUL", message(b'E', b"C53300\0Mfull"), AfterScript::Close, "protocol_full", "53300: full"),
            ("not UTF-8", message(b'E', b"CXX000\0M\xff\xfe\0\0"), AfterScript::Close, "protocol_rejected", "XX000"),
            ("empty error", message(b'E', b""), AfterScript::Close, "protocol_rejected", "no code"),
            ("too long an error", long, AfterScript::Close, "protocol_garbage", ""),
            ("no process", b"Ecould not fork\n\0".into(), AfterScript::Close, "protocol_rejected", "could not fork"),
            (
                "unknown kinds once trusted",
                both(auth(0, b""), both(message(b'!', b"new"), message(b'Z', b"I"))),
                AfterScript::Close,
                "accepting",
                "",
            ),
            ("unknown kind", message(b'!', b"new"), AfterScript::Silence, "protocol_garbage", ""),
            ("length 0", b"R\0\0\0\0".into(), AfterScript::Silence, "protocol_garbage", "looks like PostgreSQL"),
            ("length 3", b"R\0\0\0\x03".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("length 2^31-1", b"R\x7f\xff\xff\xff".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("length -1", b"R\xff\xff\xff\xff".into(), AfterScript::Silence, "protocol_garbage", ""),
            ("R without its number", message(b'R', b"\0"), AfterScript::Silence, "protocol_garbage", ""),
            ("R 0 twice", both(auth(0, b""), auth(0, b"")), AfterScript::Silence, "protocol_garbage", ""),
            ("ready before trust", message(b'Z', b"I"), AfterScript::Silence, "protocol_garbage", ""),
            ("trust, then nothing", auth(0, b""), AfterScript::Silence, "protocol_timeout", ""),
            ("trust, then closed", auth(0, b""), AfterScript::Close, "protocol_closed", ""),
            ("close", vec![], AfterScript::Close, "protocol_closed", "before an answer"),
            ("reset", vec![], AfterScript::Reset, "protocol_closed", "reset"),
            ("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like SSH"),
            ("HTTP", b"HTTP/1.1 400 Bad Request\r\n".into(), AfterScript::Close, "protocol_garbage", "looks like HTTP"),
            ("TLS alert", vec![0x15, 3, 3, 0, 2, 2, 10], AfterScript::Close, "protocol_tls", "looks like TLS"),
        ];
        for (name, answer, then, expected, cause) in rows {
            let all = splits(&answer);
            let step = 1 + all.len() / 400;
            for chunks in all.into_iter().step_by(step) {
                let outcome = log_in_with(chunks.clone(), then);
                assert_eq!(slug(&outcome), expected, "{name} {chunks:?} {outcome:?}");
                let cause_text = outcome.err().map(|failure| failure.cause).unwrap_or_default();
                assert!(cause_text.contains(cause), "{name} {chunks:?} {cause_text:?}");
            }
        }
    }

    #[test]
    fn a_name_cannot_add_parameters_to_the_startup_message() {
        let mut peer = ScriptedPeer::new([auth(3, b"")], AfterScript::Silence);
        assert_eq!(run(speak(&mut peer, Some("app\0options\0-c x=y"), Some("db"))), Ok(Detail::AuthRequired));
        let expected = b"\0\0\0\x38\0\x03\0\0user\0app\0database\0db\0application_name\0telltail\0\0";
        assert_eq!(peer.received.escape_ascii().to_string(), expected.escape_ascii().to_string());

        let mut peer = ScriptedPeer::new([welcome()], AfterScript::Silence);
        assert_eq!(run(speak(&mut peer, Some("app"), None)), Ok(Detail::Accepting));
        let heard = peer.received.escape_ascii().to_string();
        assert!(heard.contains("user\\x00app\\x00database\\x00app\\x00"), "{heard}");
        assert!(heard.ends_with("X\\x00\\x00\\x00\\x04"), "{heard}");
    }

    #[test]
    fn an_error_before_a_reset_is_read_although_the_request_failed() {
        for user in [None, Some("app")] {
            let mut peer = ScriptedPeer::new([error("53300", "sorry, too many clients already")], AfterScript::Reset);
            peer.writes_fail = true;
            assert_eq!(slug(&run(speak(&mut peer, user, None))), "protocol_full");
        }
    }

    #[test]
    fn floods_end_within_bounds() {
        let notice = message(b'N', b"SNOTICE\0C00000\0Mhello\0\0");
        for flood in [notice, message(b'S', &[b'a'; 4000]), vec![b'N'; 70_000], vec![0; 70_000], b"E".to_vec()] {
            for user in [None, Some("app")] {
                let mut peer = ScriptedPeer::new([flood.clone()], AfterScript::Repeat);
                assert!(run(speak(&mut peer, user, None)).is_err());
                assert!(peer.bytes_sent <= (1 + MAX_MESSAGES) * (1 + MAX_LENGTH), "{}", peer.bytes_sent);
            }
        }
        let mut peer = ScriptedPeer::new([auth(0, b""), message(b'S', &[b'a'; 4000])], AfterScript::Repeat);
        assert_eq!(slug(&run(speak(&mut peer, Some("app"), None))), "protocol_garbage");
        assert!(peer.bytes_sent <= (1 + MAX_MESSAGES) * (1 + MAX_LENGTH), "{}", peer.bytes_sent);
    }

    #[tokio::test]
    async fn a_login_works_through_a_pipe_of_one_byte() {
        let (mut ours, mut theirs) = duplex(1);
        let server = async {
            let mut length = [0; 4];
            theirs.read_exact(&mut length).await.expect("a length");
            let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
            theirs.read_exact(&mut rest).await.expect("a startup message");
            theirs.write_all(&welcome()).await.expect("read to the end");
            let mut terminate = Vec::new();
            theirs.read_to_end(&mut terminate).await.expect("a terminate");
            terminate
        };
        let (outcome, terminate) = tokio::join!(speak(&mut ours, Some("app"), None), server);
        assert_eq!((outcome, terminate.as_slice()), (Ok(Detail::Accepting), TERMINATE));
    }

    proptest! {
        #[test]
        fn no_reply_panics_or_is_read_without_bound(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..20),
            start in proptest::sample::select(vec![&b""[..], b"N", b"E\0\0", b"R\0\0\0\x08\0\0\0\0", b"E\0\0\x01\0C53300\0"]),
            then in proptest::sample::select(vec![AfterScript::Close, AfterScript::Reset, AfterScript::Silence, AfterScript::Repeat]),
            user in proptest::option::of(".{0,20}"),
        ) {
            let chunks = std::iter::once(start.to_vec()).chain(chunks);
            let mut peer = ScriptedPeer::new(chunks, then);
            if let Err(failure) = run(speak(&mut peer, user.as_deref(), None)) {
                prop_assert!(failure.cause.is_ascii() && failure.cause.len() <= 200);
            }
            prop_assert!(peer.bytes_sent <= (1 + MAX_MESSAGES) * (1 + MAX_LENGTH));
        }
    }
}
