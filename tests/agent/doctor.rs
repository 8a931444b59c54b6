//! What only the doctor reports: root causes that targets share, and advisories.

use crate::harness::{Harness, Setup};
use std::net::IpAddr;
use tailscaled_sim::services::DnsConduct;
use tailscaled_sim::{BackendState, Peer};
use telltail::doctor::{AdvisoryCode, DoctorReport};
use telltail::probe::resolver::Resolver;
use telltail::reason::Reason;

const QUICK: &[(&str, &str)] = &[("TELLTAIL_INTERVAL", "2600ms"), ("TELLTAIL_TIMEOUT", "1250ms")];

/// A resolv.conf as the kubelet writes it; the name server is the harness's.
fn resolver(harness: &Harness) -> Resolver {
    let text = "search prd.svc.cluster.local svc.cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n";
    Resolver::parse(text).at_port(harness.dns.addr().port())
}

async fn doctor(harness: &Harness) -> DoctorReport {
    harness.doctor(QUICK, Some(resolver(harness))).await
}

/// The cause of an advisory; none where there is no such advisory.
fn cause_of(report: &DoctorReport, code: AdvisoryCode) -> Option<&str> {
    report.advisories.iter().find(|advisory| advisory.code == code).map(|advisory| advisory.cause.as_str())
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[tokio::test]
async fn a_shared_root_cause_is_reported_once_and_others_are_not_mixed() {
    let harness = Harness::new(Setup::Userspace);
    harness.tailscaled.set_backend_state(BackendState::Stopped);
    let report = doctor(&harness).await;
    let findings = report.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].failure.reason, findings[0].targets.len()), (Reason::NodeStopped, 2));
    harness.tailscaled.set_backend_state(BackendState::Running);
    harness.db.stop();
    harness.cache.stop();
    let report = doctor(&harness).await;
    let causes: Vec<_> =
        report.findings().iter().map(|finding| (finding.failure.reason, finding.targets.len())).collect();
    assert_eq!(causes, [(Reason::ConnectRefused, 1), (Reason::ConnectRefused, 1)], "two services, two findings");
    harness.nothing_unexpected();
}

#[tokio::test]
async fn the_pods_own_resolver_is_compared_with_the_netmap() {
    let harness = Harness::new(Setup::Userspace);
    let unknown = doctor(&harness).await;
    let cause = cause_of(&unknown, AdvisoryCode::NameNotResolved).expect("no resolver knows `db`");
    assert!(cause.contains("db: ") && cause.contains("accept-dns is off"), "{cause}");
    assert_eq!(unknown.exit_code(), 0, "an advisory is no failure");

    harness.dns.set("db.prd.svc.cluster.local", &[ip("10.0.0.7")]);
    harness.dns.set("cache", &[ip("100.64.0.3")]);
    let shadowed = doctor(&harness).await;
    assert_eq!(cause_of(&shadowed, AdvisoryCode::NameNotResolved), None, "the search list is tried to its end");
    let cause = cause_of(&shadowed, AdvisoryCode::NameShadowed).expect("a Service called db");
    assert!(cause.contains("db.prd.svc.cluster.local with 10.0.0.7; the target is 100.64.0.2"), "{cause}");
    let about = shadowed
        .advisories
        .iter()
        .find(|other| other.code == AdvisoryCode::NameShadowed)
        .map(|other| other.targets.clone());
    assert_eq!(about, Some(vec!["db".to_owned()]), "cache is answered rightly");

    harness.tailscaled.with_state(|sim| sim.accept_dns = true);
    harness.dns.behave(DnsConduct::Silent);
    let silent = doctor(&harness).await;
    // All names of the search list together may exceed the deadline; then nothing is reported.
    assert_eq!(cause_of(&silent, AdvisoryCode::NameShadowed), None);
}

#[tokio::test]
async fn a_named_proxy_resolves_and_is_the_workers_path() {
    let report = doctor(&Harness::new(Setup::Proxy)).await;
    assert_eq!((report.exit_code(), report.advisories), (0, Vec::new()));
    let userspace = doctor(&Harness::new(Setup::Userspace)).await;
    assert!(cause_of(&userspace, AdvisoryCode::WorkerWayUntested).is_some());
}

#[tokio::test]
async fn a_machine_that_joined_again_is_found_beside_its_old_entry() {
    let harness = Harness::new(Setup::Proxy);
    harness.tailscaled.set_peer_frozen("db", true);
    harness.tailscaled.set_peer_online("db", false);
    harness.tailscaled.add_peer(Peer::new("db-old").ip("100.64.0.8"));
    harness.db.stop();
    let report = doctor(&harness).await;
    assert_eq!(cause_of(&report, AdvisoryCode::PeerRenamed), None, "another name");
    harness.tailscaled.add_peer(Peer::new("db-1").ip("100.64.0.9"));
    let report = doctor(&harness).await;
    let cause = cause_of(&report, AdvisoryCode::PeerRenamed).expect("db-1 is online");
    assert_eq!(cause, "db is offline, and db-1.tail1234.ts.net is online");
}

#[tokio::test]
async fn a_route_over_the_tailnet_is_reported_only_where_it_is_accepted() {
    let harness = Harness::new(Setup::Proxy);
    harness.tailscaled.add_peer(Peer::new("router").ip("100.64.0.8").allowed_ip("100.64.0.0/10"));
    harness.tailscaled.add_peer(Peer::new("other").ip("100.64.0.9").allowed_ip("10.0.0.0/8"));
    assert_eq!(cause_of(&doctor(&harness).await, AdvisoryCode::RouteOverlapsTailnet), None);
    harness.tailscaled.with_state(|sim| sim.accept_routes = true);
    let report = doctor(&harness).await;
    let cause = cause_of(&report, AdvisoryCode::RouteOverlapsTailnet);
    assert_eq!(cause, Some("100.64.0.0/10 through router.tail1234.ts.net"));
}

#[tokio::test]
async fn blocked_udp_and_one_relayed_machine_are_distinguished() {
    let harness = Harness::new(Setup::Proxy);
    harness.tailscaled.update_peer("db", |db| db.go_derp("nyc"));
    harness.tailscaled.update_peer("cache", |cache| cache.go_direct("192.0.2.7:41641"));
    let one = doctor(&harness).await;
    assert!(cause_of(&one, AdvisoryCode::PathOverDerp).is_some_and(|cause| cause.contains("this machine's end")));
    assert_eq!(cause_of(&one, AdvisoryCode::UdpBlocked), None);
    harness.tailscaled.update_peer("cache", |cache| cache.go_derp("sfo"));
    let all = doctor(&harness).await;
    assert_eq!(cause_of(&all, AdvisoryCode::UdpBlocked), Some("2 machines, none of them reached directly"));
    assert_eq!(cause_of(&all, AdvisoryCode::PathOverDerp), None);
}

#[tokio::test]
async fn an_untested_version_is_reported() {
    let harness = Harness::new(Setup::Proxy);
    for (version, untested) in [("1.80.3", false), ("1.102.5", false), ("1.78.1", true), ("1.104.0", true)] {
        harness.tailscaled.set_version(version);
        let report = doctor(&harness).await;
        assert_eq!(cause_of(&report, AdvisoryCode::VersionUntested).is_some(), untested, "{version}");
    }
}
