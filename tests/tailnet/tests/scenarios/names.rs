//! Names and addresses that are not simply those of a node.

use telltail_tailnet::{Mode, Tailnet};
use tokio::join;

use crate::{DB, becomes_ready, goes_down, never_comes_up, node, watch};

/// By address, for a name says nothing about routes; beside an exit node, as nearly every tailnet has one.
#[tokio::test]
async fn a_machine_that_vanishes_beside_an_exit_node_is_not_in_the_netmap() {
    let tailnet = Tailnet::start().await;
    let (userspace, tun) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, "worker-tun", Mode::Tun));
    let (db, exit) = join!(node(&tailnet, DB, Mode::Userspace), node(&tailnet, "exit", Mode::Userspace));
    let _postgres = db.postgres(&[]).await;
    exit.set_routes(&["0.0.0.0/0", "::/0"]).await;
    tailnet.set_dns_records(&[("pg.lab.ts.net", &db.ip().to_string())]).await;
    let by_address = format!("postgres://{}:5432?name={DB}", db.ip());
    for worker in [&userspace, &tun] {
        let (address, record) = (watch(worker, &by_address).await, watch(worker, "postgres://pg:5432").await);
        becomes_ready(&address).await;
        becomes_ready(&record).await;
        worker.hide(&db).await;
        goes_down(&address, DB, "resolve_not_in_netmap", "path").await;
        goes_down(&record, "pg", "resolve_not_in_netmap", "path").await;
    }
}

/// Whatever their type says; the gate opens, for it asks by the same rule.
#[tokio::test]
async fn records_that_point_at_a_node_are_that_node() {
    let tailnet = Tailnet::start().await;
    let (userspace, tun) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, "worker-tun", Mode::Tun));
    let db = node(&tailnet, DB, Mode::Userspace).await;
    let _postgres = db.postgres(&[]).await;
    let (ipv4, ipv6) = (db.ip().to_string(), db.ipv6().to_string());
    tailnet
        .set_typed_dns_records(&[
            ("plain.lab.ts.net", "", &ipv4),
            ("typed.lab.ts.net", "A", &ipv4),
            ("both.lab.ts.net", "A", &ipv4),
            ("both.lab.ts.net", "AAAA", &ipv6),
            ("pg.corp.example", "", &ipv4),
        ])
        .await;
    for worker in [&userspace, &tun] {
        for host in ["plain", "typed", "both", "plain.lab.ts.net", "pg.corp.example"] {
            becomes_ready(&watch(worker, &format!("postgres://{host}:5432")).await).await;
        }
    }
}

/// headscale's default.
#[tokio::test]
async fn a_tailnet_without_a_base_domain_has_names_all_the_same() {
    let tailnet = Tailnet::start().await;
    tailnet.set_base_domain(None).await;
    let (worker, db) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, DB, Mode::Userspace));
    let _postgres = db.postgres(&[]).await;
    becomes_ready(&watch(&worker, "postgres://stackeye-db-prd:5432").await).await;
    never_comes_up(&watch(&worker, "postgres://gone:5432").await, "gone", "resolve_not_in_netmap", "path").await;
}

#[tokio::test]
async fn a_tailnet_without_ipv4_is_probed_over_ipv6() {
    let tailnet = Tailnet::start().await;
    tailnet.disable_ipv4().await;
    let (userspace, tun) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, "worker-tun", Mode::Tun));
    let db = node(&tailnet, DB, Mode::Userspace).await;
    let _postgres = db.postgres(&[]).await;
    for worker in [&userspace, &tun] {
        let agent = watch(worker, "postgres://stackeye-db-prd:5432").await;
        becomes_ready(&agent).await;
        let verbose = agent.get("/healthz?verbose").await.body;
        assert!(!verbose.contains("100.100.100.100"), "{verbose}");
    }
}

/// A name that needs no node, and addresses in a router's range.
#[tokio::test]
async fn four_via_six_lies_behind_a_subnet_router() {
    let tailnet = Tailnet::start().await;
    let (worker, router) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, "router", Mode::Userspace));
    router.set_routes(&["fd7a:115c:a1e0:b1a:0:7:a01:0/112"]).await;
    for (host, name) in [("10-1-0-2-via-7", "10-1-0-2-via-7"), ("[fd7a:115c:a1e0:b1a:0:7:a01:2]", "db")] {
        let agent = watch(&worker, &format!("postgres://{host}:5432?name={name}")).await;
        never_comes_up(&agent, name, "resolve_refused", "pod").await;
        assert!(agent.log().contains("4via6"), "{}", agent.log());
    }
}
