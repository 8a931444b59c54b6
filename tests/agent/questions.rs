//! Servers that do not know GSSENCRequest: which question they are asked, how often, and what is made of the answers.

use crate::harness::{Harness, Setup};
use crate::prober::{Prober, later};
use std::time::Duration;
use tailscaled_sim::services::{Postgres, Script, messages};
use telltail::doctor::AdvisoryCode;
use telltail::probe_result::Detail;
use telltail::reason::Reason;

const URL: &str = "postgres://db:5432";

fn asked(gssenc: Script, ssl: Script) -> Postgres {
    Postgres::asking_for_password().gssenc(gssenc).ssl(ssl)
}

fn closes() -> Script {
    Script::new().close()
}

fn refuses(code: &str, text: &str) -> Script {
    Script::say(messages::error(code, text)).close()
}

/// PgCat (postgresml/pgcat#792) and RisingWave (risingwavelabs/risingwave#12124) close.
fn pgcat() -> Postgres {
    asked(closes(), Script::say("N"))
}

#[tokio::test]
async fn what_poolers_answer_is_seen_as_they_are() {
    let bad_packet = || refuses("08P01", "bad packet header: '0000000804d21630'");
    let crdb = || refuses("08P01", "GSS encryption is not yet supported");
    let answering = Ok(Detail::Answering);
    let tls_only = Ok(Detail::TlsOnly);
    // Connections of three probes in a row. A port that closes is sent a ClientHello, too.
    let rows = [
        ("PostgreSQL", asked(Script::say("N"), Script::say("S")), answering, [1, 1, 1]),
        ("PostgreSQL before 12", Postgres::before_12(), answering, [1, 1, 1]),
        ("PgCat", pgcat(), answering, [2, 1, 1]),
        ("PgCat with TLS", asked(closes(), Script::say("S")), tls_only, [2, 1, 1]),
        ("PgBouncer 1.13", asked(bad_packet(), Script::say("N")), answering, [2, 1, 1]),
        ("CockroachDB, insecure", asked(crdb(), Script::say("N")), answering, [2, 1, 1]),
        ("CockroachDB", asked(crdb(), Script::say("S")), tls_only, [2, 1, 1]),
        ("Supavisor", asked(Script::say("S"), Script::say("S")), tls_only, [1, 1, 1]),
        ("silent", asked(Script::silence(), Script::say("N")), answering, [2, 2, 1]),
        ("silent, with TLS", asked(Script::silence(), Script::say("S")), tls_only, [2, 2, 1]),
        ("a proxy without a backend", Postgres::always(&closes()), Err(Reason::ProtocolClosed), [3, 1, 1]),
        ("a proxy that is stuck", Postgres::frozen(), Err(Reason::ProtocolTimeout), [2, 1, 1]),
        ("broken", Postgres::always(&refuses("XX000", "x")), Err(Reason::ProtocolRejected), [2, 1, 1]),
        ("silent, then closing", asked(Script::silence(), closes()), Err(Reason::ProtocolTimeout), [2, 1, 1]),
        ("closing, then silent", asked(closes(), Script::silence()), Err(Reason::ProtocolClosed), [2, 2, 1]),
    ];
    for (name, manner, outcome, connections) in rows {
        for setup in [Setup::Userspace, Setup::Proxy, Setup::Tun] {
            let harness = Harness::new(setup);
            harness.db.behave(manner.clone());
            let targets = harness.targets("", "");
            let mut prober = Prober::of(&harness, targets.split(' ').next().expect("db"));
            prober.target.timeout = Duration::from_millis(600);
            let mut accepted = 0;
            for (number, expected) in connections.into_iter().enumerate() {
                assert_eq!(prober.probe().await, outcome, "{name} {setup:?}, probe {number}");
                accepted += expected;
                // The kernel may connect before the server has accepted.
                let tally = harness.db.until(|tally| tally.accepted >= accepted).await;
                assert_eq!(tally.accepted, accepted, "{name} {setup:?}, probe {number}");
            }
        }
    }
}

