//! A wall clock that jumps, by libfaketime: times that are shown follow it, and no decision does.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tailscaled_sim::{Peer, Tailscaled};
use telltail::cli::AgentClient;
use telltail_servers::{Flavour, Redis};
use telltail_testkit::{MetricsPage, Process, debian_program, telltail};

const TARGET: &str = "valkey://stackeye-valkey-prd:6379";
/// Of the package faketime; the loader replaces `$LIB`.
const LIBFAKETIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

#[tokio::test]
async fn a_wall_clock_that_jumps_changes_what_is_shown_and_nothing_else() {
    debian_program("faketime", "faketime");
    let valkey = Redis::start(Flavour::Valkey, &[]).await;
    let tailscaled = Tailscaled::start();
    tailscaled.add_peer(Peer::new("stackeye-valkey-prd").ip("100.64.0.3"));
    tailscaled.forward("stackeye-valkey-prd", 6379, valkey.address());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0").expect("own folder");

    let mut command = Command::new(telltail());
    command.arg("run").env_clear().envs([("TELLTAIL_TARGETS", TARGET), ("TELLTAIL_LISTEN", "127.0.0.1:0")]);
    command.envs([("TELLTAIL_INTERVAL", "200ms"), ("TELLTAIL_TIMEOUT", "90ms"), ("TELLTAIL_DRAIN", "0s")]);
    command.env("TELLTAIL_SOCKET", tailscaled.socket()).env("LD_PRELOAD", LIBFAKETIME);
    command
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let agent = Process::spawn(&mut command, folder.path().join("log"));
    agent.until_logged("\"Started\"").await;
    let address: Option<SocketAddr> = agent.log().lines().find_map(|line| {
        let (_, rest) = line.split_once("\"address\":\"")?;
        rest.split_once('"')?.0.parse().ok()
    });
    let client = AgentClient::from(address.expect("the address is logged"));
    // The last line before the clock moves: DERP is decided after seven seconds.
    agent.until_logged("Path changed").await;
    agent.until("ready", async || matches!(client.healthz().await, Ok((true, _)))).await;

    for (jump, year) in
        [("+3600", ""), ("-3600", ""), ("@1970-01-01 00:00:01", "1970"), ("@2100-01-01 00:00:00", "2100"), ("+0", "")]
    {
        let before = probes(client, "success").await;
        let lines = agent.log().lines().count();
        fs::write(&clock, jump).expect("own folder");
        agent.until("five more probes", async || probes(client, "success").await >= before + 5.0).await;
        let (_, document) = client.status().await.expect("the status");
        assert!(document.at.starts_with(year), "{jump}: {}", document.at);
        assert!(matches!(client.healthz().await, Ok((true, _))), "{jump}: ready");
        assert_eq!(agent.log().lines().count(), lines, "{jump}: {}", agent.log());
    }
    assert_eq!((probes(client, "failure").await, probes(client, "aborted").await), (0.0, 0.0));
}

async fn probes(client: AgentClient, result: &str) -> f64 {
    let page = MetricsPage::parse(client.metrics().await.expect("metrics"));
    page.sum("telltail_probes_total", &[("result", result)])
}
