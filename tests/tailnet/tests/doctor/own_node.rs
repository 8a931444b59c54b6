//! Checks of the pod's own tailscaled.

use std::{fs, os::unix::fs::PermissionsExt};
use tokio::join;

use super::*;
use telltail_testkit::eventually;

const BOTH: &str = "postgres://stackeye-db-prd:5432,valkey://stackeye-valkey-prd:6379?required=false";

/// A worker per fault. Nothing is dialled then, so the targets need not exist.
#[tokio::test]
async fn every_check_of_the_own_node_is_named_once_and_its_command_works() {
    let tailnet = Tailnet::start().await;
    let (stopped, expired, killed, ended, frozen, closed, out) = join!(
        node(&tailnet, "stopped", Mode::Userspace),
        node(&tailnet, "expired", Mode::Tun),
        node(&tailnet, "killed", Mode::Userspace),
        node(&tailnet, "ended", Mode::Userspace),
        node(&tailnet, "frozen", Mode::Userspace),
        node(&tailnet, "closed", Mode::Userspace),
        node(&tailnet, "out", Mode::Userspace),
    );
    join!(stopped.down(), expired.expire_own_key(), killed.kill(), frozen.freeze());
    ended.daemon().terminate().await;
    fs::set_permissions(closed.socket(), PermissionsExt::from_mode(0o600)).expect("an own file");
    out.tailscale(["logout"]).await.expect_success("tailscale logout");
    let asleep = async || expired.status().await["BackendState"] == "NeedsLogin";
    eventually("expired", SOON, asleep).await;
    show(&stopped, "tailscaled stopped", BOTH).await;

    join!(
        is_named(&stopped, "node_stopped", "backend_state", ""),
        is_named(&expired, "node_key_expired", "own_key", "KeyExpiry"),
        is_named(&killed, "node_socket_refused", "socket", "magicsock"),
        is_named(&ended, "node_socket_missing", "socket", "magicsock"),
        is_named(&frozen, "node_localapi_timeout", "backend_state", "magicsock"),
        is_named(&closed, "node_socket_forbidden", "permission", "srw-------"),
        is_named(&out, "node_needs_login", "backend_state", "magicsock"),
    );
    // The command of a stopped node is the cure.
    eventually("up again", SOON, async || stopped.status().await["BackendState"] == "Running").await;
}

/// A node that was removed, and not told: what the doctor prints, for a person and for programs.
#[tokio::test]
async fn a_forgotten_node_is_told_with_both_possibilities_and_the_command_shows_which() {
    let tailnet = Tailnet::start().await;
    let (worker, db, cache) = join!(
        node(&tailnet, "worker", Mode::Userspace),
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, CACHE, Mode::Userspace),
    );
    let _servers = join!(db.postgres(&[]), cache.valkey(&[]));
    eventually("answers", SOON, async || ask(&worker, BOTH).await.code == 0).await;
    worker.forget().await;
    let forgotten = async || ask(&worker, BOTH).await.json["targets"][0]["reason"] == "connect_isolated";
    eventually("isolated", SOON * 2, forgotten).await;
    let text = show(&worker, "forgotten node", BOTH).await;
    assert!(text.contains("run on stackeye-db-prd: tailscale status"), "{text}");
    let report = ask(&worker, BOTH).await;
    for target in [DB, CACHE] {
        report.failed_at(target, "connect_isolated", "path");
    }
    assert_eq!(report.json["findings"].as_array().map(Vec::len), Some(1), "one root is said once");
    next_works(&report, "findings", "connect_isolated", &[&db], DB).await;
    let listed = db.tailscale(["status"]).await.stdout;
    assert!(!listed.contains("worker") && listed.contains(CACHE), "{listed}");

    worker.remember().await;
    eventually("answers again", SOON * 2, async || ask(&worker, BOTH).await.code == 0).await;
    db.freeze().await;
    let report = ask(&worker, BOTH).await;
    report.failed_at(DB, "connect_tunnel_dead", "path");
    report.is_up(CACHE);
    show(&worker, "dead machine, living witness", BOTH).await;
}

async fn is_named(worker: &Node, reason: &str, check: &str, prints: &str) {
    let report = ask(worker, BOTH).await;
    assert_eq!(report.code, 1, "{reason}");
    for target in [DB, CACHE] {
        report.failed_at(target, reason, check);
    }
    let findings = report.json["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 1, "one root is said once: {findings:?}");
    next_works(&report, "findings", reason, &[worker], prints).await;
}