#[tokio::test]
async fn the_other_question_is_asked_once_per_outage_by_the_failure_that_decides() {
    let harness = Harness::new(Setup::Userspace);
    let mut prober = Prober::of(&harness, URL);
    let postgres = || asked(Script::say("N"), Script::say("S"));
    let dead = || Postgres::always(&refuses("XX000", "x"));
    let failed = Err(Reason::ProtocolRejected);
    let answering = Ok(Detail::Answering);
    let phases = [
        // What the port does, seconds before the probe, does it decide, the result, and the probe's connections.
        (postgres(), 0, false, answering, 1),
        (dead(), 10, false, failed, 1),
        (dead(), 10, false, failed, 1),
        (dead(), 10, true, failed, 2),
        (dead(), 30, true, failed, 1),
        (dead(), 269, true, failed, 1),
        (dead(), 1, true, failed, 2),
        (dead(), 30, true, failed, 1),
        (postgres(), 30, true, answering, 1),
        // A pooler takes its place, and gives it back.
        (pgcat(), 10, false, Err(Reason::ProtocolClosed), 2),
        (pgcat(), 10, true, answering, 2),
        (pgcat(), 10, false, answering, 1),
        (asked(Script::say("N"), closes()), 10, true, answering, 2),
        (postgres(), 10, false, answering, 1),
    ];
    let mut accepted = 0;
    for (number, (manner, seconds, decides, outcome, connections)) in phases.into_iter().enumerate() {
        harness.db.behave(manner);
        later(seconds).await;
        prober.decides = decides;
        assert_eq!(prober.probe().await, outcome, "phase {number}");
        accepted += connections;
        assert_eq!(harness.db.tally().accepted, accepted, "phase {number}");
    }
}

#[tokio::test]
async fn a_postgresql_that_was_busy_once_is_asked_as_before() {
    let harness = Harness::new(Setup::Userspace);
    let mut prober = Prober::of(&harness, URL);
    prober.target.timeout = Duration::from_millis(600);
    harness.db.behave(asked(Script::silence(), Script::say("S")));
    assert_eq!(prober.probe().await, Ok(Detail::TlsOnly));
    harness.db.behave(asked(Script::say("N"), Script::silence()));
    assert_eq!(prober.probe().await, Ok(Detail::Answering));
    assert_eq!(harness.db.tally().accepted, 3);
}

#[tokio::test]
async fn a_service_that_comes_back_without_tls_is_asked_again() {
    let harness = Harness::new(Setup::Userspace);
    let mut prober = Prober::of(&harness, URL);
    harness.db.behave(asked(closes(), Script::say("S")));
    for _ in 0..2 {
        assert_eq!(prober.probe().await, Ok(Detail::TlsOnly));
    }
    harness.db.stop();
    prober.decides = false;
    assert_eq!(prober.probe().await, Err(Reason::ConnectRefused));
    harness.db.start_again();
    assert_eq!(prober.probe().await, Ok(Detail::TlsOnly), "a moment of trouble changes nothing");
    harness.db.stop();
    prober.decides = true;
    assert_eq!(prober.probe().await, Err(Reason::ConnectRefused));
    harness.db.behave(Postgres::asking_for_password());
    harness.db.start_again();
    assert_eq!(prober.probe().await, Ok(Detail::Answering));
}

#[tokio::test]
async fn a_service_with_tls_opens_the_gate_and_says_how_far_it_was_tested() {
    let harness = Harness::new(Setup::Userspace);
    harness.db.behave(asked(closes(), Script::say("S")));
    let agent = harness.agent(&[("TELLTAIL_READINESS", "local"), ("TELLTAIL_STARTUP_GATE", "targets")]).await;
    let page = agent.ready().await;
    assert_eq!(page.sum("telltail_probe_failures_total", &[("target", "db")]), 0.0);
    let line = agent.get("/healthz?verbose").await.1;
    assert!(line.contains("depth tcp, tls_only"), "{line}");
    let document = agent.get("/api/v1/status").await.1;
    assert!(document.contains("\"depth\":\"tcp\""), "{document}");
    agent.stop().await;

    let report = harness.doctor(&[], None).await;
    let advice = report.advisories.iter().find(|advice| advice.code == AdvisoryCode::ProtocolUntested);
    assert_eq!(advice.map(|advice| advice.targets.clone()), Some(vec!["db".to_owned()]));
    assert_eq!((report.exit_code(), report.targets[0].depth.slug()), (0, "tcp"));
    harness.nothing_unexpected();
}
