//! What is no failure, but what a person should know.

use tokio::join;

use super::*;
use std::net::Ipv4Addr;
use telltail_tailnet::Pong;
use telltail_testkit::eventually;

#[tokio::test]
async fn derp_shadowed_names_twins_and_keys_are_told_and_their_commands_work() {
    let tailnet = Tailnet::start().await;
    let (worker, db, other, twin) = join!(
        node(&tailnet, "worker", Mode::Userspace),
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, CACHE, Mode::Userspace),
        node(&tailnet, "stackeye-db-prd-1", Mode::Userspace),
    );
    let (_postgres, _valkey) = join!(db.postgres(&[]), other.valkey(&[]));
    let targets = "postgres://stackeye-db-prd:5432,valkey://stackeye-valkey-prd:6379";
    eventually("all is well", SOON, async || ask(&worker, targets).await.code == 0).await;
    eventually("direct", SOON, async || matches!(worker.ping(&db).await, Pong::Direct(_))).await;
    let here = [&worker];

    let report = ask(&worker, targets).await;
    assert_eq!(report.item("targets", "name", DB)["path"], "direct");
    for (advice, prints) in [("worker_way_untested", ""), ("name_not_resolved", "nameserver 10.99.0.1")] {
        next_works(&report, "advice", advice, &here, prints).await;
    }
    let unresolved =
        report.item("advice", "code", "name_not_resolved")["cause"].as_str().unwrap_or_default().to_owned();
    assert!(unresolved.contains("NXDOMAIN") && unresolved.contains("accept-dns is off"), "{unresolved}");
    for other in
        ["name_shadowed", "udp_blocked", "path_over_derp", "peer_renamed", "socket_may_write", "own_key_expires"]
    {
        report.has_no(other);
    }

    reports_what_the_cluster_answers(&tailnet, &worker, targets).await;

    worker.block_udp(&db).await;
    eventually("over DERP", SOON, async || matches!(worker.ping(&db).await, Pong::Derp(_))).await;
    show(&worker, "DERP", targets).await;
    let report = ask(&worker, targets).await;
    // On a busy machine the nearer region can be measured as the farther one.
    let region = report.item("targets", "name", DB)["region"].as_str().unwrap_or_default();
    assert!(report.code == 0 && ["nyc", "sfo"].contains(&region), "{region}");
    let cause = report.item("advice", "code", "path_over_derp")["cause"].as_str().unwrap_or_default().to_owned();
    assert!(cause.contains("this machine's end"), "{cause}");
    next_works(&report, "advice", "path_over_derp", &here, "via DERP(").await;
    worker.block_udp(&other).await;
    worker.block_udp(&twin).await;
    eventually("over DERP", SOON, async || matches!(worker.ping(&other).await, Pong::Derp(_))).await;
    eventually("udp_blocked", SOON, async || {
        let report = ask(&worker, targets).await;
        report.json["advice"].as_array().is_some_and(|all| all.iter().any(|one| one["code"] == "udp_blocked"))
    })
    .await;
    let report = ask(&worker, targets).await;
    next_works(&report, "advice", "udp_blocked", &here, "UDP:").await;
    report.has_no("path_over_derp");
    worker.unblock_udp().await;

    join!(worker.show_offline(&db), db.freeze());
    worker.set_own_key_expiry(Some(Duration::from_secs(3 * 86_400 + 60))).await;
    worker.set_key_expiry_of(&other, Some(Duration::from_secs(5 * 86_400 + 60))).await;
    let expiries_shown = async || {
        worker.status().await["Self"]["KeyExpiry"].is_string() && !worker.peer(&other).await["KeyExpiry"].is_null()
    };
    eventually("expiries", SOON, expiries_shown).await;
    let report = ask(&worker, targets).await;
    assert_eq!(report.code, 1);
    for (advice, cause, prints) in [
        ("peer_renamed", "is offline, and stackeye-db-prd-1.lab.ts.net is online", "stackeye-db-prd-1"),
        ("own_key_expires", "3 days", "KeyExpiry"),
        ("peer_key_expires", "5 days", "KeyExpiry"),
    ] {
        let seen = report.item("advice", "code", advice)["cause"].as_str().unwrap_or_default();
        assert!(seen.contains(cause), "{advice}: {seen}");
        next_works(&report, "advice", advice, &here, prints).await;
    }
}

/// A Service of the cluster has the name, too.
async fn reports_what_the_cluster_answers(tailnet: &Tailnet, worker: &Node, targets: &str) {
    let shadow = Some(Ipv4Addr::new(10, 0, 0, 7));
    tailnet.set_cluster_name("stackeye-db-prd.default.svc.cluster.local", shadow).await;
    let report = ask(worker, targets).await;
    assert_eq!(report.code, 0, "the probe itself goes where it should");
    let cause = report.item("advice", "code", "name_shadowed")["cause"].as_str().unwrap_or_default().to_owned();
    assert!(cause.contains("stackeye-db-prd.default.svc.cluster.local with 10.0.0.7"), "{cause}");
    next_works(&report, "advice", "name_shadowed", &[worker], "10.0.0.7").await;
    show(worker, "cluster DNS shadows the name", POSTGRES).await;
    tailnet.set_cluster_name("stackeye-db-prd.default.svc.cluster.local", None).await;
}

/// By an admin, or because the name was taken: the machine still calls itself as the target does.
#[tokio::test]
async fn a_renamed_machine_is_found_and_another_tailnets_domain_is_told() {
    let tailnet = Tailnet::start().await;
    let (worker, db, alike) = join!(
        node(&tailnet, "worker", Mode::Userspace),
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, "stackeye-db-prdx", Mode::Userspace),
    );
    let _servers = join!(db.postgres(&[]), alike.postgres(&[]));
    eventually("all is well", SOON, async || ask(&worker, POSTGRES).await.code == 0).await;
    for name in ["primary", "stackeye-db-prd-x7f3q2"] {
        db.rename(name).await;
        let renamed = format!("{name}.lab.ts.net");
        let seen = async || worker.peer(&db).await["DNSName"].as_str().is_some_and(|seen| seen.starts_with(name));
        eventually("renamed", SOON, seen).await;
        let report = ask(&worker, POSTGRES).await;
        report.failed_at(DB, "resolve_not_in_netmap", "netmap");
        let cause = report.item("advice", "code", "peer_renamed")["cause"].as_str().unwrap_or_default().to_owned();
        assert!(cause.contains(&renamed) && !cause.contains("prdx"), "{cause}");
        show(&worker, "renamed", POSTGRES).await;
    }
    let elsewhere = "postgres://stackeye-db-prd.tail2.ts.net:5432";
    let report = ask(&worker, elsewhere).await;
    let evidence = report.item("targets", "name", DB)["checks"].to_string();
    assert!(evidence.contains("this tailnet's domain is lab.ts.net"), "{evidence}");
}
