//! Paths that are no direct ones for long: a peer relay, and DERP between two hard NATs.

use telltail_tailnet::{Mode, Node, Tailnet};
use tokio::time::sleep;

use super::*;

#[tokio::test]
async fn a_relayed_path_is_told_as_what_it_is() {
    join!(a_third_node_relays_when_udp_between_the_two_is_blocked(), between_two_hard_nats_it_is_derp_and_stays_derp());
}

/// Two workers, for a relay is below the tunnel and its ends may be of either mode.
async fn a_third_node_relays_when_udp_between_the_two_is_blocked() {
    let tailnet = Tailnet::start().await;
    tailnet.grant_peer_relays().await;
    let relay = node(&tailnet, "relay", Mode::Userspace).await;
    relay.tailscale(["set", "--relay-server-port=40000"]).await.expect_success("relay");
    let [userspace, tun, db] = two_workers_and_a_database(&tailnet).await;
    let _postgres = db.postgres(&[]).await;
    let (userspace, tun) = join!(
        Watch::direct(&userspace, &db, POSTGRES, EACH_FIVE_SECONDS),
        Watch::direct(&tun, &db, POSTGRES, EACH_FIVE_SECONDS),
    );

    for watch in [&userspace, &tun] {
        join!(watch.worker.block_udp(&db), db.block_udp(watch.worker));
    }
    let relayed = async |watch: &Watch<'_>| {
        // Nodes that have talked before look for relays again only after up to 32 s; until then it is DERP.
        watch.becomes("peer_relay", Duration::from_secs(60)).await;
        assert!(!watch.unexpected().await, "a peer relay is no DERP");
        watch.is_judged("peer_relay").await;
    };
    join!(relayed(&userspace), relayed(&tun));

    join!(userspace.worker.unblock_udp(), tun.worker.unblock_udp(), db.unblock_udp());
    let direct = async |watch: &Watch<'_>| {
        // While a relay is trusted tailscaled looks for something better now and then, but a round trip is asked for each
        // minute.
        watch.becomes("direct", Duration::from_secs(90)).await;
        watch.is_judged("direct").await;
        watch.never_flapped().await;
    };
    join!(direct(&userspace), direct(&tun));
}

/// Each end gives every flow a port of its own, so neither can tell the other where to send.
async fn between_two_hard_nats_it_is_derp_and_stays_derp() {
    let tailnet = Tailnet::start().await;
    let [userspace, tun, db] = two_workers_and_a_database(&tailnet).await;
    join!(userspace.hard_nat(), tun.hard_nat(), db.hard_nat());
    let _postgres = db.postgres(&[]).await;
    join!(it_is_derp_and_stays_derp(&userspace, &db), it_is_derp_and_stays_derp(&tun, &db));
}

async fn it_is_derp_and_stays_derp(worker: &Node, db: &Node) {
    let watch = Watch::start(worker, db, POSTGRES, EACH_FIVE_SECONDS).await;
    watch.becomes("derp", 2 * DERP_WITHIN).await;
    assert!(watch.unexpected().await);
    let derps = watch.changes("derp").await;

    // That nothing happens for half a minute is what is asserted.
    sleep(Duration::from_secs(30)).await;
    watch.is_judged("derp").await;
    assert_eq!(watch.changes("derp").await, derps);
    let page = watch.page().await;
    let elsewhere = page.total("telltail_path_changes_total", &[]) - derps;
    assert_eq!(elsewhere, 0.0, "{}", page.text());
    watch.never_flapped().await;
}
