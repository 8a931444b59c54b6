//! Paths, and the peers that carry targets.

use crate::harness::{Agent, Harness, Setup};
use std::time::{Duration, SystemTime};
use tailscaled_sim::Peer;
use telltail_testkit::MetricsPage;
use tokio::time::Instant;

fn takes(page: &MetricsPage, target: &str, path: &str) -> bool {
    page.is("telltail_path", &[("target", target), ("path", path)])
}

async fn until_db_takes(agent: &Agent, path: &str) -> MetricsPage {
    let page = agent.until(path, |page| takes(page, "db", path)).await;
    assert_eq!(page.sum("telltail_path", &[("target", "db")]), 1.0, "one path at a time");
    page
}

#[tokio::test]
async fn each_path_is_shown_with_its_region() {
    let harness = Harness::new(Setup::Userspace);
    harness.tailscaled.update_peer("db", |db| db.go_direct("192.0.2.7:41641"));
    let agent = harness.agent(&[]).await;
    let page = until_db_takes(&agent, "direct").await;
    assert_eq!(page.value("telltail_path_changes_total", &[("target", "db"), ("to", "direct")]), 1.0);
    agent.until("a round trip", |page| page.value("telltail_path_rtt_seconds", &[("target", "db")]) > 0.0).await;

    let began = Instant::now();
    harness.tailscaled.update_peer("db", |db| db.go_derp("sfo"));
    let page = until_db_takes(&agent, "derp").await;
    assert!(began.elapsed() >= Duration::from_secs(7), "found after {:?}", began.elapsed());
    assert!(page.is("telltail_path_derp_info", &[("target", "db"), ("region", "sfo"), ("region_id", "2")]));
    harness.tailscaled.update_peer("db", |db| db.go_derp("nyc"));
    let nyc = [("target", "db"), ("region", "nyc"), ("region_id", "1")];
    let page = agent.until("another region", |page| page.is("telltail_path_derp_info", &nyc)).await;
    assert_eq!(page.sum("telltail_path_derp_info", &[("target", "db")]), 1.0, "the region of before is gone");
    assert_eq!(page.value("telltail_path_changes_total", &[("target", "db"), ("to", "derp")]), 1.0);

    // Better is believed at once.
    let relay = "198.51.100.9:40000:vni:1";
    harness.tailscaled.update_peer("db", |db| db.go_peer_relay(relay));
    let page = until_db_takes(&agent, "peer_relay").await;
    assert_eq!(page.sum("telltail_path_derp_info", &[("target", "db")]), 0.0, "no region without DERP");

    let page = agent.metrics().await;
    let watched = |target| page.sum("telltail_path_seconds_total", &[("target", target)]);
    assert!((watched("db") - watched("cache")).abs() < 0.01, "{} and {}", watched("db"), watched("cache"));
    assert_eq!(page.sum("telltail_path_changes_total", &[("target", "db")]), 3.0);
    assert_eq!(page.sum("telltail_probes_total", &[("result", "failure")]), 0.0);
    assert_eq!(agent.log.lines_with("Path changed").iter().filter(|line| line["target"] == "db").count(), 3);
    harness.nothing_unexpected();
}

#[tokio::test]
async fn an_idle_peer_is_pinged_only_where_probes_come_often_enough_to_keep_it_awake() {
    let harness = Harness::new(Setup::Userspace);
    let asleep = |peer: &mut Peer| {
        peer.go_derp("sfo");
        peer.go_idle();
    };
    harness.tailscaled.update_peer("db", asleep);
    harness.tailscaled.update_peer("cache", asleep);
    let seldom = harness.agent(&[("TELLTAIL_INTERVAL", "70s"), ("TELLTAIL_TIMEOUT", "3s")]).await;
    until_db_takes(&seldom, "idle").await;
    // What a notification makes it look at between two probes is what the probe has woken.
    harness.tailscaled.update_peer("db", |db| db.go_direct("192.0.2.7:41641"));
    harness.tailscaled.with_state(|sim| sim.key_expiry = Some(SystemTime::now() + Duration::from_secs(10_000_000)));
    let looked = |page: &MetricsPage| page.sum("telltail_node_key_expiry_timestamp_seconds", &[]) > 0.0;
    let page = seldom.until("a round between two probes", looked).await;
    assert!(
        takes(&page, "db", "idle")
            && page.value("telltail_probes_total", &[("target", "db"), ("result", "success")]) == 1.0
    );
    assert_eq!(harness.calls("ping"), 0, "a ping would wake the peer");

    harness.tailscaled.update_peer("db", asleep);
    let often = harness.agent(&[]).await;
    until_db_takes(&often, "derp").await;
    assert_eq!(often.metrics().await.sum("telltail_path_changes_total", &[("target", "db")]), 1.0, "never idle");
    harness.nothing_unexpected();
}

