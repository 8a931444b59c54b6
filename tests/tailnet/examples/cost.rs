//! What telltail costs: itself, the tailscaled beside it, and those of its targets, with default settings.
//!
//!     cargo ship --target x86_64-unknown-linux-gnu && cargo run -p telltail-tailnet --example cost -- 600
//!
//! Six tailnets run side by side for so many seconds: userspace and TUN, without telltail, with it as shipped (10 s), and
//! with an interval of 60 s.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::{process::Command, time::Duration};

use telltail_tailnet::{Agent, Mode, Node, NodeProcess, Tailnet, Usage, Version};
use telltail_testkit::{eventually, target_folder};
use tokio::{
    join,
    time::{Instant, sleep_until},
};

const TARGETS: &str = "postgres://stackeye-db-prd:5432,valkey://stackeye-valkey-prd:6379";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let seconds = std::env::args().nth(1).map_or(Ok(600), |text| text.parse()).expect("seconds, a number");
    let time = Duration::from_secs(seconds);
    let all = |mode| async move {
        join!(measure(mode, None, time), measure(mode, Some("10s"), time), measure(mode, Some("60s"), time))
    };
    let (userspace, tun) = join!(all(Mode::Userspace), all(Mode::Tun));
    println!("{seconds} s, two targets; CPU in ms per second");
    println!(
        "{:<10} {:<9} {:<28} {:>8} {:>8} {:>9} {:>9} {:>8}",
        "mode", "interval", "process", "CPU", "without", "telltail", "RSS kB", "threads"
    );
    for (mode, (without, at_10, at_60)) in [("userspace", userspace), ("tun", tun)] {
        for (interval, with) in [("10s", at_10), ("60s", at_60)] {
            for (index, (name, cost)) in with.iter().enumerate() {
                // Telltail comes last, so that what was measured without it has the same places.
                let idle = without.get(index).map_or(0.0, |(_, cost)| cost.load);
                println!(
                    "{mode:<10} {interval:<9} {name:<28} {:>8.2} {idle:>8.2} {:>9.2} {:>9} {:>8}",
                    cost.load,
                    cost.load - idle,
                    cost.end.rss_bytes / 1024,
                    cost.end.threads,
                );
            }
        }
    }
}

struct Cost {
    /// Milliseconds of CPU in each second.
    load: f64,
    end: Usage,
}

async fn measure(mode: Mode, interval: Option<&str>, time: Duration) -> Vec<(String, Cost)> {
    let tailnet = Tailnet::start().await;
    let worker = tailnet.node("worker", Version::V1_102, mode).await;
    let db = tailnet.node("stackeye-db-prd", Version::V1_102, mode).await;
    let cache = tailnet.node("stackeye-valkey-prd", Version::V1_102, mode).await;
    let (_postgres, _valkey) = join!(db.postgres(&[]), cache.valkey(&[]));
    let shipped = target_folder().join("x86_64-unknown-linux-gnu/release/telltail");
    assert!(shipped.exists(), "{} is missing; run cargo ship --target x86_64-unknown-linux-gnu", shipped.display());
    let mut agent = None;
    if let Some(interval) = interval {
        let started = Agent::start_program(&shipped, &worker, TARGETS, &[("INTERVAL", interval)]).await;
        eventually("ready", Duration::from_secs(10), async || started.ready().await).await;
        agent = Some(started);
    }
    // What happens once at the start is not what it costs.
    sleep_until(Instant::now() + Duration::from_secs(15)).await;

    let daemon = |node: &Node| (format!("tailscaled of {}", node.name()), node.daemon());
    let daemons = [daemon(&worker), daemon(&db), daemon(&cache)];
    let mut processes: Vec<(String, &NodeProcess)> =
        daemons.iter().map(|(name, daemon)| (name.clone(), daemon.as_ref())).collect();
    processes.extend(agent.iter().map(|agent| ("telltail".to_owned(), agent.process())));
    let mut before = Vec::new();
    for (_, process) in &processes {
        before.push(process.usage().await);
    }
    sleep_until(Instant::now() + time).await;
    if interval.is_some() {
        // Ten milliseconds, in which the kernel counts elsewhere, are long for telltail. It is alone in its PID namespace.
        let show = "for pid in $(pgrep -x telltail); do cat /proc/$pid/schedstat; grep -E 'VmHWM|RssAnon' /proc/$pid/status; done";
        let shown = worker.run(Command::new("sh").args(["-c", show])).await;
        println!(
            "telltail beside {mode:?}, {interval:?}: ns on CPU, ns waiting, slices since its start; memory\n{}",
            shown.stdout
        );
    }
    let mut costs = Vec::new();
    for ((name, process), before) in processes.into_iter().zip(before) {
        let end = process.usage().await;
        let load = (end.cpu - before.cpu).as_secs_f64() * 1000.0 / time.as_secs_f64();
        costs.push((name, Cost { load, end }));
    }
    costs
}
