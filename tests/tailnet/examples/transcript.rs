//! UDP blocked and unblocked, as telltail's page, its log, `tailscale ping` and tailscaled's count of bytes show it, side
//! by side.
//!
//!     cargo build --bin telltail && cargo run -p telltail-tailnet --example transcript

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::time::Duration;

use telltail_tailnet::{Agent, Mode, Node, Tailnet, Version};
use telltail_testkit::eventually;
use tokio::{
    join,
    time::{Instant, sleep_until},
};

const DB: &str = "stackeye-db-prd";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(
        tailnet.node("worker", Version::V1_102, Mode::Userspace),
        tailnet.node(DB, Version::V1_102, Mode::Userspace)
    );
    let _postgres = db.postgres(&[]).await;
    let url = "postgres://stackeye-db-prd:5432?expect=no-derp";
    let agent = Agent::start(&worker, url, &[("INTERVAL", "5s"), ("TIMEOUT", "2s")]).await;
    eventually("direct", Duration::from_secs(15), async || agent.page().await.path(DB) == "direct").await;

    println!(
        "{:>4}  {:<26} {:<34} {:<28} bytes received since the row before",
        "s", "telltail_path", "ready, seconds on each path", "tailscale ping"
    );
    let begun = Instant::now();
    rows(&worker, &db, &agent, begun, 6).await;
    worker.block_udp(&db).await;
    println!("{:>4.0}  --- UDP blocked", begun.elapsed().as_secs_f64());
    rows(&worker, &db, &agent, begun, 30).await;
    worker.unblock_udp().await;
    println!("{:>4.0}  --- UDP unblocked", begun.elapsed().as_secs_f64());
    rows(&worker, &db, &agent, begun, 12).await;
    println!("\ntelltail's log\n{}", agent.log());
    let page = agent.page().await;
    println!("from /metrics, at the end");
    for line in page.text().lines().filter(|l| l.starts_with("telltail_path") || l.starts_with("telltail_target_trans"))
    {
        println!("{line}");
    }
}

async fn rows(worker: &Node, db: &Node, agent: &Agent<'_>, begun: Instant, seconds: u64) {
    let mut before = worker.bytes().await;
    for row in 0..seconds / 2 {
        let start = Instant::now();
        let page = agent.page().await;
        let region = page.region(DB).map_or(String::new(), |(code, id)| format!(" region {code} ({id})"));
        let unexpected = page.metric("telltail_path_unexpected", &[]) == Some(1.0);
        let path = format!("{}{region}{}", page.path(DB), if unexpected { " !" } else { "" });
        let on = |path| page.path_seconds(DB, Some(path));
        let ready = if page.modes().strict { "ready" } else { "NOT READY" };
        let seconds = format!("{ready}, direct {:.0} derp {:.0}", on("direct"), on("derp"));
        // Rarely: a ping is itself a reason for tailscaled to look for paths.
        let pong = if row % 3 == 0 { format!("{:?}", worker.ping(db).await) } else { String::new() };
        let now = worker.bytes().await;
        let received = now - before;
        before = now;
        println!(
            "{:>4.0}  {path:<26} {seconds:<34} {pong:<28} direct {} derp {}",
            begun.elapsed().as_secs_f64(),
            received.direct,
            received.derp,
        );
        sleep_until(start + Duration::from_secs(2)).await;
    }
}
