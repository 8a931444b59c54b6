//! UDP blocked and unblocked, and relays that go away.

use super::*;
use telltail_tailnet::{Mode, Node, Region, Tailnet, Version};
use telltail_testkit::eventually;

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
    let [userspace, tun, db] = two_workers_and_a_database(&tailnet).await;
    let old = tailnet.node("worker-old", Version::V1_80, Mode::Userspace).await;
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
    let lines = watch.log_lines("Path is unexpected");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["to"], &lines[0]["region"]), (&"derp".into(), &"nyc".into()));
    watch.never_flapped().await;
}

/// The home region moves; then no relay is left, while the path is direct.
async fn relays_that_go_away_under_a_direct_path_are_told_and_alarm_nobody() {
    let tailnet = Tailnet::start().await;
    let [userspace, tun, db] = two_workers_and_a_database(&tailnet).await;
    let _postgres = db.postgres(&[]).await;
    let (userspace, tun) = join!(
        Watch::direct(&userspace, &db, POSTGRES, EACH_FIVE_SECONDS),
        Watch::direct(&tun, &db, POSTGRES, EACH_FIVE_SECONDS),
    );
    let at_home = async |watch: &Watch<'_>| {
        watch.home_becomes("nyc").await;
        watch.warns_of_nothing().await;
    };
    join!(at_home(&userspace), at_home(&tun));

    tailnet.stop_region(Region::Nyc).await;
    let away = async |watch: &Watch<'_>| {
        watch.home_becomes("sfo").await;
        watch.is_judged("direct").await;
    };
    join!(away(&userspace), away(&tun));

    tailnet.stop_region(Region::Sfo).await;
    let without = async |watch: &Watch<'_>| {
        eventually("a warning", MINUTE, async || {
            assert_eq!(watch.page().await.path(DB), "direct");
            watch.warnings().await.iter().any(|code| code.contains("derp"))
        })
        .await;
        println!("{}: without any relay: {:?}", watch.worker.name(), watch.warnings().await);
        watch.is_judged("direct").await;
    };
    join!(without(&userspace), without(&tun));

    join!(tailnet.start_region(Region::Sfo), tailnet.start_region(Region::Nyc));
    let back = async |watch: &Watch<'_>| {
        watch.warns_of_nothing().await;
        watch.is_judged("direct").await;
        assert_eq!(watch.changes("derp").await, 0.0);
        assert!(!watch.unexpected().await);
        watch.never_flapped().await;
    };
    join!(back(&userspace), back(&tun));
}

const MINUTE: Duration = Duration::from_secs(60);

impl Watch<'_> {
    async fn home_becomes(&self, region: &str) {
        let homes = async || self.page().await.label_values("telltail_node_derp_info", "region");
        eventually(&format!("home is {region}"), MINUTE, async || homes().await == [region]).await;
    }

    async fn warnings(&self) -> Vec<String> {
        self.page().await.label_values("telltail_node_health_warning", "code")
    }

    async fn warns_of_nothing(&self) {
        eventually("no warnings", MINUTE, async || self.warnings().await.is_empty()).await;
    }
}
