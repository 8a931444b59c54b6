//! What the doctor says that no probe says: roots that several targets share, and advice.

use crate::harness::{Harness, Setup};
use std::net::IpAddr;
use tailscaled_sim::services::DnsConduct;
use tailscaled_sim::{BackendState, Peer};
use telltail::advice::Advice;
use telltail::doctor::Report;
use telltail::probe::resolver::Resolver;
use telltail::reason::Reason;

const QUICK: &[(&str, &str)] = &[("TELLTAIL_INTERVAL", "2600ms"), ("TELLTAIL_TIMEOUT", "1250ms")];

/// A resolv.conf as the kubelet writes it; the name server is the rig's.
fn resolver(rig: &Harness) -> Resolver {
    let text = "search prd.svc.cluster.local svc.cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n";
    Resolver::parse(text).at_port(rig.dns.addr().port())
}

async fn doctor(rig: &Harness) -> Report {
    rig.doctor(QUICK, Some(resolver(rig))).await
}

/// What was seen of an advice; none where it is not given.
fn seen(report: &Report, advice: Advice) -> Option<&str> {
    report.advice.iter().find(|one| one.advice == advice).map(|one| one.cause.as_str())
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[tokio::test]
async fn a_root_that_targets_share_is_said_once_and_others_are_not_mixed() {
    let rig = Harness::new(Setup::Userspace);
    rig.tailscaled.set_backend_state(BackendState::Stopped);
    let report = doctor(&rig).await;
    let findings = report.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].failure.reason, findings[0].targets.len()), (Reason::NodeStopped, 2));
    rig.tailscaled.set_backend_state(BackendState::Running);
    rig.db.stop();
    rig.cache.stop();
    let report = doctor(&rig).await;
    let roots: Vec<_> = report.findings().iter().map(|one| (one.failure.reason, one.targets.len())).collect();
    assert_eq!(roots, [(Reason::ConnectRefused, 1), (Reason::ConnectRefused, 1)], "two services, two findings");
    rig.nothing_unexpected();
}

#[tokio::test]
async fn the_pods_own_resolver_is_compared_with_the_netmap() {
    let rig = Harness::new(Setup::Userspace);
    let unknown = doctor(&rig).await;
    let cause = seen(&unknown, Advice::NameNotResolved).expect("nobody knows `db`");
    assert!(cause.contains("db: ") && cause.contains("accept-dns is off"), "{cause}");
    assert_eq!(unknown.exit_code(), 0, "advice is no failure");

    rig.dns.set("db.prd.svc.cluster.local", &[ip("10.0.0.7")]);
    rig.dns.set("cache", &[ip("100.64.0.3")]);
    let shadowed = doctor(&rig).await;
    assert_eq!(seen(&shadowed, Advice::NameNotResolved), None, "the search list is tried to its end");
    let cause = seen(&shadowed, Advice::NameShadowed).expect("a Service called db");
    assert!(cause.contains("db.prd.svc.cluster.local with 10.0.0.7; the target is 100.64.0.2"), "{cause}");
    let about = shadowed.advice.iter().find(|one| one.advice == Advice::NameShadowed).map(|one| one.targets.clone());
    assert_eq!(about, Some(vec!["db".to_owned()]), "cache is answered rightly");

    rig.tailscaled.with_state(|sim| sim.accept_dns = true);
    rig.dns.behave(DnsConduct::Silent);
    let silent = doctor(&rig).await;
    // All names of the list together may take longer than anybody waits; then nothing is claimed.
    assert_eq!(seen(&silent, Advice::NameShadowed), None);
}

#[tokio::test]
async fn a_proxy_that_is_named_resolves_and_is_the_workers_way() {
    let report = doctor(&Harness::new(Setup::Proxy)).await;
    assert_eq!((report.exit_code(), report.advice), (0, Vec::new()));
    let userspace = doctor(&Harness::new(Setup::Userspace)).await;
    assert!(seen(&userspace, Advice::WorkerWayUntested).is_some());
}

#[tokio::test]
async fn a_machine_that_joined_anew_is_found_beside_its_old_entry() {
    let rig = Harness::new(Setup::Proxy);
    rig.tailscaled.set_peer_frozen("db", true);
    rig.tailscaled.set_peer_online("db", false);
    rig.tailscaled.add_peer(Peer::new("db-old").ip("100.64.0.8"));
    rig.db.stop();
    let report = doctor(&rig).await;
    assert_eq!(seen(&report, Advice::PeerRenamed), None, "another name");
    rig.tailscaled.add_peer(Peer::new("db-1").ip("100.64.0.9"));
    let report = doctor(&rig).await;
    let cause = seen(&report, Advice::PeerRenamed).expect("db-1 is online");
    assert_eq!(cause, "db is offline, and db-1.tail1234.ts.net is online");
}

#[tokio::test]
async fn a_route_over_the_tailnet_is_told_only_where_it_is_accepted() {
    let rig = Harness::new(Setup::Proxy);
    rig.tailscaled.add_peer(Peer::new("router").ip("100.64.0.8").allowed_ip("100.64.0.0/10"));
    rig.tailscaled.add_peer(Peer::new("other").ip("100.64.0.9").allowed_ip("10.0.0.0/8"));
    assert_eq!(seen(&doctor(&rig).await, Advice::RouteOverlapsTailnet), None);
    rig.tailscaled.with_state(|sim| sim.accept_routes = true);
    let report = doctor(&rig).await;
    let cause = seen(&report, Advice::RouteOverlapsTailnet);
    assert_eq!(cause, Some("100.64.0.0/10 through router.tail1234.ts.net"));
}

#[tokio::test]
async fn udp_that_is_blocked_for_all_is_told_from_one_machines_trouble() {
    let rig = Harness::new(Setup::Proxy);
    rig.tailscaled.update_peer("db", |db| db.go_derp("nyc"));
    rig.tailscaled.update_peer("cache", |cache| cache.go_direct("192.0.2.7:41641"));
    let one = doctor(&rig).await;
    assert!(seen(&one, Advice::PathOverDerp).is_some_and(|cause| cause.contains("this one's end")));
    assert_eq!(seen(&one, Advice::UdpBlocked), None);
    rig.tailscaled.update_peer("cache", |cache| cache.go_derp("sfo"));
    let all = doctor(&rig).await;
    assert_eq!(seen(&all, Advice::UdpBlocked), Some("2 machines, none of them reached directly"));
    assert_eq!(seen(&all, Advice::PathOverDerp), None);
}

#[tokio::test]
async fn a_version_that_no_test_ran_with_is_told() {
    let rig = Harness::new(Setup::Proxy);
    for (version, untested) in [("1.80.3", false), ("1.102.5", false), ("1.78.1", true), ("1.104.0", true)] {
        rig.tailscaled.set_version(version);
        let report = doctor(&rig).await;
        assert_eq!(seen(&report, Advice::VersionUntested).is_some(), untested, "{version}");
    }
}
