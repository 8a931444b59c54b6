//! The pod's resolver in every way that it cannot answer, beside the C library's.

use tokio::join;

use super::*;
use std::process::Command;

/// Does the worker's C library find the name?
async fn getent_finds(worker: &Node) -> bool {
    let mut getent = Command::new("getent");
    worker.run_as(USER, getent.args(["ahostsv4", DB])).await.code == 0
}

#[tokio::test]
async fn a_name_that_the_c_library_cannot_find_is_not_resolved() {
    const SEARCH: &str = "search default.svc.cluster.local\noptions ndots:5 timeout:1 attempts:1\n";
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, DB, Mode::Userspace));
    let _postgres = db.postgres(&[]).await;
    tailnet.set_cluster_name("stackeye-db-prd.default.svc.cluster.local", Some(db.ip())).await;
    for (servers, cause) in [
        ("", Some("asked 127.0.0.1")),
        ("nameserver\nnameserver dns.example.com\n", Some("asked 127.0.0.1")),
        ("nameserver 10.99.0.250\n", Some("asked 10.99.0.250")),
        ("nameserver fe80::99%eth0\n", Some("asked fe80::99%eth0")),
        ("nameserver fe80::1%eth7\n", Some("asked fe80::1%eth7")),
        ("nameserver fe80::1\n", Some("asked fe80::1")),
        ("nameserver fe80::1%eth0\n", None),
        ("nameserver fe80::99%eth0\nnameserver fe80::1%eth0\n", None),
        ("nameserver 10.99.0.1\n", None),
    ] {
        tailnet.write_resolv_conf(&format!("{servers}{SEARCH}"));
        let report = ask(&worker, POSTGRES).await;
        assert_eq!(report.code, 0, "{servers:?}: the probe needs no resolver");
        assert_eq!(getent_finds(&worker).await, cause.is_none(), "{servers:?}: the C library");
        let Some(cause) = cause else {
            report.has_no("name_not_resolved");
            continue;
        };
        let seen = report.item("advice", "code", "name_not_resolved")["cause"].as_str().unwrap_or_default().to_owned();
        println!("{servers:?}: {seen}");
        assert!(seen.contains(cause), "{servers:?}: {seen}");
    }
}
