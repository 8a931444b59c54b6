//! A fleet of telltails that are not there, in a real Prometheus with our rules: what evaluating them costs.
//!
//! ```sh
//! cargo run -p telltail-watch --example synthetic -- --pods 1000
//! ```
//!
//! Every series of `tests/metrics.prom`, for each pod, with 35 minutes of history (no rule looks further back at a pod's
//! series) and a week of what the rules record; then a sample every 30 s. First of a fleet that is well, then of one whose
//! every tailscaled needs a login and whose every target is down. With `--hold`, Prometheus stays for queries until Ctrl-C.

#![allow(clippy::print_stdout)]

#[path = "synthetic/fleet.rs"]
mod fleet;
#[path = "synthetic/remote_write.rs"]
mod remote_write;

use fleet::{Fleet, recorded};
use remote_write::Receiver;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use telltail_testkit::eventually;
use telltail_watch::{Program, in_repository};
use tokio::time::{Instant, sleep};

/// Scrape and evaluation interval in seconds: the Prometheus operator's.
const STEP: u64 = 30;
/// History of the pods' series in seconds.
const HISTORY: u64 = 35 * 60;
/// History of recorded series in seconds.
const WEEK: u64 = 7 * 24 * 3600;
/// Evaluations of each fleet. The cheapest counts: the others tell of the machine's other work.
const ROUNDS: u64 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let pods = arguments.iter().position(|argument| argument == "--pods").and_then(|at| arguments.get(at + 1));
    let pods = pods.map_or(1000, |pods| pods.parse().expect("--pods wants a number"));

    let folder = tempfile::tempdir().expect("a temporary folder");
    let prometheus = start(folder.path()).await;
    let receiver = Receiver::new(prometheus.url());
    let ready = async || receiver.get("/-/ready").await.contains("is Ready");
    eventually("Prometheus is ready", Duration::from_secs(60), ready).await;
    let mut fleet = Fleet::new(pods);
    println!(
        "{} on {}: {pods} pods, {} series each",
        folder.path().display(),
        prometheus.url(),
        fleet.series_per_pod()
    );

    let begun = Instant::now();
    let start = now();
    // A head takes nothing that is an hour older than what it has: oldest first.
    for day in (start - WEEK..start - HISTORY).step_by(3600) {
        receiver.write(&recorded(day..(day + 3600).min(start - HISTORY), STEP)).await;
    }
    let mut sent = start - HISTORY;
    for pod in 0..pods {
        receiver.write(&fleet.pod(pod, sent..start, STEP)).await;
    }
    sent += (start - sent).div_ceil(STEP) * STEP;
    println!("history is in after {:.0?}", begun.elapsed());

    for outage in [false, true] {
        fleet.outage = outage;
        let mut costs = Costs::default();
        let mut rounds = 0;
        while rounds < ROUNDS {
            // While it catches up with the clock, nothing is measured.
            rounds += u64::from(sent >= now());
            live(&receiver, &fleet, &mut sent).await;
            if rounds > 1 {
                costs.measure(&receiver).await;
            }
        }
        println!("\nevery tailscaled and every target is {}:", if outage { "down" } else { "up" });
        costs.print(&receiver).await;
    }
    while flag("--hold") {
        live(&receiver, &fleet, &mut sent).await;
    }
}

/// The samples of every series that are due, or the next ones in their time.
async fn live(receiver: &Receiver, fleet: &Fleet, sent: &mut u64) {
    sleep(Duration::from_secs(sent.saturating_sub(now()))).await;
    let due = *sent..now() + 1;
    for pod in 0..fleet.pods {
        receiver.write(&fleet.pod(pod, due.clone(), STEP)).await;
    }
    *sent += (due.end - due.start).div_ceil(STEP) * STEP;
}

/// Unix time in seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

async fn start(folder: &Path) -> Program {
    let config = folder.join("prometheus.yml");
    let rules = in_repository("dashboards/rules/telltail.rules.yaml").canonicalize().expect("the rules");
    let text = format!("global: {{evaluation_interval: {STEP}s}}\nrule_files: [{}]\n", rules.display());
    std::fs::write(&config, text).expect("a configuration");
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", config.display())).arg("--web.enable-remote-write-receiver");
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    Program::start(&mut command, folder).await
}

/// Seconds that the groups and the rules took, each at its cheapest.
#[derive(Default)]
struct Costs {
    groups: BTreeMap<String, f64>,
    rules: BTreeMap<String, f64>,
}

impl Costs {
    async fn measure(&mut self, receiver: &Receiver) {
        let answer: Value = serde_json::from_str(&receiver.get("/api/v1/rules").await).expect("rules");
        for group in answer["data"]["groups"].as_array().into_iter().flatten() {
            keep_less(&mut self.groups, group);
            for rule in group["rules"].as_array().into_iter().flatten() {
                assert_eq!(rule["health"], "ok", "{rule}");
                keep_less(&mut self.rules, rule);
            }
        }
    }

    async fn print(&self, receiver: &Receiver) {
        let total: f64 = self.groups.values().sum();
        for (name, seconds) in &self.groups {
            println!("{:>8.1} ms  group {name}", seconds * 1000.0);
        }
        println!("{:>8.1} ms  all groups, every {STEP} s; of them the dearest rules:", total * 1000.0);
        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_by(|one, other| other.1.total_cmp(one.1));
        for (name, seconds) in rules.iter().take(6) {
            println!("{:>8.1} ms  {name}", *seconds * 1000.0);
        }
        let wanted = [
            "prometheus_tsdb_head_series ",
            "process_resident_memory_bytes",
            "prometheus_rule_group_iterations_missed",
        ];
        let metrics = receiver.get("/metrics").await;
        for line in metrics.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name))) {
            println!("{line}");
        }
    }
}

fn keep_less(costs: &mut BTreeMap<String, f64>, of: &Value) {
    let seconds = of["evaluationTime"].as_f64().unwrap_or(f64::INFINITY);
    let cost = costs.entry(of["name"].as_str().unwrap_or_default().to_owned()).or_insert(f64::INFINITY);
    *cost = cost.min(seconds);
}
