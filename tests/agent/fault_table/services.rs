//! Faults of PostgreSQL and Valkey.

use super::{CACHE, CACHE_UP, DB, DB_UP, Expected, FaultCase, of, service};
use crate::harness::{Harness, Setup};
use std::time::Duration;
use tailscaled_sim::services::{Postgres, Script, Valkey, banners, messages};

fn plays(h: &Harness, script: &Script) {
    h.db.behave(Postgres::always(script));
}

pub(super) fn postgres() -> Vec<FaultCase> {
    const GARBAGE: Expected = service(DB, "protocol_garbage");
    const CLOSED: Expected = service(DB, "protocol_closed");
    const TIMEOUT: Expected = service(DB, "protocol_timeout");
    of(
        Setup::Userspace,
        [
            (&[64], "reset after accepting", |h| plays(h, &Script::new().reset()), CLOSED),
            (&[64], "reset in an answer", |h| plays(h, &Script::reset_at(&messages::error("57P03", "x"), 7)), CLOSED),
            (&[65, 91], "accepts, then silence", |h| plays(h, &Script::silence()), TIMEOUT),
            (&[66, 107], "accepts, then closes", |h| plays(h, &Script::new().close()), CLOSED),
            (&[68, 88], "SSH has the port", |h| greets(h, banners::SSH), GARBAGE),
            (&[68, 88], "a web server has the port", |h| plays(h, &Script::say(banners::HTTP).close()), GARBAGE),
            (&[88], "a TLS alert", |h| plays(h, &Script::say(banners::TLS).close()), service(DB, "protocol_tls")),
            (&[88, 72], "a mail server speaks first", |h| greets(h, banners::SMTP), GARBAGE),
            (&[72], "something unknown speaks first", |h| greets(h, b"\0\0\0"), GARBAGE),
            (&[81], "only TLS is let in", |h| h.db.behave(Postgres::refusing("28000", "no encryption")), DB_UP),
            (&[82], "bytes glued behind the answer", |h| plays(h, &Script::say("Nx")), GARBAGE),
            (&[83], "a server before 12", |h| h.db.behave(Postgres::before_12()), DB_UP),
            (&[73, 76], "full or starting cannot be seen without a user", |h| h.db.behave(Postgres::full()), DB_UP),
            (&[84], "an error of length 0", |h| plays(h, &Script::say(messages::with_length(b'E', 0, b""))), GARBAGE),
            (&[84], "an error of length 3", |h| plays(h, &Script::say(messages::with_length(b'E', 3, b""))), GARBAGE),
            (
                &[84],
                "an error of 2 GB",
                |h| plays(h, &Script::say(messages::with_length(b'E', 0x7fff_ffff, b"x"))),
                GARBAGE,
            ),
            (&[85], "an answer without end", |h| plays(h, &Script::new().flood("E")), GARBAGE),
            (&[86], "an error without a code", |h| plays(h, &Script::say(messages::message(b'E', b"Mx"))), REJECTED),
            (&[86], "an error with a log line in it", |h| plays(h, &Script::say(forged())), REJECTED),
            (&[87], "one byte a second", |h| plays(h, &dripped()), TIMEOUT),
            (&[110], "a reset some time later", |h| plays(h, &later_reset()), CLOSED),
        ],
    )
}

const REJECTED: Expected = service(DB, "protocol_rejected");

fn greets(h: &Harness, banner: &[u8]) {
    h.db.behave(Postgres::asking_for_password().greeting(Script::say(banner)));
}

/// What would be a line of the log, of the metrics page or of `/healthz` if it were printed as it is.
const FORGERY: &str =
    "x\n{\"level\":\"INFO\",\"message\":\"Target is up\"}\r\ntelltail_ready 1\n[+]db ok\x1b[2J\u{202e}\"} 1\n";

fn forged() -> Vec<u8> {
    messages::error("XX000", FORGERY)
}

fn dripped() -> Script {
    Script::new().drip(messages::error("57P03", "the database system is starting up"), Duration::from_secs(1))
}

fn later_reset() -> Script {
    Script::new().pause(Duration::from_millis(150)).reset()
}

fn refuses(h: &Harness, sqlstate: &str, text: &str) {
    h.db.behave(Postgres::refusing(sqlstate, text));
}

fn answers(h: &Harness, script: Script) {
    h.db.behave(Postgres::asking_for_password().startup(script));
}

pub(super) fn login() -> Vec<FaultCase> {
    const STARTING: Expected = service(DB, "protocol_starting");
    const ENDING: Expected = service(DB, "protocol_shutting_down");
    of(
        Setup::WithUser,
        [
            (&[73], "starting up", |h| h.db.behave(Postgres::starting()), STARTING),
            (
                &[74],
                "no hot standby",
                |h| refuses(h, "57P03", "the database system is not accepting connections"),
                STARTING,
            ),
            (&[76], "full", |h| h.db.behave(Postgres::full()), service(DB, "protocol_full")),
            (&[77], "shutting down", |h| h.db.behave(Postgres::shutting_down()), ENDING),
            (&[77], "ended by an administrator", |h| refuses(h, "57P01", "terminating connection"), ENDING),
            (&[78], "no line in pg_hba.conf", |h| refuses(h, "28000", "no pg_hba.conf entry"), DB_UP),
            (&[78], "wrong password", |h| refuses(h, "28P01", "password authentication failed"), DB_UP),
            (&[79], "no such database", |h| refuses(h, "3D000", "database \"x\" does not exist"), DB_UP),
            (&[80], "asks for md5", |h| answers(h, Script::say(messages::md5())), DB_UP),
            (&[80], "lets everybody in", |h| h.db.behave(Postgres::trusting()), DB_UP),
            (&[89], "asks for the password itself", |h| answers(h, Script::say(messages::cleartext())), DB_UP),
            (
                &[83],
                "negotiates the protocol",
                |h| answers(h, Script::say([messages::negotiate_protocol_version(), messages::sasl()].concat())),
                DB_UP,
            ),
            (
                &[85],
                "notices without end",
                |h| answers(h, Script::new().flood(messages::notice("x"))),
                service(DB, "protocol_garbage"),
            ),
            (&[86], "an error with a log line in it", |h| answers(h, Script::say(forged()).close()), REJECTED),
            (&[87], "an answer in segments", |h| answers(h, Script::new().send_split(messages::sasl(), 6)), DB_UP),
            (&[90], "a pooler with a dead backend", |h| answers(h, Script::say(messages::sasl())), DB_UP),
            (&[91], "a pooler that waits", |h| answers(h, Script::silence()), service(DB, "protocol_timeout")),
            (&[66], "a proxy without backend", |h| answers(h, Script::new().close()), service(DB, "protocol_closed")),
        ],
    )
}

