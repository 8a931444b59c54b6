//! What many agents cost the node that they all probe: its tailscaled and its PostgreSQL, before and with telltail.
//!
//!     cargo ship --target x86_64-unknown-linux-gnu && cargo run -p telltail-tailnet --example crowd -- 50 60
//!
//! So many workers, each with a tailscaled and a telltail at the default 10 s, for so many seconds.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::time::Duration;

use telltail_tailnet::{Agent, Mode, NodeProcess, Tailnet, Version};
use telltail_testkit::{eventually, target_folder};
use tokio::{
    join,
    time::{Instant, sleep_until},
};

const TARGETS: &str = "postgres://stackeye-db-prd:5432";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let (workers, seconds) = (arguments.next().unwrap_or(50), arguments.next().unwrap_or(60));
    let time = Duration::from_secs(seconds);
    let tailnet = Tailnet::start().await;
    let db = tailnet.node("stackeye-db-prd", Version::V1_102, Mode::Userspace).await;
    let postgres = db.postgres(&[]).await;
    let mut nodes = Vec::new();
    for number in 0..workers {
        nodes.push(tailnet.node(&format!("worker-{number}"), Version::V1_102, Mode::Userspace).await);
    }
    let shipped = target_folder().join("x86_64-unknown-linux-gnu/release/telltail");
    assert!(shipped.exists(), "{} is missing; run cargo ship --target x86_64-unknown-linux-gnu", shipped.display());

    let server = db.daemon();
    let worker = nodes[0].daemon();
    println!("CPU in ms per second over {seconds} s, {workers} workers on one server node");
    let before = join!(load(&server, time), load(&worker, time));
    let mut agents = Vec::new();
    for node in &nodes {
        agents.push(Agent::start_program(&shipped, node, TARGETS, &[]).await);
    }
    for agent in &agents {
        eventually("ready", Duration::from_secs(60), async || agent.ready().await).await;
    }
    let with = join!(load(&server, time), load(&worker, time));
    let database = postgres.server().usage().await;
    println!("{:<36} {:>8} {:>8}", "", "without", "with");
    println!("{:<36} {:>8.2} {:>8.2}", "tailscaled of the server", before.0, with.0);
    println!("{:<36} {:>8.2} {:>8.2}", "tailscaled of one worker", before.1, with.1);
    println!("postmaster since its start: {:?}, {} kB", database.cpu, database.rss_bytes / 1024);
}

/// Milliseconds of CPU in each second.
async fn load(process: &NodeProcess, time: Duration) -> f64 {
    sleep_until(Instant::now() + Duration::from_secs(15)).await;
    let begun = process.usage().await.cpu;
    sleep_until(Instant::now() + time).await;
    (process.usage().await.cpu - begun).as_secs_f64() * 1000.0 / time.as_secs_f64()
}
