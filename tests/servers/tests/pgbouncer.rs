//! PgBouncer: what telltail can know of a pooler, and of what is behind it.

use telltail_servers::{PgBouncer, Postgres, Telltail, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What telltail asks, too: GSSENCRequest.
const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

#[tokio::test]
async fn a_pooler_is_alive() {
    let postgres = Postgres::start(&[]).await;
    let pooler = PgBouncer::start(postgres.address(), &["auth_type=trust"]).await;
    let rows = [
        ("postgres://HERE?depth=tcp", "connected"),
        ("postgres://HERE", "answering"),
        ("postgres://trusted@HERE", "accepting"),
        ("postgres://nobody_knows@HERE/trusted", "auth_rejected"),
        ("postgres://trusted@HERE/nothing", "no_database"),
    ];
    Telltail::beside(pooler.address()).sees("trust", &rows).await;
    let pooler = PgBouncer::start(postgres.address(), &["auth_type=scram-sha-256"]).await;
    let rows = [("postgres://HERE", "answering"), ("postgres://scram@HERE", "auth_required")];
    Telltail::beside(pooler.address()).sees("SCRAM", &rows).await;
}

#[tokio::test]
async fn a_pooler_that_insists_on_tls_is_alive() {
    let postgres = Postgres::start(&[]).await;
    let settings = ["auth_type=scram-sha-256", "client_tls_sslmode=require"];
    let pooler = PgBouncer::start(postgres.address(), &settings).await;
    let rows = [("postgres://HERE", "answering"), ("postgres://scram@HERE", "auth_rejected")];
    Telltail::beside(pooler.address()).sees("TLS required", &rows).await;
}

#[tokio::test]
async fn a_pooler_hides_that_its_backend_is_dead_unless_it_lets_the_user_in() {
    let unused_port = free_port();
    let pooler = PgBouncer::start(unused_port, &["auth_type=scram-sha-256"]).await;
    let rows = [
        ("postgres://HERE?depth=tcp", "connected"),
        ("postgres://HERE", "answering"),
        ("postgres://scram@HERE", "auth_required"),
        ("postgres://nobody_knows@HERE/trusted", "auth_required"),
    ];
    Telltail::beside(pooler.address()).sees("SCRAM, backend dead", &rows).await;
    let pooler = PgBouncer::start(unused_port, &["auth_type=trust"]).await;
    let rows = [("postgres://HERE", "answering"), ("postgres://trusted@HERE", "protocol_timeout service")];
    Telltail::beside(pooler.address()).sees("trust, backend dead", &rows).await;
}

#[tokio::test]
async fn a_pooler_is_full() {
    let postgres = Postgres::start(&[]).await;
    let pooler = PgBouncer::start(postgres.address(), &["auth_type=scram-sha-256", "max_client_conn=2"]).await;
    let telltail = Telltail::beside(pooler.address());
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(pooler.address()).await.expect("the pooler listens");
        // It leaves a client that says nothing to the kernel (`tcp_defer_accept`).
        client.write_all(GSS_REQUEST).await.expect("the pooler reads");
        assert_eq!(client.read_u8().await.expect("an answer"), b'N');
        clients.push(client);
    }
    let rows = [
        ("postgres://HERE?depth=tcp", "connected"),
        ("postgres://HERE", "answering"),
        ("postgres://scram@HERE", "protocol_full service"),
    ];
    telltail.sees("full", &rows).await;
}

#[tokio::test]
async fn a_pooler_that_pauses_is_up_unless_it_has_never_seen_its_backend() {
    let postgres = Postgres::start(&[]).await;
    let pooler = PgBouncer::start(postgres.address(), &["auth_type=scram-sha-256"]).await;
    pooler.pause().await;
    let rows = [("postgres://HERE", "answering"), ("postgres://scram@HERE", "auth_required")];
    Telltail::beside(pooler.address()).sees("paused", &rows).await;

    // Whoever is let in at once waits for the backend, unless PgBouncer has seen one: then it knows what to say.
    let waits = [("postgres://HERE", "answering"), ("postgres://trusted@HERE", "protocol_timeout service")];
    let known = [("postgres://HERE", "answering"), ("postgres://trusted@HERE", "accepting")];
    for (seen_before, rows) in [(false, waits), (true, known)] {
        let pooler = PgBouncer::start(postgres.address(), &["auth_type=trust"]).await;
        let telltail = Telltail::beside(pooler.address());
        if seen_before {
            telltail.sees("alive", &known).await;
        }
        pooler.pause().await;
        telltail.sees("paused", &rows).await;
    }
}

#[tokio::test]
async fn a_probe_without_user_leaves_no_line_in_the_log_and_one_with_a_user_does() {
    const PROBES: u32 = 10;
    let postgres = Postgres::start(&[]).await;
    for (url, verdict, lines) in [
        ("postgres://HERE?depth=tcp", "connected", 0),
        ("postgres://HERE", "answering", 0),
        // "login attempt", which PgBouncer leaves at default settings for whoever names a user.
        ("postgres://scram@HERE", "auth_required", 1),
    ] {
        let pooler = PgBouncer::start(postgres.address(), &["auth_type=scram-sha-256"]).await;
        Telltail::beside(pooler.address()).keeps_seeing(PROBES, &[(url, verdict)]).await;
        let log = pooler.stop().await;
        let (ways, of_clients) = (2, log.lines().filter(|line| line.contains(" C-0x")).count());
        assert_eq!(of_clients, lines * ways * PROBES as usize, "{url}:\n{log}");
    }
}
