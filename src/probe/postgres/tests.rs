//! Every reply that a server can give, in any chunks.

use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::Instant;

use super::login::{MAX_MESSAGES, TERMINATE, log_in};
use super::message::MAX_LENGTH;
use super::question::{Question, ask};
use crate::probe::connect::Stream;
use crate::probe::scripted_peer::{AfterScript, ScriptedPeer, run, slug, splits};
use crate::probe_result::Detail;
use crate::reason::Failure;

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

/// A login where there is a user, else GSSENCRequest.
async fn speak<S: Stream>(stream: &mut S, user: Option<&str>, database: Option<&str>) -> Result<Detail, Failure> {
    match user {
        None => {
            ask(stream, Question::GssEncryption).await?.confirm(stream, Instant::now() + Duration::from_secs(1)).await
        }
        Some(user) => log_in(stream, user, database.unwrap_or(user)).await,
    }
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
        // Its length is that letter.
        (
            "MySQL 5.7",
            [&b"N\0\0\0\x0a5.7.44-log\0"[..], &[7; 62]].concat(),
            AfterScript::Silence,
            "protocol_garbage",
            "looks like MySQL",
        ),
        (
            "MySQL 8.0",
            [&b"G\0\0\0\x0a8.0\0"[..], &[7; 62]].concat(),
            AfterScript::Silence,
            "protocol_garbage",
            "looks like MySQL",
        ),
        ("N and more", b"No\r\n".into(), AfterScript::Silence, "protocol_garbage", "\"No"),
        ("SSH", b"SSH-2.0-x\r\n".into(), AfterScript::Reset, "protocol_garbage", "looks like SSH"),
        ("memcached", b"ERROR\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like memcached"),
        ("Supavisor with TLS", b"S".into(), AfterScript::Silence, "tls_only", ""),
        ("S, closed", b"S".into(), AfterScript::Close, "tls_only", ""),
        ("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like SSH"),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".into(), AfterScript::Close, "protocol_garbage", "looks like HTTP"),
        ("TLS alert", vec![0x15, 3, 3, 0, 2, 2, 10], AfterScript::Close, "protocol_tls", "looks like TLS"),
        ("SMTP", b"220 mx ESMTP\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like SMTP"),
        ("MySQL", b"\x4a\0\0\0\x0a8.0.36\0".into(), AfterScript::Silence, "protocol_garbage", "looks like MySQL"),
        ("Valkey", b"-ERR unknown command\r\n".into(), AfterScript::Silence, "protocol_garbage", "looks like Valkey"),
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
fn more_than_one_byte_is_unexpected_in_any_chunks() {
    for answer in [b"NN".as_slice(), b"No\r\n", b"G\0", b"N\x16\x03\x03"] {
        for chunks in splits(answer) {
            let outcome = request_gss_with(chunks.clone(), AfterScript::Silence);
            assert_eq!(slug(&outcome), "protocol_garbage", "{chunks:?}");
        }
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
        ("parameter first", both(message(b'S', b"a\0b\0"), auth(3, b"")), AfterScript::Silence, "auth_required", ""),
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
        ("shut down", error("57P01", "terminating connection"), AfterScript::Reset, "protocol_shutting_down", "57P01"),
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
        ("PgBouncer, user", error("08P01", "\"trust\" authentication failed"), AfterScript::Close, "auth_rejected", ""),
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
        ("wrong password", error("28P01", "password authentication failed"), AfterScript::Close, "auth_rejected", ""),
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
