//! The whole agent between real servers.

use std::net::SocketAddr;
use std::time::Duration;

use tailscaled_sim::{Peer, Tailscaled};
use telltail::agent::{self, MAGIC_DNS, RuntimeEnv, Signal};
use telltail::cli::AgentClient;
use telltail::config::{Environment, Source};
use telltail_servers::{Flavour, Postgres, Redis};
use telltail_testkit::{MetricsPage, PATIENCE, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Long enough for a server to start again between two probes.
const INTERVAL: &str = "4s";
const TARGETS: &str = "postgres://scram@stackeye-db-prd:5432,valkey://stackeye-valkey-prd:6379";

#[tokio::test]
async fn a_valkey_that_restarts_between_two_probes_counts_no_failure() {
    let postgres = Postgres::start(&["ssl=on"]).await;
    let mut valkey = Redis::start(Flavour::Valkey, &[]).await;
    let tailscaled = Tailscaled::start();
    for (name, ip, port, server) in [
        ("stackeye-db-prd", "100.64.0.2", 5432, postgres.address()),
        ("stackeye-valkey-prd", "100.64.0.3", 6379, valkey.address()),
    ] {
        tailscaled.add_peer(Peer::new(name).ip(ip));
        tailscaled.forward(name, port, server);
    }
    let socket = tailscaled.socket().display().to_string();
    let environment: Environment = [
        ("TELLTAIL_TARGETS", TARGETS),
        ("TELLTAIL_INTERVAL", INTERVAL),
        ("TELLTAIL_TIMEOUT", "1900ms"),
        ("TELLTAIL_DRAIN", "0s"),
        ("TELLTAIL_SOCKET", &socket),
    ]
    .into_iter()
    .collect();
    let mut source = Source::new(environment, None);
    let config = source.load().expect("a good configuration").config;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (signals, receiver) = mpsc::channel(1);
    let place = RuntimeEnv {
        pod_uid: "test".to_owned(),
        pod_name: None,
        magic_dns: MAGIC_DNS,
        dropped_lines: Default::default(),
    };

    let scenario = async {
        let probes = async |result: &str| {
            let labels = [("result", result), ("target", "stackeye-valkey-prd")];
            let page = MetricsPage::parse(page(address).await);
            page.sample("telltail_probes_total", &labels).expect("made with the target").value
        };
        eventually("ready", PATIENCE, async || matches!(AgentClient::from(address).healthz().await, Ok((true, _))))
            .await;
        let before = probes("success").await;
        eventually("the next probe", PATIENCE, async || probes("success").await > before).await;
        valkey.kill();
        valkey.start_again().await;
        eventually("two more probes", PATIENCE, async || probes("success").await >= before + 3.0).await;
        assert_eq!(probes("failure").await, 0.0);
        assert!(matches!(AgentClient::from(address).healthz().await, Ok((true, _))), "ready all the time");
        signals.send(Signal::Shutdown).await.expect("the agent runs");
    };
    let (ended, ()) = tokio::join!(agent::run(config, source, place, listener, receiver), scenario);
    ended.expect("an orderly end");
    assert_eq!(tailscaled.unexpected_requests(), Vec::<String>::new());
}

async fn page(agent: SocketAddr) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(agent).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: telltail\r\nConnection: close\r\n\r\n").await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        Ok::<_, std::io::Error>(response)
    };
    let response = tokio::time::timeout(Duration::from_secs(5), asked).await.expect("in time").expect("a response");
    response.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
}
