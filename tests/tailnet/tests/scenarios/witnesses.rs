//! A machine that is silent, and whether other machines answer.

use telltail_tailnet::{Mode, Tailnet, Version};
use tokio::join;

use crate::{BOTH, CACHE, DB, becomes_ready, comes_back, goes_down, has_log_line, never_comes_up, node, watch};

const DB_ALONE: &str = "postgres://stackeye-db-prd:5432";

#[tokio::test]
async fn a_forgotten_node_says_that_it_is_isolated_in_userspace_mode() {
    a_forgotten_node_says_that_it_is_isolated(Version::V1_102, Mode::Userspace).await;
}

#[tokio::test]
async fn a_forgotten_node_says_that_it_is_isolated_in_tun_mode() {
    a_forgotten_node_says_that_it_is_isolated(Version::V1_102, Mode::Tun).await;
}

#[tokio::test]
async fn a_forgotten_node_says_that_it_is_isolated_with_an_old_tailscaled() {
    a_forgotten_node_says_that_it_is_isolated(Version::V1_80, Mode::Userspace).await;
}

/// Removed from the tailnet, while its own session stays open: Running, online, with all its peers.
async fn a_forgotten_node_says_that_it_is_isolated(version: Version, mode: Mode) {
    let tailnet = Tailnet::start().await;
    let (worker, db, cache) = join!(
        tailnet.node("worker", version, mode),
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, CACHE, Mode::Userspace),
    );
    let _servers = join!(db.postgres(&[]), cache.valkey(&[]));
    let agent = watch(&worker, BOTH).await;
    becomes_ready(&agent).await;

    worker.forget().await;
    goes_down(&agent, DB, "connect_isolated", "path").await;
    goes_down(&agent, CACHE, "connect_isolated", "path").await;
    assert_eq!(agent.page().await.node_state(), "running");
    let cause = |name: &str| format!("no reply from {name} either");
    assert!(agent.log().contains(&cause(CACHE)) && agent.log().contains(&cause(DB)), "{}", agent.log());
    // The gate waits for names, not for answers.
    let late = watch(&worker, DB_ALONE).await;
    never_comes_up(&late, DB, "connect_isolated", "path").await;
    assert!(late.started().await);

    worker.remember().await;
    join!(comes_back(&agent, DB), comes_back(&agent, CACHE));
}

/// Nothing passes out of the pod any more, and tailscaled is Running all the same.
#[tokio::test]
async fn a_node_whose_network_is_cut_says_that_it_is_isolated() {
    let tailnet = Tailnet::start().await;
    let (worker, db, cache) = join!(
        node(&tailnet, "worker", Mode::Userspace),
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, CACHE, Mode::Userspace),
    );
    let _servers = join!(db.postgres(&[]), cache.valkey(&[]));
    let agent = watch(&worker, BOTH).await;
    becomes_ready(&agent).await;
    worker.unplug().await;
    goes_down(&agent, DB, "connect_isolated", "path").await;
    goes_down(&agent, CACHE, "connect_isolated", "path").await;
    worker.plug_in().await;
    join!(comes_back(&agent, DB), comes_back(&agent, CACHE));
}

#[tokio::test]
async fn a_dead_machine_beside_a_living_witness_is_to_blame() {
    let tailnet = Tailnet::start().await;
    let (worker, db, cache) = join!(
        node(&tailnet, "worker", Mode::Userspace),
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, CACHE, Mode::Userspace),
    );
    let _servers = join!(db.postgres(&[]), cache.valkey(&[]));
    let both = watch(&worker, BOTH).await;
    // It probes nothing on the cache's machine, and so has to ping it.
    let alone = watch(&worker, DB_ALONE).await;
    join!(becomes_ready(&both), becomes_ready(&alone));

    db.freeze().await;
    join!(goes_down(&both, DB, "connect_tunnel_dead", "path"), goes_down(&alone, DB, "connect_tunnel_dead", "path"),);
    for agent in [&both, &alone] {
        assert!(agent.log().contains("; stackeye-valkey-prd answered"), "{}", agent.log());
    }
    assert_eq!(both.state(CACHE).await, "up");

    // Both machines, and nobody else to ask: mode local stays ready, which `goes_down` asserts.
    cache.freeze().await;
    goes_down(&both, CACHE, "connect_isolated", "path").await;
    assert!(has_log_line(&both, "Target is down", &[("target", CACHE), ("scope", "path")]));
    join!(db.thaw(), cache.thaw());
    join!(comes_back(&both, DB), comes_back(&both, CACHE));
}

/// No witness at all: as it was before there were any.
#[tokio::test]
async fn without_a_witness_the_targets_machine_is_to_blame() {
    let tailnet = Tailnet::start().await;
    let (worker, db, bystander) = join!(
        node(&tailnet, "worker", Mode::Userspace),
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, "bystander", Mode::Userspace),
    );
    let _postgres = db.postgres(&[]).await;
    let agent = watch(&worker, DB_ALONE).await;
    becomes_ready(&agent).await;
    // Online, and never in touch.
    assert_eq!(worker.peer(&bystander).await["Online"], true);
    db.freeze().await;
    goes_down(&agent, DB, "connect_tunnel_dead", "path").await;
    assert!(!agent.log().contains("bystander"), "{}", agent.log());
}
