//! PostgreSQL in every state that a probe can meet.

use telltail_servers::{DialVia, Postgres, Telltail, verdict};
use telltail_testkit::{PATIENCE, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The question that telltail does not ask: SSLRequest.
const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

const ALIVE: &[(&str, &str)] = &[
    ("postgres://HERE?depth=tcp", "connected"),
    ("postgres://HERE", "answering"),
    ("postgres://trusted@HERE", "accepting"),
    ("postgres://trusted@HERE/postgres", "accepting"),
    ("postgres://trusted@HERE/nothing", "no_database"),
    ("postgres://scram@HERE", "auth_required"),
    ("postgres://nobody_knows@HERE", "auth_required"),
    ("postgres://md5@HERE", "auth_required"),
    ("postgres://clear@HERE", "auth_required"),
    ("postgres://rejected@HERE", "auth_rejected"),
    ("postgres://tls_only@HERE", "auth_rejected"),
    ("postgres://nobody_listed@HERE", "auth_rejected"),
];

#[tokio::test]
async fn a_server_that_lives_is_up_whatever_it_asks_of_the_user() {
    for ssl in ["ssl=off", "ssl=on"] {
        let postgres = Postgres::start(&[ssl]).await;
        Telltail::beside(postgres.address()).sees(ssl, ALIVE).await;
    }
}

#[tokio::test]
async fn a_server_that_has_no_room_or_right_for_this_user_is_up() {
    let postgres = Postgres::start(&[]).await;
    let telltail = Telltail::beside(postgres.address());
    postgres.sql("create database closed; revoke connect on database closed from public");
    telltail.sees("no CONNECT", &[("postgres://trusted@HERE/closed", "auth_rejected")]).await;
    postgres.sql("alter role trusted connection limit 0");
    telltail.sees("the role's limit", &[("postgres://trusted@HERE", "auth_rejected")]).await;
    postgres.sql("alter role trusted connection limit -1; alter database trusted connection limit 0");
    telltail.sees("the database's limit", &[("postgres://trusted@HERE", "auth_rejected")]).await;
}

#[tokio::test]
async fn a_server_in_trouble_is_told_apart_from_one_that_is_gone() {
    let mut postgres = Postgres::start(&["max_connections=5", "max_wal_senders=0"]).await;
    let telltail = Telltail::beside(postgres.address());

    postgres.freeze();
    let frozen = [
        ("postgres://HERE?depth=tcp", "connected"),
        ("postgres://HERE", "protocol_timeout service"),
        ("postgres://scram@HERE", "protocol_timeout service"),
    ];
    telltail.sees("frozen", &frozen).await;
    postgres.thaw();
    telltail.sees("thawed", &[("postgres://HERE", "answering")]).await;

    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(postgres.log_in("postgres").await.expect("a place"));
    }
    let full = |reason| [("postgres://HERE", "answering"), ("postgres://scram@HERE", reason)];
    telltail.sees("full", &full("protocol_full service")).await;
    postgres.begin_shutdown().await;
    telltail.sees("shutting down", &full("protocol_shutting_down service")).await;
    drop(sessions);
    postgres.drain().await;
    let gone = [
        ("postgres://HERE?depth=tcp", "connect_refused service"),
        ("postgres://HERE", "connect_refused service"),
        ("postgres://scram@HERE", "connect_refused service"),
    ];
    telltail.sees("stopped", &gone).await;

    postgres.start_again().await;
    telltail.sees("started again", &full("auth_required")).await;
}

#[tokio::test]
async fn a_server_that_recovers_is_starting() {
    let mut postgres = Postgres::start(&[]).await;
    let telltail = Telltail::beside(postgres.address());
    let starting = [("postgres://HERE", "answering"), ("postgres://scram@HERE", "protocol_starting service")];

    postgres.stop().await;
    postgres.start_as_standby(false).await;
    telltail.sees("hot standby off", &starting).await;
    postgres.stop().await;
    postgres.start_as_standby(true).await;
    let hot = [("postgres://trusted@HERE", "accepting"), ("postgres://scram@HERE", "auth_required")];
    telltail.sees("hot standby", &hot).await;
    postgres.stop().await;
    postgres.start_and_never_finish().await;
    telltail.sees("starting", &starting).await;
}

#[tokio::test]
async fn a_healthy_probe_leaves_no_line_in_the_log() {
    const PROBES: u32 = 20;
    let silent = [
        ("postgres://HERE?depth=tcp", "connected"),
        ("postgres://HERE", "answering"),
        ("postgres://scram@HERE", "auth_required"),
        ("postgres://md5@HERE", "auth_required"),
        ("postgres://trusted@HERE", "accepting"),
    ];
    for ssl in ["ssl=off", "ssl=on"] {
        let mut postgres = Postgres::start(&[ssl]).await;
        let telltail = Telltail::beside(postgres.address());
        postgres.stop().await;

        // A server that has ended, and let its clients end, has written all it had to say: so whole lives are compared.
        postgres.start_again().await;
        let without = postgres.drain().await;
        postgres.start_again().await;
        telltail.keeps_seeing(PROBES, &silent).await;
        let with = postgres.drain().await;
        assert_eq!(with.lines().count(), without.lines().count(), "{ssl}:\n{with}");

        // And a line would have been noticed.
        postgres.start_again().await;
        let mut noisy = TcpStream::connect(postgres.address()).await.expect("the server listens");
        noisy.write_all(SSL_REQUEST).await.expect("the server reads");
        assert_eq!(noisy.read_u8().await.expect("an answer"), if ssl == "ssl=on" { b'S' } else { b'N' });
        drop(noisy);
        let noise = postgres.drain().await.lines().count() - without.lines().count();
        assert_eq!(noise, usize::from(ssl == "ssl=on"), "{ssl}");
    }
}

#[tokio::test]
async fn a_half_login_gives_its_place_back() {
    // Three places are for a superuser, one is left.
    let postgres = Postgres::start(&["max_connections=4", "max_wal_senders=0"]).await;
    let telltail = Telltail::beside(postgres.address());
    for way in [DialVia::LocalApi, DialVia::Tcp] {
        let mut probing = telltail.probing("postgres://scram@HERE", way);
        for _ in 0..10 {
            // The client of before may take a moment to leave, and so may the probe.
            eventually("a place for the probe", PATIENCE, async || verdict(&probing.probe().await) == "auth_required")
                .await;
            eventually("a place for a client", PATIENCE, async || postgres.log_in("trusted").await.is_ok()).await;
        }
    }
}
