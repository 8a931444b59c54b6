//! Where nothing must happen: packets that get lost now and then, and a peer that may sleep.

use telltail_tailnet::{Mode, Tailnet};
use telltail_testkit::eventually;
use tokio::time::sleep;

use super::*;

/// Side by side, because both take time.
#[tokio::test]
async fn lost_packets_change_no_verdict_and_sleeping_peers_are_left_alone() {
    join!(
        packets_lost_now_and_then_change_no_verdict(),
        notifications_between_seldom_probes_change_no_path(),
        a_peer_that_is_seldom_asked_is_idle_and_never_woken_for_its_path()
    );
}

/// A minute in which five packets of a hundred are lost, each way.
async fn packets_lost_now_and_then_change_no_verdict() {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, DB, Mode::Userspace));
    let _postgres = db.postgres(&[]).await;
    let fast = [("INTERVAL", "1s"), ("TIMEOUT", "490ms"), ("FALL", "5")];
    let (seldom, often) = join!(
        Watch::direct(&worker, &db, POSTGRES, &[("INTERVAL", "4100ms"), ("TIMEOUT", "2s")]),
        Watch::direct(&worker, &db, POSTGRES, &fast),
    );
    let before = worker.bytes().await;
    worker.lose_udp(5).await;
    sleep(Duration::from_secs(60)).await;
    let carried = worker.bytes().await - before;
    println!("with 5 % lost: bytes {carried:?}");
    // Where two heartbeats in a row get lost tailscaled sends over DERP, too, until the next.
    assert_eq!(carried.path(), "direct", "{carried:?}");
    for watch in [&seldom, &often] {
        let page = watch.page().await;
        assert_eq!(
            (page.path(DB), watch.changes("derp").await, watch.changes("unknown").await),
            ("direct".to_owned(), 0.0, 0.0)
        );
        let failures = page.total("telltail_probes_total", &[("result", "failure")]);
        println!("with 5 % lost: {failures} of {} probes failed", page.total("telltail_probes_total", &[]));
        watch.never_flapped().await;
    }
    worker.lose_no_udp().await;
    // Each side picks its way on its own: the worker may be direct again while the database still answers over DERP.
    let only_direct = async || {
        let before = worker.bytes().await;
        seldom.probes(2.0).await;
        (worker.bytes().await - before).derp == 0 && worker.peer(&db).await["CurAddr"] != ""
    };
    eventually("two probes without a byte over DERP", Duration::from_secs(60), only_direct).await;
    join!(seldom.is_judged("direct"), often.is_judged("direct"));
}

/// After 45 s without traffic tailscaled lets a peer sleep; telltail finds it so and does not wake it to learn its path.
async fn a_peer_that_is_seldom_asked_is_idle_and_never_woken_for_its_path() {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, DB, Mode::Userspace));
    let _postgres = db.postgres(&[]).await;
    let watch = Watch::start(&worker, &db, POSTGRES, &[("INTERVAL", "70s"), ("TIMEOUT", "2s")]).await;
    // The first wait may be shorter than the interval, the second is not by much. A failure would be retried within seconds.
    let successes = async || watch.page().await.total("telltail_probes_total", &[("result", "success")]);
    eventually("a second success", Duration::from_secs(80), async || successes().await >= 2.0).await;
    watch.is_judged_idle().await;
    let page = watch.page().await;
    assert_eq!(page.path_seconds(DB, Some("derp")), 0.0);
    assert!(!watch.unexpected().await);
    watch.never_flapped().await;
}

/// tailscaled has news every few seconds, which a round follows; what that sees is the trace of the last probe.
async fn notifications_between_seldom_probes_change_no_path() {
    let tailnet = Tailnet::start().await;
    let (each_minute, seldom, db) = join!(
        node(&tailnet, "worker", Mode::Userspace),
        node(&tailnet, "worker-seldom", Mode::Userspace),
        node(&tailnet, DB, Mode::Userspace)
    );
    let _postgres = db.postgres(&[]).await;
    let [each_60_s, each_70_s] = ["60s", "70s"].map(|interval| [("INTERVAL", interval), ("TIMEOUT", "2s")]);
    let (minute, longer) =
        join!(Watch::start(&each_minute, &db, POSTGRES, &each_60_s), Watch::start(&seldom, &db, POSTGRES, &each_70_s),);
    for days in 100..130 {
        let expiry = Some(Duration::from_secs(days * 24 * 60 * 60));
        join!(each_minute.set_own_key_expiry(expiry), seldom.set_own_key_expiry(expiry));
        sleep(Duration::from_secs(5)).await;
    }
    for (watch, path) in [(&minute, "direct"), (&longer, "idle")] {
        let page = watch.page().await;
        let rounds = page.total("telltail_localapi_requests_total", &[("call", "status")]);
        let changes = page.total("telltail_path_changes_total", &[]);
        println!(
            "{}: {rounds} rounds, {} probes, {changes} changes of the path",
            watch.worker.name(),
            watch.probed().await
        );
        assert!(rounds >= 25.0 && watch.probed().await >= 2.0, "{rounds} rounds");
        assert_eq!((page.path(DB).as_str(), changes), (path, 1.0), "{}", watch.agent.log());
        watch.never_flapped().await;
    }
}
