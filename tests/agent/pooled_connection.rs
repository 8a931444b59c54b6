//! What a probe of Valkey leaves to the next: the held connection, and what a ClientHello told.

use crate::harness::{Harness, Setup};
use crate::prober::{Prober, later};
use std::time::Duration;
use tailscaled_sim::services::{Script, Valkey};
use telltail::probe_result::Detail;
use telltail::reason::Reason;

#[tokio::test]
async fn a_held_connection_is_dialled_anew_once_a_minute() {
    let harness = Harness::new(Setup::Userspace);
    let mut prober = Prober::of(&harness, "valkey://cache:6379");
    for seconds in [0, 10, 10, 10, 10, 10] {
        later(seconds).await;
        assert_eq!(prober.probe().await, Ok(Detail::Accepting));
        assert_eq!(harness.cache.tally().accepted, 1);
    }
    later(10).await;
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    assert_eq!(harness.cache.tally().accepted, 2);
    harness.cache.until(|tally| tally.open == 1).await;
    later(30).await;
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    assert_eq!(harness.cache.tally().accepted, 2);
}

#[tokio::test]
async fn new_connections_that_are_refused_are_found_out_within_a_minute() {
    let harness = Harness::new(Setup::Userspace);
    let mut prober = Prober::of(&harness, "valkey://cache:6379");
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    // Whoever is connected is served on.
    harness.tailscaled.refuse("cache", 6379);
    later(50).await;
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    later(10).await;
    assert_eq!(prober.probe().await, Err(Reason::ConnectRefused));
    harness.cache.until(|tally| tally.open == 0).await;
}

#[tokio::test]
async fn a_connection_that_died_is_replaced_within_the_probe_and_one_that_complains_is_asked_again_on_a_new_one() {
    let harness = Harness::new(Setup::Userspace);
    let mut prober = Prober::of(&harness, "valkey://cache:6379");
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    harness.cache.kill_connections();
    harness.cache.until(|tally| tally.open == 0).await;
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    assert_eq!(harness.cache.tally().accepted, 2);
    harness.cache.behave(Valkey::loading());
    assert_eq!(prober.probe().await, Err(Reason::ProtocolLoading));
    assert_eq!(harness.cache.tally().accepted, 3);
    harness.cache.behave(Valkey::healthy());
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    assert_eq!(harness.cache.tally().accepted, 4, "after a failure nothing is held");
    // Another address, another connection.
    harness.tailscaled.update_peer("cache", |cache| cache.ips = vec!["100.64.0.30".parse().expect("an address")]);
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    assert_eq!(harness.cache.tally().accepted, 5);
    harness.cache.until(|tally| tally.open == 1).await;
}

#[tokio::test]
async fn a_frozen_server_is_no_success_because_a_connection_was_held() {
    let harness = Harness::new(Setup::Userspace);
    let mut prober = Prober::of(&harness, "valkey://cache:6379");
    prober.target.timeout = Duration::from_millis(400);
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    harness.cache.behave(Valkey::frozen());
    assert_eq!(prober.probe().await, Err(Reason::ProtocolTimeout));
}

#[tokio::test]
async fn a_closing_port_is_sent_one_client_hello_per_outage_and_then_rarely() {
    let harness = Harness::new(Setup::Userspace);
    let mut prober = Prober::of(&harness, "valkey://cache:6379");
    let proxy_without_backend = || Valkey::answering(Script::new().close());
    assert_eq!(prober.probe().await, Ok(Detail::Accepting));
    let mut expected = harness.cache.tally().accepted;
    let phases = [
        // What the port does, seconds before the probe, the result, and the probe's connections.
        (Valkey::tls_only(), 10, Err(Reason::ProtocolTls), 2),
        (Valkey::tls_only(), 10, Err(Reason::ProtocolTls), 1),
        (Valkey::loading(), 10, Err(Reason::ProtocolLoading), 1),
        (Valkey::tls_only(), 10, Err(Reason::ProtocolTls), 1),
        (proxy_without_backend(), 300, Err(Reason::ProtocolClosed), 2),
        (proxy_without_backend(), 299, Err(Reason::ProtocolClosed), 1),
        (Valkey::healthy(), 10, Ok(Detail::Accepting), 1),
        (Valkey::answering(Script::say("+PO").close()), 60, Err(Reason::ProtocolClosed), 1),
        (Valkey::tls_only(), 10, Err(Reason::ProtocolTls), 2),
    ];
    for (number, (manner, seconds, outcome, connections)) in phases.into_iter().enumerate() {
        harness.cache.behave(manner);
        later(seconds).await;
        harness.cache.kill_connections();
        harness.cache.until(|tally| tally.open == 0).await;
        assert_eq!(prober.probe().await, outcome, "phase {number}");
        expected += connections;
        assert_eq!(harness.cache.tally().accepted, expected, "phase {number}");
    }
}
