//! A fleet of telltails that are not there, in a real Prometheus with our rules: what evaluating them costs.
//!
//! ```sh
//! cargo run -p telltail-watch --example synthetic -- --pods 1000 --outage
//! ```
//!
//! Every series of `tests/metrics.prom`, for each pod, with 35 minutes of history (no rule looks further back at a pod's
//! series) and a week of what the rules record; then a sample every 30 s. With `--outage`, every tailscaled is down and both
//! targets are on DERP, so that alerts fire for each pod. With `--hold`, Prometheus stays for queries until Ctrl-C.

#![allow(clippy::print_stdout)]

#[path = "synthetic/fleet.rs"]
mod fleet;
#[path = "synthetic/remote_write.rs"]
mod remote_write;

use fleet::{Fleet, recorded};
use remote_write::Receiver;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use telltail_watch::{Program, in_repository};
use tokio::time::{Instant, sleep};

/// Scrape and evaluation interval in seconds: the Prometheus operator's.
const STEP: u64 = 30;
/// History of the pods' series in seconds.
const HISTORY: u64 = 35 * 60;
/// History of recorded series in seconds.
const WEEK: u64 = 7 * 24 * 3600;
/// Evaluations after which is looked, so that `for` is over for some and caches are warm.
const ROUNDS: u64 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let pods = arguments.iter().position(|argument| argument == "--pods").and_then(|at| arguments.get(at + 1));
    let pods = pods.map_or(1000, |pods| pods.parse().expect("--pods wants a number"));

    let folder = tempfile::tempdir().expect("a temporary folder");
    let prometheus = start(folder.path()).await;
    let receiver = Receiver::new(prometheus.url());
    let fleet = Fleet::new(pods, flag("--outage"));
    println!(
        "{} on {}: {pods} pods, {} series each",
        folder.path().display(),
        prometheus.url(),
        fleet.series_per_pod()
    );

    let begun = Instant::now();
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
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

    let mut told = false;
    while !told || flag("--hold") {
        sleep(Duration::from_secs(sent.saturating_sub(now()))).await;
        for pod in 0..pods {
            receiver.write(&fleet.pod(pod, sent..sent + 1, STEP)).await;
        }
        sent += STEP;
        if !told && sent > start + ROUNDS * STEP {
            report(&receiver.get("/metrics").await);
            told = true;
        }
    }
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

/// What Prometheus says of itself.
fn report(metrics: &str) {
    let wanted = [
        "prometheus_rule_group_last_duration_seconds",
        "prometheus_rule_group_iterations_total",
        "prometheus_rule_group_iterations_missed_total",
        "prometheus_rule_evaluation_failures_total",
        "prometheus_tsdb_head_series ",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ];
    for line in metrics.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name))) {
        println!("{line}");
    }
}
