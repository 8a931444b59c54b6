//! Checks between the pod and the service.

use tokio::join;

use super::*;
use telltail_tailnet::{Dial, Pong};
use telltail_testkit::eventually;

/// A user and a database that make the first message of a login longer than [`LENGTH`]; see the tests of paths.
const LONG: &str = "a-user-with-a-name-that-is-very-long-but-below-the-limit-of-63";
const LENGTH: u16 = 200;

/// A machine per fault, all seen in one run, in both modes.
#[tokio::test]
async fn every_check_beyond_the_own_node_is_named_and_its_command_works() {
    let tailnet = Tailnet::start().await;
    let (userspace, tun) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, "worker-tun", Mode::Tun));
    let (db, refusing, denying, gone, expired, frozen, narrow, hung) = join!(
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, "db-refusing", Mode::Userspace),
        node(&tailnet, "db-denying", Mode::Userspace),
        node(&tailnet, "db-gone", Mode::Userspace),
        node(&tailnet, "db-expired", Mode::Userspace),
        node(&tailnet, "db-frozen", Mode::Userspace),
        node(&tailnet, "db-narrow", Mode::Userspace),
        node(&tailnet, "db-hung", Mode::Userspace),
    );
    let (_postgres, _valkey, _narrow, stuck) =
        join!(db.postgres(&[]), db.valkey(&[]), narrow.postgres(&[]), hung.postgres(&[]));
    for worker in [&userspace, &tun] {
        eventually("all is well", SOON, async || ask(worker, POSTGRES).await.code == 0).await;
    }
    show(
        &userspace,
        "healthy",
        "postgres://stackeye-db-prd:5432,valkey://stackeye-db-prd:6379?name=stackeye-valkey-prd",
    )
    .await;
    for worker in [&userspace, &tun] {
        // What is dropped for its size is told by a ping that goes directly.
        eventually("direct", SOON, async || matches!(worker.ping(&narrow).await, Pong::Direct(_))).await;
    }
    denying.deny_everybody().await;
    frozen.freeze().await;
    stuck.freeze().await;
    let machines = [&refusing, &denying, &gone, &expired, &frozen, &narrow, &hung, &db];
    for worker in [&userspace, &tun] {
        worker.hide(&gone).await;
        worker.expire_key_of(&expired).await;
        worker.drop_udp_longer_than(LENGTH, &narrow).await;
        let denied = async || worker.dial(denying.ip(), 5432, SOON / 10).await == Dial::Silent;
        eventually("shut out", SOON, denied).await;
        eventually("gone", SOON, async || worker.peer(&gone).await.is_null()).await;
        eventually("expired", SOON, async || worker.peer(&expired).await["Expired"] == true).await;
    }
    join!(are_named(&userspace, &machines), are_named(&tun, &machines));
    show(&userspace, "ACL drop", "postgres://stackeye-db-prd:5432,postgres://db-denying:5432").await;
    show(&userspace, "vanished peer", "postgres://stackeye-db-prd:5432,postgres://db-gone:5432").await;
}

async fn are_named(worker: &Node, machines: &[&Node]) {
    let targets = format!(
        "{POSTGRES} postgres://db-refusing:5432 postgres://db-denying:5432 postgres://db-gone:5432 \
         postgres://db-expired:5432 postgres://db-frozen:5432 postgres://{LONG}@db-narrow:5432/{LONG} \
         postgres://db-hung:5432 postgres://stackeye-db-prd:1055?name=wrong \
         postgres://stackeye-db-prd:5432?name=proxied&via=socks5://127.0.0.1:1056 tcp://{}:1?name=itself",
        worker.name()
    );
    let report = ask(worker, &targets).await;
    assert_eq!(report.code, 1);
    report.is_up(DB);
    for (target, reason, check) in [
        ("itself", "resolve_refused", "name"),
        ("db-gone", "resolve_not_in_netmap", "netmap"),
        ("db-expired", "resolve_peer_expired", "peer_key"),
        ("db-frozen", "connect_tunnel_dead", "path"),
        ("db-refusing", "connect_refused", "tcp"),
        ("db-denying", "connect_dropped", "tcp"),
        ("proxied", "connect_socks_unreachable", "tcp"),
        ("db-narrow", "protocol_mtu", "path"),
        // tailscaled's own proxy has the port.
        ("wrong", "protocol_garbage", "protocol"),
        ("db-hung", "protocol_timeout", "protocol"),
    ] {
        report.failed_at(target, reason, check);
    }
    let here: Vec<_> = [worker].into_iter().chain(machines.iter().copied()).collect();
    let works = async |code, prints| next_works(&report, "findings", code, &here, prints).await;
    join!(
        works("resolve_refused", worker.name()),
        works("resolve_not_in_netmap", worker.name()),
        works("resolve_peer_expired", "db-expired"),
        works("connect_tunnel_dead", "no reply"),
        works("connect_refused", "State"),
        works("connect_dropped", "timed out"),
        works("protocol_mtu", "no reply"),
        works("protocol_garbage", "1055"),
        works("protocol_timeout", "no response"),
        works("connect_socks_unreachable", ""),
    );
}

/// Optional targets alone do not make it end with 1.
#[tokio::test]
async fn the_exit_code_knows_what_is_required() {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, DB, Mode::Userspace));
    let _postgres = db.postgres(&[]).await;
    let optional = "valkey://stackeye-db-prd:6379?name=cache&required=false";
    let both = format!("{POSTGRES},{optional}");
    eventually("answers", SOON, async || ask(&worker, POSTGRES).await.code == 0).await;
    let report = ask(&worker, &both).await;
    assert_eq!(report.code, 2);
    report.failed_at("cache", "connect_refused", "tcp");
    assert_eq!(ask(&worker, &format!("{POSTGRES},valkey://stackeye-db-prd:6379?name=cache")).await.code, 1);
    let output = worker.run_as(USER, &doctor(&worker, "", &[])).await;
    assert_eq!((output.code, output.stdout.as_str()), (3, ""), "{}", output.stderr);
    assert!(output.stderr.contains("TELLTAIL_TARGETS"), "{}", output.stderr);
}
