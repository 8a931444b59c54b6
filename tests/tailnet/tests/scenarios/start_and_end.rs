//! From the start of the process over the first success to SIGTERM.

use telltail_tailnet::{Agent, AgentMetrics, Mode, Node, ReadyByMode, Tailnet};
use telltail_testkit::{Signal, eventually};
use tokio::{join, time::timeout};

use crate::{BOTH, CACHE, DB, SOON, becomes_ready, node, probed, stays_up, watch};

#[tokio::test]
async fn both_services_are_up_in_userspace_mode() {
    both_services_are_up(Mode::Userspace).await;
}

#[tokio::test]
async fn both_services_are_up_in_tun_mode() {
    both_services_are_up(Mode::Tun).await;
}

/// The main job.
async fn both_services_are_up(mode: Mode) {
    let tailnet = Tailnet::start().await;
    let (worker, db, cache) =
        join!(node(&tailnet, "worker", mode), node(&tailnet, DB, Mode::Tun), node(&tailnet, CACHE, Mode::Tun));
    let (postgres, valkey) = join!(db.postgres(&[]), cache.valkey(&[]));
    let logs = LogOffsets::by([&worker, &db, &cache]);
    let agent = watch(&worker, BOTH).await;
    let user = watch(&worker, "postgres://postgres@stackeye-db-prd:5432").await;
    let page = becomes_ready(&agent).await;
    becomes_ready(&user).await;
    reports_its_way(&agent, &page, mode).await;
    assert_eq!(page.metric("telltail_startup_gate_release_info", &[("cause", "condition")]), Some(1.0));

    let before = (postgres.log(), valkey.log());
    stays_up(&agent, DB, 8.0).await;
    for (before, after) in [(before.0, postgres.log()), (before.1, valkey.log())] {
        assert_eq!(after.strip_prefix(&before), Some(""), "a healthy probe leaves no line");
    }
    logs.nothing_of_probes_since();

    let page = agent.page().await;
    for stage in ["resolve", "connect", "protocol"] {
        let stage = ("stage", stage);
        let count = |target| page.metric("telltail_probe_duration_seconds_count", &[("target", target), stage]);
        assert!(count(DB) >= Some(8.0), "{stage:?}");
        assert_eq!(count(CACHE) == Some(1.0), stage.1 == "connect", "one connection is held");
    }
    assert_eq!(
        page.metric("telltail_localapi_requests_total", &[("call", "status"), ("result", "no_answer")]),
        Some(0.0)
    );
    ends_within_its_drain(agent).await;

    let patient = Agent::start(&worker, BOTH, &[("DRAIN", "5m")]).await;
    becomes_ready(&patient).await;
    patient.process().signal(Signal::Term).await;
    eventually("draining", SOON, async || !patient.ready().await).await;
    assert_eq!(timeout(SOON, patient.process().terminate()).await, Ok(0), "the second signal ends it at once");
}

/// The length of each tailscaled's log before the first probe.
struct LogOffsets<'a>(Vec<(&'a Node, usize)>);

