//! A tailnet with a database and a cache, four pods in two clusters, and what watches them.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use serde_json::{Value, json};
use telltail_tailnet::{Agent, Mode, Node, NodeProcess, Postgres, Tailnet, Valkey, Version};
use telltail_testkit::eventually;
use telltail_watch::{prometheus::Api, read, speed_up::speed_up};
use tokio::join;

/// An hour passes in forty seconds.
pub const FACTOR: u32 = 90;
pub const DB: &str = "stackeye-db-prd";
pub const CACHE: &str = "stackeye-valkey-prd";
/// Names of the pods, and their clusters.
pub const PODS: [(&str, &str); 4] = [
    ("stackeye-worker-nyc3-a", "nyc3"),
    ("stackeye-worker-nyc3-b", "nyc3"),
    ("stackeye-worker-nyc3-c", "nyc3"),
    ("stackeye-worker-sfo3-a", "sfo3"),
];
const MODES: [&str; 4] = ["strict", "strict", "local", "observe"];
const TARGETS: &str = "postgres://stackeye-db-prd:5432,valkey://stackeye-valkey-prd:6379";
/// Every two seconds: to the hurried rules, ten would be a quarter of an hour.
const SETTINGS: [(&str, &str); 2] = [("INTERVAL", "2s"), ("TIMEOUT", "900ms")];
const START: Duration = Duration::from_secs(20);

/// The nodes, which everything else borrows.
pub struct Nodes {
    pub tailnet: Tailnet,
    pub db: Node,
    pub cache: Node,
    pub pods: Vec<Node>,
    monitoring: Node,
}

/// What runs on them.
pub struct Fixture<'a> {
    nodes: &'a Nodes,
    pub postgres: Postgres,
    pub prometheus: Api,
    pub alertmanager: Api,
    pub agents: Vec<Agent<'a>>,
    webhook: NodeProcess,
    _programs: Vec<NodeProcess>,
    _valkey: Valkey,
}

impl Nodes {
    pub async fn start() -> Self {
        let tailnet = Tailnet::start().await;
        let node = |name| tailnet.node(name, Version::V1_102, Mode::Tun);
        let (db, cache, monitoring) = join!(node(DB), node(CACHE), node("monitoring"));
        let [a, b, c, d] = PODS.map(|(name, _)| node(name));
        let (a, b, c, d) = join!(a, b, c, d);
        // Far enough not to alarm, so that the dashboards have a date to show.
        a.set_own_key_expiry(Some(Duration::from_hours(24 * 90))).await;
        a.set_key_expiry_of(&db, Some(Duration::from_hours(24 * 60))).await;
        Self { db, cache, monitoring, pods: vec![a, b, c, d], tailnet }
    }
}

impl<'a> Fixture<'a> {
    pub async fn start(nodes: &'a Nodes) -> Self {
        let (postgres, valkey) = join!(nodes.db.postgres(&[]), nodes.cache.valkey(&[]));
        let mut agents = Vec::new();
        for (pod, mode) in nodes.pods.iter().zip(MODES) {
            let [interval, timeout] = SETTINGS;
            agents.push(Agent::start(pod, TARGETS, &[interval, timeout, ("READINESS", mode)]).await);
        }
        let folder = nodes.tailnet.folder();
        fs::write(folder.join("telltail.rules.yaml"), rules()).expect("own folder");
        fs::write(folder.join("prometheus.yaml"), SCRAPE.replace("FOLDER", &folder.display().to_string()))
            .expect("own folder");
        fs::write(folder.join("alertmanager.yaml"), routes()).expect("own folder");
        let webhook = nodes.monitoring.spawn(&Command::new(env!("CARGO_BIN_EXE_webhook"))).await;
        let programs = vec![
            nodes.monitoring.spawn(&prometheus(folder.into())).await,
            nodes.monitoring.spawn(&alertmanager(folder.into())).await,
            nodes.monitoring.spawn(&relay(folder.join("prometheus.sock"), 9090)).await,
            nodes.monitoring.spawn(&relay(folder.join("alertmanager.sock"), 9093)).await,
        ];
        let fixture = Self {
            nodes,
            postgres,
            prometheus: Api::Socket(folder.join("prometheus.sock")),
            alertmanager: Api::Socket(folder.join("alertmanager.sock")),
            agents,
            webhook,
            _programs: programs,
            _valkey: valkey,
        };
        fixture.scrape(&[0, 1, 2, 3]);
        eventually("Prometheus scrapes every pod", START, async || {
            let up = fixture.prometheus.at("up == 1", now()).await;
            up.is_ok_and(|up| up.len() == PODS.len())
        })
        .await;
        eventually("Alertmanager is ready", START, async || {
            fixture.alertmanager.get("/-/ready").await.is_ok_and(|body| body.contains("OK"))
        })
        .await;
        fixture
    }

