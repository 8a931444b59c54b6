//! Which peers are pinged as witnesses when a target's machine is silent, and what the doctor prints.

use crate::harness::{Agent, Harness, Setup};
use tailscaled_sim::Peer;
use tailscaled_sim::services::Valkey;
use telltail::cli::doctor_text::render;
use telltail::cli::terminal::Palette;

const PEERS: [(&str, &str); 4] =
    [("metrics", "100.64.0.20"), ("bastion", "100.64.0.21"), ("router", "100.64.0.22"), ("phone", "100.64.0.23")];

/// Four other peers. All were in touch with this node, but for the phone, which is online.
fn with_peers() -> Harness {
    let harness = Harness::new(Setup::Userspace);
    for (name, ip) in PEERS {
        harness.tailscaled.add_peer(Peer::new(name).ip(ip));
    }
    for name in ["db", "metrics", "bastion", "router"] {
        harness.tailscaled.shake_hands(name);
    }
    harness
}

/// The other peers that were pinged, each with how often.
fn pinged(harness: &Harness) -> Vec<(&'static str, usize)> {
    let requests = harness.tailscaled.requests();
    let pings = |ip: &str| {
        let pings = requests.iter().filter(|request| request.path.ends_with("/ping"));
        pings.filter(|request| request.parameter("ip") == Some(ip)).count()
    };
    PEERS.map(|(name, ip)| (name, pings(ip))).into_iter().filter(|(_, count)| *count > 0).collect()
}

async fn until_down(agent: &Agent, reason: &str) {
    let failing = [("target", "db"), ("reason", reason), ("scope", "path")];
    let down = [("target", "db"), ("state", "down")];
    agent
        .until(reason, |page| {
            assert!(page.is("telltail_ready_by_mode", &[("mode", "local")]));
            page.is("telltail_target_state", &down) && page.is("telltail_target_failing_info", &failing)
        })
        .await;
}

#[tokio::test]
async fn two_of_those_in_touch_are_pinged_once_per_transition_and_nobody_while_all_is_well() {
    let harness = with_peers();
    let agent = harness.agent(&[]).await;
    agent.ready().await;
    agent.probes("db", 4).await;
    assert_eq!(pinged(&harness), [], "all is well");

    for peer in ["db", "cache", "metrics", "bastion", "router", "phone"] {
        harness.tailscaled.set_peer_frozen(peer, true);
    }
    harness.cache.behave(Valkey::frozen());
    until_down(&agent, "connect_isolated").await;
    let cache_down = [("target", "cache"), ("reason", "connect_isolated")];
    agent.until("cache", |page| page.is("telltail_target_failing_info", &cache_down)).await;
    // For each target two peers, each twice, for one lost packet proves nothing.
    let asked = pinged(&harness);
    assert!(asked.iter().all(|(name, _)| *name != "phone"), "{asked:?}");
    assert!(asked.iter().map(|(_, count)| count).sum::<usize>() <= 8, "{asked:?}");
    agent.probes("db", 1).await;
    assert_eq!(pinged(&harness), asked, "once");
    harness.nothing_unexpected();
}

#[tokio::test]
async fn a_target_that_is_reached_is_a_witness_without_a_ping() {
    let harness = with_peers();
    let agent = harness.agent(&[]).await;
    agent.ready().await;
    harness.tailscaled.set_peer_frozen("db", true);
    until_down(&agent, "connect_tunnel_dead").await;
    assert_eq!(pinged(&harness), []);
    let line = &agent.log.lines_with("Target is down")[0];
    assert!(line["cause"].as_str().is_some_and(|cause| cause.ends_with("; cache answered")), "{line:#?}");
}

#[tokio::test]
async fn the_doctor_finds_one_cause_for_all_targets_and_names_both_possibilities() {
    let harness = with_peers();
    for peer in ["db", "cache", "metrics", "bastion", "router"] {
        harness.tailscaled.set_peer_frozen(peer, true);
    }
    let report = harness.doctor(&[], None).await;
    let findings = report.findings();
    assert_eq!((findings.len(), findings[0].targets.len()), (1, 2));
    let text = render(&report, Palette::PLAIN);
    println!("{text}");
    for told in [
        "connect_isolated (scope path)",
        "Either this node is cut off",
        "or those machines are down",
        "tailscale status",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    harness.tailscaled.set_peer_frozen("router", false);
    harness.tailscaled.set_peer_frozen("bastion", false);
    let report = harness.doctor(&[], None).await;
    let codes: Vec<_> = report.findings().iter().map(|finding| finding.failure.reason.slug()).collect();
    assert_eq!(codes, ["connect_tunnel_dead", "connect_tunnel_dead"]);
}
