//! Ways to a service: direct and over DERP, through a SOCKS5 proxy, and to a Tailscale Service.

use std::{net::Ipv4Addr, process::Command, time::Duration};

use telltail_tailnet::{Agent, Dial, Mode, Node, Pong, Tailnet, Version, check};
use telltail_testkit::eventually;
use tokio::join;

use crate::{
    CACHE, DB, SOON, becomes_ready, comes_back, entered, goes_down, has_log_line, never_comes_up, node, stays_up, watch,
};

#[tokio::test]
async fn a_path_falls_to_derp_without_a_flap_in_userspace_mode() {
    a_path_falls_to_derp_without_a_flap(Mode::Userspace).await;
}

#[tokio::test]
async fn a_path_falls_to_derp_without_a_flap_in_tun_mode() {
    a_path_falls_to_derp_without_a_flap(Mode::Tun).await;
}

/// For some seconds tailscaled goes on to send to the dead address. What is dialled meanwhile connects with the SYN that
/// the kernel sends again after 1, 3 or 7 s, so one probe may fail.
async fn a_path_falls_to_derp_without_a_flap(mode: Mode) {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(node(&tailnet, "worker", mode), node(&tailnet, DB, Mode::Userspace));
    let (_postgres, _valkey) = join!(db.postgres(&[]), db.valkey(&[]));
    let targets = "postgres://stackeye-db-prd:5432,valkey://stackeye-db-prd:6379?name=cache";
    let agent = Agent::start(&worker, targets, &[("INTERVAL", "5s"), ("TIMEOUT", "2s")]).await;
    becomes_ready(&agent).await;
    eventually("direct", SOON, async || matches!(worker.ping(&db).await, Pong::Direct(_))).await;

    worker.block_udp(&db).await;
    stays_up(&agent, DB, 3.0).await;
    eventually("over DERP", SOON, async || matches!(worker.ping(&db).await, Pong::Derp(_))).await;
    stays_up(&agent, DB, 1.0).await;
    worker.unblock_udp().await;
    stays_up(&agent, DB, 1.0).await;

    let page = agent.page().await;
    for target in [DB, "cache"] {
        assert_eq!((entered(&page, target, "up"), entered(&page, target, "down")), (Some(1.0), Some(0.0)));
        let failures = |reason| page.metric("telltail_probe_failures_total", &[("target", target), ("reason", reason)]);
        assert!(failures("connect_timeout") <= Some(2.0));
        assert_eq!(failures("protocol_timeout"), Some(0.0), "a path that fails is not the service's fault");
    }
}

/// Something else on the worker's machine holds every local port towards the database.
#[tokio::test]
async fn without_a_local_port_probes_are_aborted_and_nobody_is_blamed() {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(node(&tailnet, "worker", Mode::Tun), node(&tailnet, DB, Mode::Userspace));
    let _postgres = db.postgres(&[]).await;
    let agent = watch(&worker, "postgres://stackeye-db-prd:5432").await;
    becomes_ready(&agent).await;

    // As many as this test itself needs towards telltail.
    let few = "echo 61000 61199 >/proc/sys/net/ipv4/ip_local_port_range";
    assert_eq!(worker.run(Command::new("sh").args(["-c", few])).await.code, 0);
    let hold = format!("for n in {{1..200}}; do exec {{held}}<>/dev/tcp/{}/5432; done; sleep 600", db.ip());
    let holder = worker.spawn(Command::new("bash").args(["-c", &hold])).await;
    let lacking = async || agent.metric("telltail_out_of_resources_total", &[]).await.unwrap_or_default();
    eventually("no port is left", SOON, async || lacking().await >= 5.0).await;
    assert!(agent.ready().await);
    assert!(has_log_line(
        &agent,
        "telltail itself has run out",
        &[("reason", "node_out_of_resources"), ("scope", "pod")]
    ));
    let check = worker.run(&check(&worker, "postgres://stackeye-db-prd:5432?timeout=1s")).await;
    assert!(check.stdout.contains("node_out_of_resources"), "{} {}", check.stdout, check.stderr);

    holder.kill().await;
    let all = "echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range";
    assert_eq!(worker.run(Command::new("sh").args(["-c", all])).await.code, 0);
    stays_up(&agent, DB, 3.0).await;
    let page = agent.page().await;
    assert_eq!(page.total("telltail_probe_failures_total", &[]), 0.0, "{}", agent.log());
}