impl<'a> LogOffsets<'a> {
    fn by(nodes: [&'a Node; 3]) -> Self {
        Self(nodes.map(|node| (node, node.daemon().log().len())).into())
    }

    /// tailscaled logs each POST to LocalAPI, `dial` and `ping` among them; apart from that no probe is logged.
    fn nothing_of_probes_since(&self) {
        for (node, length) in &self.0 {
            let log = node.daemon().log();
            let lines = log[*length..].lines();
            let of_probes = ["localapi:", "netstack", "backend", "proxy", ":5432", ":6379"];
            let lines = lines.filter(|line| of_probes.iter().any(|word| line.contains(word)));
            let posts = ["/localapi/v0/dial", "/localapi/v0/ping", "[RATELIMIT]"];
            let unexpected: Vec<_> = lines.filter(|line| !posts.iter().any(|post| line.contains(post))).collect();
            assert!(unexpected.is_empty(), "{}: {unexpected:?}", node.name());
            let dials = log[*length..].contains("/localapi/v0/dial");
            assert_eq!(dials, node.name() == "worker" && node.mode() == Mode::Userspace, "{}", node.name());
        }
    }
}

async fn reports_its_way(agent: &Agent<'_>, page: &AgentMetrics, mode: Mode) {
    let (via, name, untested) = match mode {
        Mode::Userspace => ("localapi", "userspace", true),
        Mode::Tun => ("tcp", "tun", false),
    };
    for target in [DB, CACHE] {
        assert_eq!(page.metric("telltail_target_info", &[("target", target), ("via", via)]), Some(1.0));
    }
    let info = [("version", "1.102.5-t000000000-g000000000"), ("mode", name), ("hostname", "worker")];
    assert_eq!(page.metric("telltail_node_info", &info), Some(1.0), "{}", page.text());
    let verbose = agent.get("/healthz?verbose").await.body;
    assert_eq!(verbose.contains("is not tested until via="), untested, "{verbose}");
    assert_eq!(agent.log().contains("the worker's own path is not tested"), untested);
}

/// SIGTERM: not ready at once, still answering while it drains, then gone.
async fn ends_within_its_drain(agent: Agent<'_>) {
    agent.process().signal(Signal::Term).await;
    let healthz = agent.get("/healthz").await;
    assert_eq!(healthz.status, 503);
    assert!(healthz.body.contains("[-]draining failed"), "{}", healthz.body);
    assert_eq!(agent.get("/livez").await.status, 200);
    let page = agent.page().await;
    assert_eq!(page.modes(), ReadyByMode { strict: false, local: false, observe: false });
    assert_eq!(page.metric("telltail_draining", &[]), Some(1.0));
    assert_eq!(page.state(DB), "up", "a probe that was cut short proves nothing");
    assert_eq!(agent.process().wait().await, 0, "{}", agent.log());
    assert!(agent.log().contains("Stopped"));
}

#[tokio::test]
async fn telltail_waits_for_a_late_tailscaled_in_userspace_mode() {
    telltail_waits_for_a_late_tailscaled(Mode::Userspace).await;
}

#[tokio::test]
async fn telltail_waits_for_a_late_tailscaled_in_tun_mode() {
    telltail_waits_for_a_late_tailscaled(Mode::Tun).await;
}

/// Containers of a pod start in no order that one could rely on.
async fn telltail_waits_for_a_late_tailscaled(mode: Mode) {
    let tailnet = Tailnet::start().await;
    let (worker, cache) = join!(node(&tailnet, "worker", mode), node(&tailnet, CACHE, Mode::Userspace));
    let _valkey = cache.valkey(&[]).await;
    worker.daemon().terminate().await;
    assert!(!worker.socket().exists());

    let waiting = watch(&worker, "valkey://stackeye-valkey-prd:6379").await;
    let impatient = [("INTERVAL", "1s"), ("TIMEOUT", "490ms"), ("STARTUP_RELEASE", "2s")];
    let released = Agent::start(&worker, "valkey://stackeye-valkey-prd:6379", &impatient).await;
    waits(&waiting, "node_socket_missing").await;
    eventually("released", SOON, async || released.started().await).await;
    let page = released.page().await;
    assert_eq!(page.metric("telltail_startup_gate_release_info", &[("cause", "timeout")]), Some(1.0));
    assert!(!released.ready().await, "the gate is not readiness");

    worker.restart().await;
    for agent in [&waiting, &released] {
        becomes_ready(agent).await;
        let page = agent.page().await;
        assert_eq!(page.metric("telltail_probes_total", &[("target", CACHE), ("result", "failure")]), Some(0.0));
    }
    let page = waiting.page().await;
    assert_eq!(page.metric("telltail_startup_gate_release_info", &[("cause", "condition")]), Some(1.0));
}

/// Not ready, gate shut, and nothing counted, for several rounds.
async fn waits(agent: &Agent<'_>, reason: &str) {
    let asked = async || {
        let calls = [("call", "status"), ("result", "no_answer")];
        agent.metric("telltail_localapi_requests_total", &calls).await >= Some(4.0)
    };
    eventually("several rounds", SOON, asked).await;
    let startupz = agent.get("/startupz").await;
    assert_eq!(startupz.status, 503);
    assert!(startupz.body.contains("gate tailnet shut"), "{}", startupz.body);
    let healthz = agent.get("/healthz").await;
    assert_eq!(healthz.status, 503);
    assert!(healthz.body.contains(&format!("[-]node failed: {reason} (scope pod)")), "{}", healthz.body);
    let page = agent.page().await;
    assert_eq!(page.modes(), ReadyByMode { strict: false, local: false, observe: true });
    assert_eq!((page.state(CACHE).as_str(), probed(&page, CACHE)), ("unknown", 0.0));
    assert_eq!(page.metric("telltail_startup_gate_open", &[]), Some(0.0));
    assert_eq!(page.metric("telltail_startup_gate_release_info", &[]), None);
    assert_eq!(page.failing(CACHE), None);
    assert_eq!(page.node_state(), "unreachable");
}
