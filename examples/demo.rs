//! telltail on a simulated tailscaled, with a fake PostgreSQL and a fake Valkey: `cargo run --example demo`.
//!
//! Every minute PostgreSQL stops and starts again, and `/healthz` changes with it. Ctrl-C ends it.

use std::error::Error;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::time::Duration;
use tailscaled_sim::services::{Postgres, Server, Valkey};
use tailscaled_sim::{Peer, Tailscaled};
use telltail::agent::{self, MAGIC_DNS, RuntimeEnv, Signal};
use telltail::cli::AgentClient;
use telltail::config::{Environment, Source};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const TARGETS: &str = "postgres://db:5432,valkey://cache:6379?required=false";
/// When in each minute PostgreSQL stops, and when it starts again.
const STOP: Duration = Duration::from_secs(6);
const START: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let tailscaled = Tailscaled::start();
    let postgres = Server::start(Postgres::asking_for_password());
    let valkey = Server::start(Valkey::healthy());
    for (name, ip, port, server) in
        [("db", "100.64.0.2", 5432, postgres.addr()), ("cache", "100.64.0.3", 6379, valkey.addr())]
    {
        tailscaled.add_peer(Peer::new(name).ip(ip));
        tailscaled.forward(name, port, server);
    }

    let environment: Environment = [
        ("TELLTAIL_TARGETS", TARGETS),
        ("TELLTAIL_INTERVAL", "2s"),
        ("TELLTAIL_TIMEOUT", "900ms"),
        ("TELLTAIL_DRAIN", "0s"),
        ("TELLTAIL_SOCKET", &tailscaled.socket().display().to_string()),
    ]
    .into_iter()
    .collect();
    let mut source = Source::new(environment, None);
    let config = source.load()?.config;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    say(&format!(
        "telltail probes {TARGETS}\n\n  http://{address}/                 the status page\n  \
         http://{address}/healthz?verbose\n  http://{address}/metrics\n\n\
         In each minute PostgreSQL stops after {} s and starts again after {} s. Ctrl-C ends the demo.\n",
        STOP.as_secs(),
        START.as_secs(),
    ))?;

    let (signals, receiver) = mpsc::channel(1);
    let place = RuntimeEnv {
        pod_uid: "demo".to_owned(),
        pod_name: None,
        magic_dns: MAGIC_DNS,
        dropped_lines: Default::default(),
    };
    let agent = agent::run(config, source, place, listener, receiver);
    tokio::pin!(agent);
    tokio::select! {
        ended = &mut agent => ended?,
        ended = break_and_heal(&postgres) => ended?,
        ended = watch(address) => ended?,
        ended = tokio::signal::ctrl_c() => {
            ended?;
            signals.send(Signal::Shutdown).await?;
            agent.await?;
            say("Ended.\n")?;
        }
    }
    Ok(())
}

async fn break_and_heal(postgres: &Server<Postgres>) -> Result<(), Box<dyn Error>> {
    loop {
        sleep(STOP).await;
        postgres.stop();
        say(">>> PostgreSQL stops\n")?;
        sleep(START - STOP).await;
        postgres.start_again();
        say(">>> PostgreSQL starts again; telltail probes a target that is down every 30 s ± 20 %\n")?;
        sleep(MINUTE - START).await;
    }
}

/// Prints `/healthz` whenever readiness has changed.
async fn watch(agent: SocketAddr) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut before = None;
    loop {
        let (ready, page) = AgentClient::from(agent).healthz().await?;
        if before != Some(ready) {
            before = Some(ready);
            say(&format!("{:>4} s  /healthz {}\n{page}\n", begun.elapsed().as_secs(), if ready { 200 } else { 503 }))?;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(stdout(), "{text}")
}
