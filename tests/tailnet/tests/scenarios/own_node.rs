//! Faults of the pod's own tailscaled.

use std::{process::Command, time::Duration};

use telltail_tailnet::{Agent, Mode, Tailnet};
use telltail_testkit::{eventually, telltail};
use tokio::join;

use crate::{CACHE, SOON, becomes_ready, goes_down, node, watch};

#[tokio::test]
async fn the_own_node_fails_and_recovers_in_userspace_mode() {
    the_own_node_fails_and_recovers(Mode::Userspace).await;
}

#[tokio::test]
async fn the_own_node_fails_and_recovers_in_tun_mode() {
    the_own_node_fails_and_recovers(Mode::Tun).await;
}

/// While the node is at fault nothing is dialled, so nobody has to be spared and each recovery is seen at once.
async fn the_own_node_fails_and_recovers(mode: Mode) {
    let tailnet = Tailnet::start().await;
    let (worker, cache) = join!(node(&tailnet, "worker", mode), node(&tailnet, CACHE, Mode::Userspace));
    let valkey = cache.valkey(&[]).await;
    let agent = watch(&worker, "valkey://stackeye-valkey-prd:6379").await;
    becomes_ready(&agent).await;

    worker.down().await;
    node_fails(&agent, "node_stopped", "stopped").await;
    believed_after_two_rounds(&agent, "node_stopped").await;
    worker.up().await;
    recovers(&agent).await;

    worker.expire_own_key().await;
    node_fails(&agent, "node_key_expired", "needs_login").await;
    worker.set_own_key_expiry(None).await;
    recovers(&agent).await;

    worker.kill().await;
    node_fails(&agent, "node_socket_refused", "unreachable").await;
    worker.restart().await;
    recovers(&agent).await;

    worker.daemon().terminate().await;
    node_fails(&agent, "node_socket_missing", "unreachable").await;
    worker.restart().await;
    recovers(&agent).await;

    worker.freeze().await;
    node_fails(&agent, "node_localapi_timeout", "unreachable").await;
    worker.thaw().await;
    recovers(&agent).await;

    // Even while no target is due for half a minute.
    valkey.stop().await;
    goes_down(&agent, CACHE, "connect_refused", "service").await;
    worker.down().await;
    eventually("the node is down", SOON / 3, async || agent.get("/healthz/node").await.status == 503).await;
    node_fails(&agent, "node_stopped", "stopped").await;
    valkey.start_again().await;
    worker.up().await;
    recovers(&agent).await;

    worker.tailscale(["logout"]).await.expect_success("tailscale logout");
    node_fails(&agent, "node_needs_login", "needs_login").await;
    believed_after_two_rounds(&agent, "node_needs_login").await;
}

/// The kernel keeps a listener whose address is gone, as that of `tailscale down` in TUN mode.
#[tokio::test]
async fn it_answers_again_at_a_tailnet_address_that_was_gone() {
    let tailnet = Tailnet::start().await;
    let worker = node(&tailnet, "worker", Mode::Tun).await;
    let telltail = |command: &str| {
        let mut telltail = Command::new(telltail());
        telltail
            .arg(command)
            .env("TELLTAIL_TARGETS", "tcp://stackeye-db-prd:5432")
            .env("TELLTAIL_READINESS", "observe");
        telltail.env("TELLTAIL_SOCKET", worker.socket()).env("TELLTAIL_LISTEN", format!("{}:8245", worker.ip()));
        telltail
    };
    let agent = worker.spawn_as("65532", &telltail("run")).await;
    let answers = async || worker.run(&telltail("health")).await.code == 0;
    eventually("it answers", SOON, answers).await;
    let before = agent.usage().await;

    worker.down().await;
    eventually("the address is gone", SOON, async || !answers().await).await;
    worker.up().await;
    eventually("it answers again", SOON, answers).await;
    assert_eq!(agent.exited().await, None, "{}", agent.log());
    let cpu = agent.usage().await.cpu - before.cpu;
    println!("{cpu:?} of CPU time meanwhile");
    assert!(cpu < Duration::from_secs(1), "it has spun: {cpu:?}");
}

/// The node's own check and the target's go down together, for the node's reason.
async fn node_fails(agent: &Agent<'_>, reason: &str, state: &str) {
    goes_down(agent, CACHE, reason, "pod").await;
    let page = agent.page().await;
    assert_eq!(page.node_state(), state);
    let online = page.metric("telltail_node_online", &[]);
    assert_eq!(online.is_none(), state == "unreachable", "absent while nobody tells");
    let verbose = agent.get("/healthz?verbose").await.body;
    assert!(verbose.contains(&format!("[-]node failed: {reason} (scope pod)")), "{verbose}");
    assert_eq!(agent.get("/healthz/node").await.status, 503);
    assert!(agent.started().await, "the gate stays open");
}

/// A state that does not flicker needs no third round; one more may pass until the page is read.
async fn believed_after_two_rounds(agent: &Agent<'_>, reason: &str) {
    let counted = agent.metric("telltail_probe_failures_total", &[("target", CACHE), ("reason", reason)]).await;
    assert!((Some(2.0)..=Some(3.0)).contains(&counted), "{counted:?}");
}

async fn recovers(agent: &Agent<'_>) {
    eventually("up again", SOON, async || agent.state(CACHE).await == "up").await;
    becomes_ready(agent).await;
    assert_eq!(agent.get("/healthz/node").await.status, 200);
}