/// The proxy is the worker's own way in userspace mode; while it is dead LocalAPI goes on to work.
#[tokio::test]
async fn a_named_proxy_is_the_way_and_can_die_alone() {
    let tailnet = Tailnet::start().await;
    let (worker, cache) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, CACHE, Mode::Userspace));
    let valkey = cache.valkey(&[]).await;
    let proxied = watch(&worker, "valkey://stackeye-valkey-prd:6379?via=socks5://127.0.0.1:1055").await;
    let dead = watch(&worker, "valkey://stackeye-valkey-prd:6379?via=socks5://127.0.0.1:1056").await;
    let page = becomes_ready(&proxied).await;
    let info = [("target", CACHE), ("via", "socks5://127.0.0.1:1055")];
    assert_eq!(page.metric("telltail_target_info", &info), Some(1.0));
    let verbose = proxied.get("/healthz?verbose").await.body;
    assert!(!verbose.contains("is not tested"), "{verbose}");
    never_comes_up(&dead, CACHE, "connect_socks_unreachable", "pod").await;

    valkey.stop().await;
    goes_down(&proxied, CACHE, "connect_refused", "service").await;
    valkey.start_again().await;
    comes_back(&proxied, CACHE).await;

    for verdict in ["reject with tcp reset", "drop"] {
        firewall(&worker, verdict).await;
        valkey.stop().await; // ends the held connection, too
        valkey.start_again().await;
        goes_down(&proxied, CACHE, "connect_socks_unreachable", "pod").await;
        assert_eq!(worker.dial(cache.ip(), 6379, SOON).await, Dial::Connected, "LocalAPI works");
        firewall(&worker, "accept").await;
        comes_back(&proxied, CACHE).await;
    }
}

/// The proxy finds a name as it would for the worker, and its answer begins at the node's own address.
#[tokio::test]
async fn the_proxy_is_given_the_name_that_the_worker_uses() {
    for (version, mode) in
        [(Version::V1_80, Mode::Userspace), (Version::V1_102, Mode::Userspace), (Version::V1_102, Mode::Tun)]
    {
        let tailnet = Tailnet::start().await;
        let (worker, db) = join!(tailnet.node("worker", version, mode), node(&tailnet, DB, Mode::Userspace));
        let _postgres = db.postgres(&[]).await;
        tailnet.set_dns_records(&[("alias.lab.ts.net", &db.ip().to_string())]).await;
        let (ip, fqdn) = (db.ip().to_string(), db.fqdn());
        let [short, full, address, alias, bare] = ["stackeye-db-prd", &fqdn, &ip, "alias.lab.ts.net", "alias"]
            .map(|host| format!("postgres://{host}:5432?name=db&via=socks5://127.0.0.1:1055"));
        for target in [short, full, address] {
            becomes_ready(&watch(&worker, &target).await).await;
        }
        // tailscaled 1.80 does not tell the tailnet's records, so nobody can say whose address that is.
        if version == Version::V1_102 {
            becomes_ready(&watch(&worker, &alias).await).await;
            never_comes_up(&watch(&worker, &bare).await, "db", "connect_socks_failed", "path").await;
        }
    }
}

/// What becomes of a new connection to the SOCKS5 proxy.
async fn firewall(worker: &Node, verdict: &str) {
    let rules = format!(
        "table ip proxy {{}}; delete table ip proxy; table ip proxy {{ chain in {{ type filter hook input priority 0; \
         tcp dport 1055 {verdict}; }}; }}"
    );
    worker.run(Command::new("nft").arg(rules)).await.expect_success("nft");
}

/// A Tailscale Service has a name and an address of its own; a node carries it.
#[tokio::test]
async fn a_tailscale_service_is_reached_by_its_name() {
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 100, 1, 1);
    let tailnet = Tailnet::start().await;
    let (userspace, tun) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, "worker-tun", Mode::Tun));
    let db = node(&tailnet, DB, Mode::Userspace).await;
    let _postgres = db.postgres(&[]).await;
    tailnet.offer_service("svc:pg", ADDRESS, &[&db]).await;
    let serve = ["serve", "--service=svc:pg", "--tcp=5432", "tcp://127.0.0.1:5432"];
    db.tailscale(serve).await.expect_success("tailscale serve");
    let served = async || userspace.dial(ADDRESS, 5432, Duration::from_secs(1)).await == Dial::Connected;
    eventually("served", SOON, served).await;

    // The proxy knows a Service by its whole name alone.
    let proxied = "postgres://pg.lab.ts.net:5432?name=pg&via=socks5://127.0.0.1:1055";
    let agents = [
        watch(&userspace, "postgres://pg:5432").await,
        watch(&tun, "postgres://pg:5432").await,
        watch(&userspace, proxied).await,
    ];
    for agent in &agents {
        becomes_ready(agent).await;
        stays_up(agent, "pg", 2.0).await;
    }
    tailnet.offer_service("svc:pg", ADDRESS, &[]).await;
    for agent in &agents {
        goes_down(agent, "pg", "resolve_not_in_netmap", "path").await;
    }
}