#[tokio::test]
async fn a_path_that_is_not_expected_is_told_and_leaves_readiness_alone() {
    let harness = Harness::new(Setup::Userspace);
    for peer in ["db", "cache"] {
        harness.tailscaled.update_peer(peer, |peer| peer.go_derp("nyc"));
    }
    let targets = harness.targets("&expect=no-derp", "");
    let agent = harness.agent(&[("TELLTAIL_TARGETS", &targets)]).await;
    agent.ready().await;
    let page = agent
        .until("unexpected", |page| {
            assert!(page.is("telltail_ready", &[]));
            page.is("telltail_path_unexpected", &[("target", "db")]) && takes(page, "cache", "derp")
        })
        .await;
    assert_eq!(page.value("telltail_path_unexpected", &[("target", "cache")]), 0.0, "any path will do");
    for mode in ["strict", "local", "observe"] {
        assert!(page.is("telltail_ready_by_mode", &[("mode", mode)]));
    }
    assert_eq!(agent.get("/healthz").await.0, 200);
    let lines = agent.log.lines_with("Path is unexpected");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!((&lines[0]["target"], &lines[0]["region"]), (&"db".into(), &"nyc".into()));
    harness.tailscaled.update_peer("db", |db| db.go_direct("192.0.2.7:41641"));
    agent.until("expected", |page| !page.is("telltail_path_unexpected", &[("target", "db")])).await;
}

#[tokio::test]
async fn another_node_under_the_name_is_counted_and_is_no_outage() {
    let harness = Harness::new(Setup::Userspace);
    let agent = harness.agent(&[]).await;
    agent.ready().await;
    let changes = |page: &MetricsPage| page.value("telltail_peer_changes_total", &[("target", "db")]);
    assert_eq!(changes(&agent.metrics().await), 0.0);
    harness.tailscaled.update_peer("db", |db| db.ips = vec!["100.64.0.20".parse().unwrap()]);
    agent.until("another address", |page| changes(page) == 1.0).await;
    // Another machine took over, and its address is the same.
    harness.tailscaled.add_peer(Peer::new("db").ip("100.64.0.20"));
    agent.until("another node", |page| changes(page) == 2.0).await;
    let page = agent.probes("db", 3).await;
    assert_eq!((changes(&page), page.value("telltail_peer_changes_total", &[("target", "cache")])), (2.0, 0.0));
    assert_eq!(page.sum("telltail_probes_total", &[("result", "failure")]), 0.0);
    let lines = agent.log.lines_with("The target's peer changed");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_eq!((&lines[0]["before"], &lines[0]["after"]), (&"100.64.0.2".into(), &"100.64.0.20".into()));
}

#[tokio::test]
async fn the_expiry_of_keys_is_shown_and_said_once() {
    let harness = Harness::new(Setup::Userspace);
    let agent = harness.agent(&[]).await;
    let page = agent.ready().await;
    assert_eq!(page.sum("telltail_peer_key_expiry_timestamp_seconds", &[]), 0.0);
    let days = |days: u64| SystemTime::now() + Duration::from_secs(days * 86_400);
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64().floor();
    let (peers, own) = (days(2), days(100));
    harness.tailscaled.update_peer("db", |db| db.key_expiry = Some(peers));
    harness.tailscaled.with_state(|sim| sim.key_expiry = Some(own));
    let page = agent
        .until("expiries", |page| {
            page.value("telltail_peer_key_expiry_timestamp_seconds", &[("target", "db")]).floor() == seconds(peers)
                && page.value("telltail_node_key_expiry_timestamp_seconds", &[]).floor() == seconds(own)
        })
        .await;
    assert_eq!(page.sum("telltail_peer_key_expiry_timestamp_seconds", &[("target", "cache")]), 0.0);
    agent.probes("db", 3).await;
    let lines = agent.log.lines_with("The key of the target's node expires soon");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!((&lines[0]["target"], &lines[0]["days"]), (&"db".into(), &3.into()));
    assert_eq!(agent.log.lines_with("This node's own key expires soon").len(), 0);
}
