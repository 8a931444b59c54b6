//! `telltail check`: what an engineer sees at 3 a.m.

use telltail_tailnet::{Dial, Mode, Node, Output, Tailnet, check};
use telltail_testkit::eventually;
use tokio::join;

use crate::{DB, SOON, node};

/// One machine each: answering, with nothing on its port, shut off by the policy, and gone from the map.
#[tokio::test]
async fn a_check_tells_up_refused_shut_out_and_gone_apart() {
    let tailnet = Tailnet::start().await;
    let (userspace, tun) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, "worker-tun", Mode::Tun));
    let (db, _refusing, denying, gone) = join!(
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, "db-refusing", Mode::Userspace),
        node(&tailnet, "db-denying", Mode::Userspace),
        node(&tailnet, "db-gone", Mode::Userspace),
    );
    let _postgres = db.postgres(&[]).await;
    denying.deny_everybody().await;
    for worker in [&userspace, &tun] {
        let denied = async || worker.dial(denying.ip(), 5432, SOON / 10).await == Dial::Silent;
        eventually("shut out", SOON, denied).await;
        worker.hide(&gone).await;
        eventually("gone", SOON, async || worker.peer(&gone).await.is_null()).await;

        expect(worker, "postgres://stackeye-db-prd:5432", 0, "up: answering, depth protocol").await;
        expect(worker, "postgres://postgres@stackeye-db-prd.lab.ts.net.:5432", 0, "up: accepting").await;
        expect(worker, "postgres://db-refusing:5432", 2, "down: connect_refused (scope service)").await;
        expect(worker, "postgres://db-denying:5432", 2, "down: connect_dropped (scope path)").await;
        expect(worker, "postgres://db-gone:5432", 3, "down: resolve_not_in_netmap (scope path)").await;
        worker.down().await;
        expect(worker, "postgres://stackeye-db-prd:5432", 3, "down: node_stopped (scope pod)").await;
    }
}

async fn expect(worker: &Node, target: &str, code: i32, expected: &str) {
    let output: Output = worker.run_as("65532", &check(worker, target)).await;
    assert_eq!(output.code, code, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(expected), "{}", output.stdout);
}