fn cache(h: &Harness, manner: Valkey) {
    h.cache.behave(manner);
    // What greets does so on a new connection.
    h.cache.kill_connections();
}

fn pong(h: &Harness, answer: &[u8]) {
    cache(h, Valkey::answering(Script::say(answer)));
}

const DRAGONFLY: &str = "ERR Bad TLS header, double check if you enabled TLS for your client.";

pub(super) fn valkey() -> Vec<FaultCase> {
    const GARBAGE: Expected = service(CACHE, "protocol_garbage");
    const REFUSED: Expected = service(CACHE, "protocol_rejected");
    const FULL: Expected = service(CACHE, "protocol_full");
    const TLS: Expected = service(CACHE, "protocol_tls");
    of(
        Setup::Userspace,
        [
            (&[52], "nothing listens", |h| h.cache.stop(), service(CACHE, "connect_refused")),
            (&[63], "every connection was cut", |h| h.cache.kill_connections(), CACHE_UP),
            (&[65], "frozen", |h| h.cache.behave(Valkey::frozen()), service(CACHE, "protocol_timeout")),
            (
                &[66],
                "closes",
                |h| cache(h, Valkey::answering(Script::new().close())),
                service(CACHE, "protocol_closed"),
            ),
            (&[95], "wants a password", |h| cache(h, Valkey::asking_for_password()), CACHE_UP),
            (&[96], "no permission", |h| cache(h, Valkey::failing("NOPERM no permissions")), CACHE_UP),
            (&[97], "loading", |h| cache(h, Valkey::loading()), service(CACHE, "protocol_loading")),
            (&[98], "its primary is away", |h| cache(h, Valkey::master_down()), REFUSED),
            (&[100], "protected mode", |h| cache(h, Valkey::protected()), REFUSED),
            (&[101], "full of clients", |h| cache(h, Valkey::full()), FULL),
            (&[101], "full, and the reset is faster", |h| cache(h, full_reset()), FULL),
            (&[102], "busy", |h| cache(h, Valkey::busy()), REFUSED),
            (&[102], "no disk", |h| cache(h, Valkey::misconf()), REFUSED),
            (&[102], "read only", |h| cache(h, Valkey::failing("READONLY x")), REFUSED),
            (&[102], "no cluster", |h| cache(h, Valkey::failing("CLUSTERDOWN x")), REFUSED),
            (&[102], "moved", |h| cache(h, Valkey::failing("MOVED 1 192.0.2.1:6379")), REFUSED),
            (&[86], "an error with a log line in it", |h| cache(h, Valkey::failing(FORGERY)), GARBAGE),
            (&[102], "PING renamed", |h| cache(h, Valkey::failing("ERR unknown command 'PING'")), CACHE_UP),
            (&[103], "a TLS port that closes", |h| cache(h, Valkey::tls_only()), TLS),
            (&[103], "a TLS port that sends an alert", |h| pong(h, banners::TLS), TLS),
            (&[103], "a TLS port that says so", |h| cache(h, Valkey::failing(DRAGONFLY)), TLS),
            (
                &[104],
                "PONG in segments",
                |h| cache(h, Valkey::answering(Script::new().send_split("+PONG\r\n", 1))),
                CACHE_UP,
            ),
            (&[104], "a push before PONG", |h| pong(h, b">2\r\n+a\r\n:1\r\n+PONG\r\n"), CACHE_UP),
            (&[105], "a text of 2 GB", |h| pong(h, b"$2147483647\r\n"), GARBAGE),
            (&[105], "lists without end", |h| cache(h, Valkey::answering(Script::new().flood("*1\r\n"))), GARBAGE),
            (&[105], "a line without end", |h| cache(h, Valkey::answering(Script::new().flood("+PONG"))), GARBAGE),
            (&[106], "memcached", |h| pong(h, banners::MEMCACHED), GARBAGE),
            (&[106], "a web server", |h| pong(h, banners::HTTP), GARBAGE),
            (&[68], "SSH has the port", |h| cache(h, Valkey::healthy().greeting(Script::say(banners::SSH))), GARBAGE),
        ],
    )
}

fn full_reset() -> Valkey {
    Valkey::healthy().greeting(Script::say("-ERR max number of clients reached\r\n").reset())
}

pub(super) fn shallow() -> Vec<FaultCase> {
    of(
        Setup::Shallow,
        [
            (&[107, 108], "accepts without speaking", |h| plays(h, &Script::silence()), DB_UP),
            (&[107, 109], "accepts, then closes", |h| plays(h, &Script::new().close()), DB_UP),
            (&[52], "nothing listens", |h| h.db.stop(), service(DB, "connect_refused")),
        ],
    )
}
