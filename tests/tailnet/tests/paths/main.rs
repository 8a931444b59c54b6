//! Over which path packets go, as telltail says it beside a real tailscaled, and as tailscaled's own count of bytes judges.
//!
//! Every wait is for an event. The few sleeps are where the absence of events over a stated time is what is asserted.
//! Most of a scenario is waiting, so they run side by side: in one test, and in several.

#![expect(clippy::print_stdout, reason = "what was measured shows in the output of a failed run")]

mod bus;
mod failover;
mod quiet;
mod relayed;
mod soak;
mod timeout_reasons;
mod verdict_check;

use std::time::Duration;

use telltail_tailnet::{Agent, AgentMetrics, Mode, Node, Tailnet, Version};
use telltail_testkit::eventually;
use tokio::{join, time::Instant};

const DB: &str = "stackeye-db-prd";
const POSTGRES: &str = "postgres://stackeye-db-prd:5432?expect=no-derp";
/// A timeout that outlives the second which a dial takes while the direct path is being lost.
const EACH_FIVE_SECONDS: &[(&str, &str)] = &[("INTERVAL", "5s"), ("TIMEOUT", "2s")];
const INTERVAL: Duration = Duration::from_secs(5);

const SOON: Duration = Duration::from_secs(15);
/// tailscaled trusts a path for 6.5 s, then comes a round, then 7 s of confirmation.
const DERP_WITHIN: Duration = Duration::from_secs(20);
/// What reading the page and a busy machine may add.
const MARGIN: Duration = Duration::from_secs(2);

async fn node(tailnet: &Tailnet, name: &str, mode: Mode) -> Node {
    tailnet.node(name, Version::V1_102, mode).await
}

/// A worker of either mode, and what they watch.
async fn two_workers_and_a_database(tailnet: &Tailnet) -> [Node; 3] {
    let (userspace, tun, db) = join!(
        node(tailnet, "worker", Mode::Userspace),
        node(tailnet, "worker-tun", Mode::Tun),
        node(tailnet, DB, Mode::Userspace),
    );
    [userspace, tun, db]
}

/// A telltail that watches one target on one machine.
struct Watch<'a> {
    worker: &'a Node,
    peer: &'a Node,
    target: &'a str,
    agent: Agent<'a>,
    /// Just before and just after telltail began to watch.
    began: (Instant, Instant),
    /// Whose count of bytes is about this worker and this peer alone.
    counts: Counts,
}

/// A tailscaled counts by path what it receives, but not from whom.
#[derive(Clone, Copy)]
enum Counts {
    /// The worker, where it speaks to no other peer.
    Worker,
    /// The peer, where no other worker speaks to it.
    Peer,
}

impl<'a> Watch<'a> {
    async fn start(worker: &'a Node, peer: &'a Node, url: &str, settings: &[(&str, &str)]) -> Self {
        let before = Instant::now();
        let agent = Agent::start(worker, url, settings).await;
        Self { worker, peer, target: peer.name(), agent, began: (before, Instant::now()), counts: Counts::Worker }
    }

    /// Starts, and waits until the target is up and its path direct.
    async fn direct(worker: &'a Node, peer: &'a Node, url: &str, settings: &[(&str, &str)]) -> Self {
        let watch = Self::start(worker, peer, url, settings).await;
        watch.becomes("direct", SOON).await;
        eventually("ready", SOON, async || watch.agent.ready().await).await;
        watch
    }

    async fn page(&self) -> AgentMetrics {
        self.agent.page().await
    }

    /// Waits for a path; answers how long it took.
    async fn becomes(&self, path: &str, within: Duration) -> Duration {
        let begun = Instant::now();
        let what = format!("{}: the path to {} is {path}", self.worker.name(), self.target);
        eventually(&what, within, async || self.page().await.path(self.target) == path).await;
        let took = begun.elapsed();
        println!("{what} after {:.1} s", took.as_secs_f64());
        took
    }

    async fn changes(&self, to: &str) -> f64 {
        let labels = [("target", self.target), ("to", to)];
        self.agent.metric("telltail_path_changes_total", &labels).await.unwrap_or(-1.0)
    }

    async fn unexpected(&self) -> bool {
        self.agent.metric("telltail_path_unexpected", &[("target", self.target)]).await == Some(1.0)
    }

    /// Disco and TSMP pings that telltail has asked for.
    async fn pings(&self) -> f64 {
        self.page().await.total("telltail_localapi_requests_total", &[("call", "ping")])
    }

    async fn probed(&self) -> f64 {
        self.page().await.total("telltail_probes_total", &[("target", self.target)])
    }

    async fn probes(&self, count: f64) {
        let goal = self.probed().await + count;
        let within = Duration::from_secs(100);
        eventually("further probes", within, async || self.probed().await >= goal).await;
    }

    /// The target came up once and never went down, and the seconds of all paths are the time it was watched.
    async fn never_flapped(&self) {
        let page = self.page().await;
        let entered = |to| page.total("telltail_target_transitions_total", &[("target", self.target), ("to", to)]);
        assert_eq!((entered("up"), entered("down")), (1.0, 0.0), "{}", self.agent.log());
        self.seconds_add_up().await;
    }

    async fn seconds_add_up(&self) {
        let at_least = self.began.1.elapsed().as_secs_f64() - 1.0;
        let seconds = self.page().await.path_seconds(self.target, None);
        let at_most = self.began.0.elapsed().as_secs_f64() + 1.0;
        assert!((at_least..=at_most).contains(&seconds), "{seconds} s of {at_least} to {at_most}");
    }

    fn log_lines(&self, message: &str) -> Vec<serde_json::Value> {
        let log = self.agent.log();
        let lines = log.lines().map(|line| serde_json::from_str(line).expect("a line of the log is JSON"));
        lines
            .filter(|line: &serde_json::Value| line["message"].as_str().is_some_and(|m| m.starts_with(message)))
            .collect()
    }
}