    /// Which pods there are, as Kubernetes would tell Prometheus.
    pub fn scrape(&self, pods: &[usize]) {
        let targets = pods.iter().map(|&index| {
            let (pod, cluster) = PODS[index];
            let labels = json!({"cluster": cluster, "environment": "prd", "namespace": "stackeye", "pod": pod});
            json!({"targets": [self.agents[index].outside_address()], "labels": labels})
        });
        let folder = self.nodes.tailnet.folder();
        // Renamed into place, so that nobody reads half a file.
        fs::write(folder.join("pods.new"), Value::from(targets.collect::<Vec<_>>()).to_string()).expect("own folder");
        fs::rename(folder.join("pods.new"), folder.join("pods.json")).expect("own folder");
    }

    /// What Alertmanager has sent so far: one item for each alert in each message, in order.
    pub fn sent(&self) -> Vec<SentAlert> {
        let log = self.webhook.log();
        let messages = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        messages.flat_map(|message| message["alerts"].as_array().cloned().unwrap_or_default()).map(SentAlert).collect()
    }
}

/// One alert in one of Alertmanager's messages.
#[derive(Debug, Clone)]
pub struct SentAlert(Value);

impl SentAlert {
    pub fn label(&self, name: &str) -> &str {
        self.0["labels"][name].as_str().unwrap_or_default()
    }

    pub fn annotation(&self, name: &str) -> &str {
        self.0["annotations"][name].as_str().unwrap_or_default()
    }

    /// `firing` or `resolved`.
    pub fn status(&self) -> &str {
        self.0["status"].as_str().unwrap_or_default()
    }

    /// What makes it another alert than the others.
    pub fn labels(&self) -> String {
        self.0["labels"].to_string()
    }
}

/// Unix time in seconds.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

const SCRAPE: &str = "
global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}
rule_files: [FOLDER/telltail.rules.yaml]
alerting: {alertmanagers: [{static_configs: [{targets: [127.0.0.1:9093]}]}]}
scrape_configs:
  - job_name: telltail
    file_sd_configs: [{files: [FOLDER/pods.json]}]
";

/// Alerts that wait for longer than the others, for what cannot be hurried: telltail asks a target that is down each 30 s, give
/// or take a fifth, so that pods see one after the other that it is back; Prometheus looks every 5 s which pods there are; and
/// how busy the test machine is tells nothing.
const UNHURRIED: [(&str, &str); 4] = [
    ("TelltailTargetDownInPod", "40s"),
    ("TelltailAgentDown", "10s"),
    ("TelltailLatencyHigh", "15m"),
    ("TelltailRoundsLate", "10m"),
];

/// The shipped rules, in a hurry.
fn rules() -> String {
    let mut rules = speed_up(&read("dashboards/rules/telltail.rules.yaml"), FACTOR);
    for (alert, wait) in UNHURRIED {
        let (before, rest) = rules.split_once(&format!("- alert: {alert}\n")).expect("the alert is shipped");
        let (expr, after) = rest.split_once(" for: ").expect("it waits");
        let (_, after) = after.split_once('\n').expect("more follows");
        rules = format!("{before}- alert: {alert}\n{expr} for: {wait}\n{after}");
    }
    rules
}

/// The shipped routes and inhibitions; what they leave open, the receivers, leads to the webhook.
fn routes() -> String {
    let shipped = read("dashboards/alertmanager/inhibit.example.yaml");
    let to_us = "\n    webhook_configs: [{url: 'http://127.0.0.1:9099/'}]";
    let mut routes = speed_up(&shipped, FACTOR);
    for receiver in ["telltail-page", "telltail-team"] {
        let open = format!("  - name: {receiver}");
        assert!(routes.contains(&open), "{receiver} is no receiver of the shipped routes");
        routes = routes.replace(&open, &format!("{open}{to_us}"));
    }
    routes
}

fn prometheus(folder: PathBuf) -> Command {
    let mut command = Command::new("prometheus");
    command.arg("--config.file").arg(folder.join("prometheus.yaml"));
    command.arg("--storage.tsdb.path").arg(folder.join("tsdb"));
    command.args(["--web.listen-address=127.0.0.1:9090", "--query.lookback-delta=5s", "--log.level=warn"]);
    command
}

fn alertmanager(folder: PathBuf) -> Command {
    let mut command = Command::new("prometheus-alertmanager");
    command.arg("--config.file").arg(folder.join("alertmanager.yaml"));
    command.arg("--storage.path").arg(folder.join("alerts"));
    command.args(["--web.listen-address=127.0.0.1:9093", "--cluster.listen-address=", "--log.level=warn"]);
    command
}

fn relay(socket: PathBuf, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.arg(socket).arg(port.to_string());
    command
}
