//! What tailscaled tells between the rounds, whose key expires, and who carries a name.

use std::{net::Ipv4Addr, time::SystemTime};

use super::*;
use telltail_tailnet::{Dial, Mode, Tailnet};
use telltail_testkit::{eventually, eventually_some};

/// Interval and timeout as shipped.
const AS_SHIPPED: &[(&str, &str)] = &[];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn changes_of_the_node_are_seen_at_once_and_keys_that_expire_are_told() {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, DB, Mode::Userspace));
    let _postgres = db.postgres(&[]).await;
    let watch = Watch::direct(&worker, &db, POSTGRES, AS_SHIPPED).await;

    let node_is = async |state: &str| {
        let begun = Instant::now();
        let three = Duration::from_secs(3);
        eventually(state, three, async || watch.page().await.node_state() == state).await;
        println!("the node is {state}: seen after {:.1} s", begun.elapsed().as_secs_f64());
    };
    worker.down().await;
    node_is("stopped").await;
    assert_eq!(watch.page().await.path(DB), "unknown", "nobody can be asked");
    worker.up().await;
    node_is("running").await;

    let (own, peers) = (DAY * 5 / 2, DAY * 10);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    worker.set_own_key_expiry(Some(own)).await;
    worker.set_key_expiry_of(&db, Some(peers)).await;
    for (metric, left) in
        [("telltail_node_key_expiry_timestamp_seconds", own), ("telltail_peer_key_expiry_timestamp_seconds", peers)]
    {
        let expiry = eventually_some(metric, SOON, async || watch.agent.metric(metric, &[]).await).await;
        assert!((expiry - (now + left).as_secs_f64()).abs() <= 3.0, "{metric}: {expiry}");
    }
    watch.probes(2.0).await;
    let (own, peers) = (watch.log_lines("This node's own key"), watch.log_lines("The key of the target's node"));
    assert_eq!((own.len(), peers.len()), (1, 1), "{}", watch.agent.log());
    assert_eq!((&own[0]["days"], &own[0]["level"]), (&3.into(), &"WARN".into()));
    assert_eq!((&peers[0]["days"], &peers[0]["target"]), (&14.into(), &DB.into()));
    worker.set_own_key_expiry(None).await;
    let gone = async || watch.agent.metric("telltail_node_key_expiry_timestamp_seconds", &[]).await.is_none();
    eventually("a key that never expires has no time", SOON, gone).await;
    watch.is_judged("direct").await;
    watch.seconds_add_up().await;
}

/// The name is a Tailscale Service's, which another machine comes to host.
#[tokio::test]
async fn a_name_that_moves_to_another_node_is_counted_and_is_no_outage() {
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 100, 1, 1);
    let tailnet = Tailnet::start().await;
    let worker = node(&tailnet, "worker", Mode::Userspace).await;
    let (old, new) = join!(node(&tailnet, "pg-old", Mode::Userspace), node(&tailnet, "pg-new", Mode::Userspace));
    let _servers = join!(old.postgres(&[]), new.postgres(&[]));
    for hosts in [[&old], [&new]] {
        tailnet.offer_service("svc:pg", ADDRESS, &hosts).await;
        let serve = ["serve", "--service=svc:pg", "--tcp=5432", "tcp://127.0.0.1:5432"];
        hosts[0].tailscale(serve).await.expect_success("tailscale serve");
    }
    tailnet.offer_service("svc:pg", ADDRESS, &[&old, &new]).await;
    let served = async || worker.dial(ADDRESS, 5432, Duration::from_secs(1)).await == Dial::Connected;
    eventually("served", SOON, served).await;
    let watch = Watch { target: "pg", ..Watch::start(&worker, &new, "postgres://pg:5432", EACH_FIVE_SECONDS).await };
    watch.becomes("direct", SOON).await;

    tailnet.offer_service("svc:pg", ADDRESS, &[&new, &old]).await;
    let moved = async || watch.agent.metric("telltail_peer_changes_total", &[("target", "pg")]).await;
    eventually("moved", SOON, async || moved().await == Some(1.0)).await;
    watch.probes(2.0).await;
    watch.becomes("direct", SOON).await;
    watch.is_judged("direct").await;
    assert_eq!(moved().await, Some(1.0));
    watch.never_flapped().await;
}
