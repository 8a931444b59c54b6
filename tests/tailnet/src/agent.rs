use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use telltail_testkit::{eventually, telltail};

use crate::{
    localapi::HttpResponse,
    metrics::{AgentMetrics, ReadyByMode},
    node::Node,
    process::NodeProcess,
};

/// The image runs telltail as this user, beside a tailscaled of root.
const USER: &str = "65532";

/// A telltail beside a node's tailscaled, as in a pod: not root, and told everything by environment variables.
#[derive(Debug)]
pub struct Agent<'a> {
    node: &'a Node,
    port: u16,
    process: NodeProcess,
}

impl<'a> Agent<'a> {
    /// Starts telltail and waits until it answers at all. `settings` are environment variables without `TELLTAIL_`.
    pub async fn start(node: &'a Node, targets: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_program(&telltail(), node, targets, settings).await
    }

    /// Like [`Agent::start`], with another build.
    pub async fn start_program(program: &Path, node: &'a Node, targets: &str, settings: &[(&str, &str)]) -> Self {
        // Several may watch one node, each at a port of its own.
        static LAST_PORT: AtomicU16 = AtomicU16::new(8245);
        let port = LAST_PORT.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new(program);
        command.arg("run").env("TELLTAIL_TARGETS", targets).env("TELLTAIL_SOCKET", node.socket());
        command.env("TELLTAIL_LISTEN", format!("0.0.0.0:{port}"));
        for (name, value) in settings {
            command.env(format!("TELLTAIL_{name}"), value);
        }
        let process = node.spawn_as(USER, &command).await;
        let agent = Self { node, port, process };
        eventually("telltail answers", Duration::from_secs(10), async || {
            assert_eq!(agent.process.exited().await, None, "telltail has ended: {}", agent.log());
            agent.try_get("/livez").await.is_ok()
        })
        .await;
        agent
    }

    /// Where it answers.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where other nodes reach its pages, beside the tailnet.
    pub fn outside_address(&self) -> String {
        format!("{}:{}", self.node.host_ip(), self.port)
    }

    /// Asks for a page.
    pub async fn get(&self, path: &str) -> HttpResponse {
        self.node.get(self.port, path).await
    }

    /// Asks for a page of a telltail that may have ended.
    ///
    /// # Errors
    ///
    /// What went wrong, where there was no answer.
    pub async fn try_get(&self, path: &str) -> Result<HttpResponse, String> {
        self.node.try_get(self.port, path).await
    }

    /// Does `/healthz` answer 200?
    pub async fn ready(&self) -> bool {
        self.get("/healthz").await.status == 200
    }

    /// Does `/startupz` answer 200?
    pub async fn started(&self) -> bool {
        self.get("/startupz").await.status == 200
    }

    /// `/metrics`.
    pub async fn page(&self) -> AgentMetrics {
        AgentMetrics::parse(self.get("/metrics").await.body)
    }

    /// See [`AgentMetrics::modes`].
    pub async fn modes(&self) -> ReadyByMode {
        self.page().await.modes()
    }

    /// See [`AgentMetrics::state`].
    pub async fn state(&self, target: &str) -> String {
        self.page().await.state(target)
    }

    /// See [`AgentMetrics::failing`].
    pub async fn failing(&self, target: &str) -> Option<(String, String)> {
        self.page().await.failing(target)
    }

    /// See [`AgentMetrics::metric`].
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.page().await.metric(name, labels)
    }

    /// What telltail has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process: for signals, its end and its cost.
    pub fn process(&self) -> &NodeProcess {
        &self.process
    }
}

/// Runs `telltail check` beside a node's tailscaled.
pub fn check(node: &Node, target: &str) -> Command {
    let mut command = Command::new(telltail());
    command.args(["check", target]).env("TELLTAIL_SOCKET", node.socket());
    command
}

/// Runs `telltail doctor` beside a node's tailscaled, as if the node were a pod of its name in Kubernetes.
pub fn doctor(node: &Node, targets: &str, args: &[&str]) -> Command {
    let mut command = Command::new(telltail());
    command.arg("doctor").args(args).env("TELLTAIL_TARGETS", targets).env("TELLTAIL_SOCKET", node.socket());
    command.env("KUBERNETES_SERVICE_HOST", "10.96.0.1").env("POD_NAMESPACE", "prd").env("POD_NAME", node.name());
    command
}
