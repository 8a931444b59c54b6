//! What telltail says when things go wrong around it: the real binary, as uid 65532 with nothing but environment
//! variables, beside a real tailscaled, with real PostgreSQL and Valkey.
//!
//! Each scenario asserts readiness in every mode, reason, scope, key metrics and the log, and that it comes back. A
//! target that is down is asked every 30 s ± 20 %, so what can be broken and healed together is.

mod check;
mod names;
mod own_node;
mod path;
mod peers;
mod services;
mod start_and_end;
mod witnesses;

use std::time::Duration;

use telltail_tailnet::{Agent, AgentMetrics, Mode, Node, ReadyByMode, Tailnet, Version};
use telltail_testkit::{eventually, eventually_some};

const DB: &str = "stackeye-db-prd";
const CACHE: &str = "stackeye-valkey-prd";
const BOTH: &str = "postgres://stackeye-db-prd:5432,valkey://stackeye-valkey-prd:6379";

/// A probe each second. Scenarios in which a path fails over need longer timeouts.
const EACH_SECOND: &[(&str, &str)] = &[("INTERVAL", "1s"), ("TIMEOUT", "490ms")];

/// Enough for three probes in a row, and for what has to happen before.
const SOON: Duration = Duration::from_secs(15);
/// 36 s until a target that is down is asked again, and once more to be sure.
const RECOVERY: Duration = Duration::from_secs(45);

const READY: ReadyByMode = ReadyByMode { strict: true, local: true, observe: true };

async fn node(tailnet: &Tailnet, name: &str, mode: Mode) -> Node {
    tailnet.node(name, Version::V1_102, mode).await
}

async fn watch<'a>(worker: &'a Node, targets: &str) -> Agent<'a> {
    Agent::start(worker, targets, EACH_SECOND).await
}

/// Waits until everything is fine, and asserts that every page says so.
async fn becomes_ready(agent: &Agent<'_>) -> AgentMetrics {
    eventually("ready", SOON, async || agent.ready().await).await;
    assert_eq!(agent.get("/healthz").await.body, "ok\n");
    assert!(agent.started().await);
    let page = agent.page().await;
    assert_eq!(page.modes(), READY);
    assert_eq!(page.node_state(), "running");
    assert_eq!(page.metric("telltail_ready", &[]), Some(1.0));
    page
}

/// Waits until a target that was up is down, and asserts that every page says so, and why.
async fn goes_down(agent: &Agent<'_>, target: &str, reason: &str, scope: &str) {
    is_down(agent, target, reason, scope, scope != "pod").await;
}

/// Like [`goes_down`], for a target that was not up before: then no mode but `observe` lets the pod be ready.
async fn never_comes_up(agent: &Agent<'_>, target: &str, reason: &str, scope: &str) {
    is_down(agent, target, reason, scope, false).await;
}

async fn is_down(agent: &Agent<'_>, target: &str, reason: &str, scope: &str, local: bool) {
    let page = eventually_some(&format!("{target} is down for {reason}"), SOON, async || {
        let page = agent.page().await;
        (page.state(target) == "down").then_some(page)
    })
    .await;
    assert_eq!(page.failing(target), Some((reason.to_owned(), scope.to_owned())), "{}", agent.log());
    assert_eq!(page.modes(), ReadyByMode { strict: false, local, observe: true }, "{reason}");
    assert_eq!(page.metric("telltail_target_up", &[("target", target)]), Some(0.0));
    assert_eq!(page.metric("telltail_probe_success", &[("target", target)]), Some(0.0));
    let why = [("target", target), ("reason", reason), ("scope", scope)];
    assert!(page.metric("telltail_probe_failures_total", &why) >= Some(1.0), "{reason} is counted");
    assert!(entered(&page, target, "down") >= Some(1.0));

    let healthz = agent.get("/healthz").await;
    assert_eq!(healthz.status, 503, "{}", healthz.body);
    assert!(healthz.body.contains(&format!("[-]{target} failed: {reason} (scope {scope})")), "{}", healthz.body);
    assert_eq!(agent.get(&format!("/healthz/{target}")).await.status, 503);
    assert!(has_log_line(agent, "Target is down", &[("target", target), ("reason", reason), ("scope", scope)]));
}

/// Waits until a target that was down is up again, and asserts that everything is as before.
async fn comes_back(agent: &Agent<'_>, target: &str) {
    let back = async || agent.page().await.state(target) == "up";
    eventually(&format!("{target} is up again"), RECOVERY, back).await;
    let page = becomes_ready(agent).await;
    assert_eq!(page.failing(target), None);
    assert_eq!(agent.get(&format!("/healthz/{target}")).await.status, 200);
    assert!(entered(&page, target, "up") >= entered(&page, target, "down"));
    assert!(has_log_line(agent, "Target is up", &[("target", target), ("from", "down")]));
}

/// Waits for a number of further probes of a target, and asserts that it was up and the agent ready all the while.
async fn stays_up(agent: &Agent<'_>, target: &str, probes: f64) {
    let before = agent.page().await;
    let done = probed(&before, target) + probes;
    eventually("further probes", RECOVERY, async || {
        let page = agent.page().await;
        assert_eq!((page.state(target).as_str(), page.modes()), ("up", READY), "{}", agent.log());
        probed(&page, target) >= done
    })
    .await;
    let after = agent.page().await;
    assert_eq!(entered(&after, target, "down"), entered(&before, target, "down"), "{}", agent.log());
}

/// How often a target has entered a state.
fn entered(page: &AgentMetrics, target: &str, state: &str) -> Option<f64> {
    page.metric("telltail_target_transitions_total", &[("target", target), ("to", state)])
}

/// How many probes of a target have succeeded or failed.
fn probed(page: &AgentMetrics, target: &str) -> f64 {
    let count = |result| page.metric("telltail_probes_total", &[("target", target), ("result", result)]);
    count("success").unwrap_or_default() + count("failure").unwrap_or_default()
}

/// Is there a log line that begins so and has these fields?
fn has_log_line(agent: &Agent<'_>, message: &str, fields: &[(&str, &str)]) -> bool {
    agent.log().lines().any(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        line["message"].as_str().is_some_and(|text| text.starts_with(message))
            && fields.iter().all(|(key, value)| line[key] == *value)
    })
}
