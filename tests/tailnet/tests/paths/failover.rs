//! UDP blocked and unblocked, and relays that go away.

use telltail_tailnet::{Mode, Node, Region, Tailnet, Version, eventually};
use tokio::{join, time::Instant};

use super::*;

#[tokio::test]
async fn a_path_and_its_relays_come_and_go() {
    join!(
        udp_blocked_is_derp_and_unblocked_is_direct_again(),
        relays_that_go_away_under_a_direct_path_are_told_and_alarm_nobody()
    );
}

/// Three workers at once: userspace and TUN, and the oldest tailscaled that can be tested.
async fn udp_blocked_is_derp_and_unblocked_is_direct_again() {
    let tailnet = Tailnet::start().await;
    // Alone: when four nodes started together, twice in four runs the first, in TUN mode, could not reach the control server.
    let tun = node(&tailnet, "worker-tun", Mode::Tun).await;
    let (userspace, old, db) = join!(
        node(&tailnet, "worker", Mode::Userspace),
        tailnet.node("worker-old", Version::V1_80, Mode::Userspace),
        node(&tailnet, DB, Mode::Userspace),
    );
    let _postgres = db.postgres(&[]).await;
    let failover = async |worker: &Node| falls_over_and_back(worker, &db).await;
    join!(failover(&userspace), failover(&tun), failover(&old));
}

async fn falls_over_and_back(worker: &Node, db: &Node) {
    let watch = Watch::direct(worker, db, POSTGRES, EACH_FIVE_SECONDS).await;
    watch.is_judged("direct").await;
    let (derps, directs) = (watch.changes("derp").await, watch.changes("direct").await);
    assert!(!watch.unexpected().await);

    worker.block_udp(db).await;
    watch.becomes("derp", DERP_WITHIN).await;
    let (page, at) = (watch.page().await, Instant::now());
    assert_eq!(page.region(DB), Some(("nyc".to_owned(), "1".to_owned())));
    assert!(watch.unexpected().await && watch.agent.ready().await);
    watch.is_judged("derp").await;
    let counted = watch.page().await.path_seconds(DB, Some("derp")) - page.path_seconds(DB, Some("derp"));
    let passed = at.elapsed().as_secs_f64();
    assert!((counted - passed).abs() <= 2.0, "{counted} s over DERP in {passed} s");

    worker.unblock_udp().await;
    watch.becomes("direct", INTERVAL + MARGIN).await;
    assert!(!watch.unexpected().await);
    watch.is_judged("direct").await;
    assert_eq!((watch.changes("derp").await, watch.changes("direct").await), (derps + 1.0, directs + 1.0));
    let said = watch.log_lines("Path is unexpected");
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!((&said[0]["to"], &said[0]["region"]), (&"derp".into(), &"nyc".into()));
    watch.never_flapped().await;
}

/// The home region moves; then no relay is left, while the path is direct.
async fn relays_that_go_away_under_a_direct_path_are_told_and_alarm_nobody() {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, DB, Mode::Tun));
    let _postgres = db.postgres(&[]).await;
    let watch = Watch::direct(&worker, &db, POSTGRES, EACH_FIVE_SECONDS).await;
    let minute = Duration::from_secs(60);
    let home = async |region: &str| {
        let labels = [("region", region)];
        watch.agent.metric("telltail_node_derp_info", &labels).await == Some(1.0)
    };
    let warnings = async || watch.page().await.label_values("telltail_node_health_warning", "code");
    eventually("home is nyc", SOON, async || home("nyc").await).await;
    eventually("no warnings", minute, async || warnings().await.is_empty()).await;

    tailnet.stop_region(Region::Nyc).await;
    eventually("home is sfo", minute, async || home("sfo").await).await;
    assert!(!home("nyc").await, "a stale region is a lie");
    watch.is_judged("direct").await;

    tailnet.stop_region(Region::Sfo).await;
    eventually("a warning", minute, async || {
        assert_eq!(watch.page().await.path(DB), "direct");
        warnings().await.iter().any(|code| code.contains("derp"))
    })
    .await;
    println!("without any relay: {:?}", warnings().await);
    watch.is_judged("direct").await;

    tailnet.start_region(Region::Sfo).await;
    tailnet.start_region(Region::Nyc).await;
    eventually("the warnings are gone", minute, async || warnings().await.is_empty()).await;
    assert_eq!(watch.changes("derp").await, 0.0);
    assert!(!watch.unexpected().await);
    watch.never_flapped().await;
}
