use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use telltail_deploy::{
    Charts, Mode, Worker,
    kubelet::{Event, Files, Image, Pod},
};
use telltail_tailnet::{Mode as NodeMode, Node, Postgres, Tailnet, Valkey, Version, program};
use telltail_testkit::{eventually, repository, telltail};

/// The lab's control server by name, as in production, where it is no address either.
const CONTROL: &str = "controlplane.lab";
const LAB_HOST: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 99, 0, 1);

/// A tailnet with production's two services on two nodes, and the charts.
pub struct Cluster {
    pub tailnet: Tailnet,
    pub database: Node,
    pub postgres: Postgres,
    pub valkey: Valkey,
    charts: Charts,
}

impl Cluster {
    pub async fn new() -> Self {
        let charts = Charts::prepare();
        let tailnet = Tailnet::start().await;
        tailnet.set_cluster_name(CONTROL, Some(LAB_HOST)).await;
        let database = tailnet.node("stackeye-db-prd", Version::V1_102, NodeMode::Userspace).await;
        let cache = tailnet.node("stackeye-valkey-prd", Version::V1_102, NodeMode::Userspace).await;
        let (postgres, valkey) = (database.postgres(&[]).await, cache.valkey(&[]).await);
        Self { tailnet, database, postgres, valkey, charts }
    }

    /// The chart for production in NYC3. What differs from production is said with its own values: the control server's
    /// name, and the lab's suffix and DNS.
    pub fn render(&self, mode: Mode, values: &[&str]) -> Vec<Value> {
        let worker = Worker { cluster: "nyc3", environment: "prd", mode };
        let login = format!("worker.tailscale.extraArgs={{--login-server=http://{CONTROL}:8080}}");
        let mut more = vec!["--set", &login];
        let suffix = format!("worker.tailscale.tailnet={}", self.tailnet.suffix());
        let dns = format!("worker.tailscale.clusterDNS={LAB_HOST}");
        if mode == Mode::Tun {
            more.extend(["--set", &suffix, "--set", &dns]);
        }
        more.extend(values.iter().flat_map(|value| ["--set", value]));
        self.charts.render(worker, &more)
    }

    pub async fn start(&self, manifests: &[Value]) -> Pod {
        let auth = Files::from([("authkey".to_owned(), "tskey-auth-any".to_owned())]);
        let secrets = BTreeMap::from([("tailscale-auth".to_owned(), auth)]);
        Pod::start(&self.tailnet, manifests, &images(), &secrets).await
    }
}

/// The programs that stand for the images.
fn images() -> BTreeMap<String, Image> {
    let image = |entrypoint: &[&str], contents: &[(PathBuf, &str)]| Image {
        entrypoint: entrypoint.iter().map(|word| (*word).to_owned()).collect(),
        contents: contents.iter().map(|(source, target)| (source.clone(), PathBuf::from(target))).collect(),
    };
    let tailscale = image(&["/usr/local/bin/containerboot"], &[(program("1.102.5"), "/usr/local/bin")]);
    let telltail = image(&["/telltail"], &[(telltail(), "/telltail")]);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("worker");
    let worker = image(&["/venv/bin/python", "/worker/worker.py"], &[(venv(), "/venv"), (sources, "/worker")]);
    [("tailscale/tailscale", tailscale), ("ghcr.io/stackeye/telltail", telltail), ("ghcr.io/stackeye/worker", worker)]
        .map(|(repository, image)| (repository.to_owned(), image))
        .into()
}

fn venv() -> PathBuf {
    let venv = repository().join("target/deploy/worker");
    assert!(venv.join("bin/python").exists(), "{} is missing: run tests/deploy/install", venv.display());
    venv
}

pub const CONTAINERS: [&str; 3] = ["worker", "telltail", "tailscale"];

/// Time for a pod to start beside others, on two cores.
pub const START: Duration = Duration::from_secs(30);
/// What scheduling may add to a promised time on a busy machine.
pub const SLACK: Duration = Duration::from_secs(2);
/// The kubelet's part in the way from a fault to NotReady: two readiness probes, 5 s apart.
pub const KUBELET: Duration = Duration::from_secs(10);

/// Waits until a round that the worker begins now or later was answered by both services.
pub async fn worker_is_served(pod: &Pod) {
    let rounds = || pod.log("worker").lines().map(str::to_owned).collect::<Vec<_>>();
    // The one that is going on may have asked before.
    let before = rounds().len() + 1;
    let answered = async || rounds().iter().skip(before).any(|line| served(line));
    eventually("the worker's database and cache answer", START, answered).await;
}

/// Does this line of the worker's say that both services answered?
pub fn served(line: &str) -> bool {
    line.contains("SELECT 1 -> 1") && line.contains("PING -> True, GET -> was here")
}

/// Waits until the pod runs whole and is Ready, and asserts that the worker waited for the gate.
pub async fn becomes_ready(pod: &Pod) -> Duration {
    let gate = starts_in_order(pod).await;
    pod.sees(&Event::Ready(true), gate, START).await
}

/// Waits until the worker runs, and asserts that each container waited for the one before.
pub async fn starts_in_order(pod: &Pod) -> Duration {
    let began = Duration::ZERO;
    let worker = pod.sees(&running("worker"), began, START).await;
    let gate = pod.sees(&started("telltail"), began, worker).await;
    let telltail = pod.sees(&running("telltail"), began, worker).await;
    let tailscale = pod.sees(&started("tailscale"), began, worker).await;
    assert!(tailscale <= telltail && telltail < gate && gate <= worker, "{}", pod.timeline());
    gate
}

/// Asserts that no container was started twice since a time.
pub fn nothing_restarted(pod: &Pod, since: Duration) {
    let restarted = |event: &Event| matches!(event, Event::Running(..) | Event::Exited(..) | Event::Restarting(..));
    assert!(!pod.saw(since, restarted), "{}", pod.timeline());
}

pub fn running(name: &str) -> Event {
    Event::Running(name.to_owned(), 0)
}

pub fn started(name: &str) -> Event {
    Event::Started(name.to_owned())
}

pub fn exited(name: &str, code: i32) -> Event {
    Event::Exited(name.to_owned(), code)
}

/// Prints what happened, and what telltail logged of it, in one piece: other tests print as well.
#[expect(clippy::print_stdout, reason = "the time line is for whoever reads the test's output")]
pub fn show(title: &str, pod: &Pod) {
    let log = pod.log("telltail");
    let logged: String =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).map(|line| sentence(&line)).collect();
    println!("\n== {title}\n{}telltail logged:\n{logged}", pod.timeline());
}

fn sentence(line: &Value) -> String {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    let more = ["target", "reason", "scope", "cause", "from", "to"].map(text).join(" ");
    format!("{}  {} {}\n", text("timestamp"), text("message"), more.split_whitespace().collect::<Vec<_>>().join(" "))
}
