//! Records what a real tailscaled answers while a path changes, as data for `tests/recorded.rs`.
//!
//!     cargo run -p telltail-tailnet --example record
//!
//! Each recording is a file of lines of JSON: a head, then what was done, and once a second what `status` said (only the
//! peer of interest, only what can matter; the values as they came) and, where `status` cannot tell, how a ping was
//! answered.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::{fs, path::Path, time::Duration};

use serde_json::{Map, Value, json};
use telltail_tailnet::{Mode, Node, Region, Tailnet, Version};
use tokio::{
    join,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for version in [Version::V1_102, Version::V1_80] {
        join!(direct_derp_direct(version), idle(version));
    }
    join!(peer_relay(), home_region_change());
}

async fn direct_derp_direct(version: Version) {
    let tailnet = Tailnet::start().await;
    let mut tape = Tape::start(&tailnet, version).await;
    tape.run("direct", 10, true).await;
    let (worker, db) = tape.nodes();
    worker.block_udp(&db).await;
    tape.run("derp", 30, true).await;
    worker.unblock_udp().await;
    tape.run("direct", 12, true).await;
    tape.save("direct-derp-direct");
}

async fn idle(version: Version) {
    let tailnet = Tailnet::start().await;
    let mut tape = Tape::start(&tailnet, version).await;
    tape.run("direct", 8, true).await;
    tape.run("idle", 62, false).await;
    tape.save("idle");
}

async fn peer_relay() {
    let tailnet = Tailnet::start().await;
    tailnet.grant_peer_relays().await;
    let relay = tailnet.node("relay", Version::V1_102, Mode::Userspace).await;
    relay.tailscale(["set", "--relay-server-port=40000"]).await.expect_success("relay");
    let mut tape = Tape::start(&tailnet, Version::V1_102).await;
    tape.run("direct", 8, true).await;
    let (worker, db) = tape.nodes();
    join!(worker.block_udp(&db), db.block_udp(&worker));
    tape.run("peer_relay", 50, true).await;
    tape.save("peer-relay");
}

/// The home of both ends moves while they talk over DERP.
async fn home_region_change() {
    let tailnet = Tailnet::start().await;
    let mut tape = Tape::start(&tailnet, Version::V1_102).await;
    tape.run("direct", 8, true).await;
    let (worker, db) = tape.nodes();
    worker.block_udp(&db).await;
    tape.run("derp nyc", 25, true).await;
    tailnet.stop_region(Region::Nyc).await;
    tape.run("derp sfo", 50, true).await;
    tape.save("home-region-change");
}

struct Tape {
    worker: Node,
    db: Node,
    version: Version,
    begun: Instant,
    dialled: Option<Instant>,
    lines: Vec<Value>,
}

/// As often as telltail would with this interval.
const DIAL_EVERY: Duration = Duration::from_secs(5);

impl Tape {
    async fn start(tailnet: &Tailnet, version: Version) -> Self {
        let (worker, db) = join!(
            tailnet.node("worker", version, Mode::Userspace),
            tailnet.node("stackeye-db-prd", version, Mode::Userspace)
        );
        let head = json!({"version": worker.status().await["Version"], "mode": "userspace", "target": db.ip()});
        Self { worker, db, version, begun: Instant::now(), dialled: None, lines: vec![head] }
    }

    fn nodes(&self) -> (Node, Node) {
        (self.worker.clone(), self.db.clone())
    }

    /// Records for so long, in which the path is to become this one.
    async fn run(&mut self, path: &str, seconds: u32, dials: bool) {
        self.lines.push(json!({"at_ms": self.now(), "becomes": path}));
        let mut clock = interval(Duration::from_secs(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = Instant::now() + Duration::from_secs(seconds.into());
        while Instant::now() < end {
            clock.tick().await;
            if dials && self.dialled.is_none_or(|last| last.elapsed() >= DIAL_EVERY) {
                self.dialled = Some(Instant::now());
                self.worker.dial(self.db.ip(), 1, Duration::from_secs(2)).await;
            }
            let at = self.now();
            let status = self.status().await;
            let peer = &status["Peer"].as_object().and_then(|peers| peers.values().next().cloned()).unwrap_or_default();
            let has_address = |field: &str| peer[field].as_str().is_some_and(|text| !text.is_empty());
            let mut line = json!({"at_ms": at, "status": status});
            if peer["Active"] == true && !has_address("CurAddr") && !has_address("PeerRelay") {
                line["ping"] = self.ping().await;
                line["answered_ms"] = json!(self.now());
            }
            self.lines.push(line);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn ping(&self) -> Value {
        let path = format!("ping?ip={}&type=disco", self.db.ip());
        let answer = timeout(Duration::from_secs(2), self.worker.localapi("POST", &path)).await;
        answer.map_or(Value::Null, |answer| serde_json::from_str(&answer.body).expect("JSON"))
    }

    async fn status(&self) -> Value {
        let mut status = only(
            &self.worker.status().await,
            &["Version", "TUN", "BackendState", "Self", "CurrentTailnet", "ExtraRecords", "Peer"],
        );
        let own = ["HostName", "DNSName", "TailscaleIPs", "Online", "KeyExpiry", "Relay"];
        status["Self"] = only(&status["Self"], &own);
        let peers = status["Peer"].as_object().into_iter().flatten();
        let ip = json!(self.db.ip());
        let one = peers.filter(|(_, peer)| peer["TailscaleIPs"][0] == ip).map(|(key, peer)| {
            let fields = [
                "ID",
                "HostName",
                "DNSName",
                "TailscaleIPs",
                "AllowedIPs",
                "Addrs",
                "CurAddr",
                "Relay",
                "PeerRelay",
                "RxBytes",
                "TxBytes",
                "LastWrite",
                "LastHandshake",
                "Online",
                "Active",
                "KeyExpiry",
                "Expired",
            ];
            (key.clone(), only(peer, &fields))
        });
        status["Peer"] = Value::Object(one.collect());
        status
    }

    fn save(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recorded").join(self.version.number());
        fs::create_dir_all(&folder).expect("the repository is writable");
        let lines: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(folder.join(format!("{name}.jsonl")), lines).expect("the repository is writable");
        println!("{} {name}: {} lines", self.version.number(), self.lines.len());
    }
}

fn only(object: &Value, fields: &[&str]) -> Value {
    let kept = fields.iter().filter_map(|field| Some(((*field).to_owned(), object.get(field)?.clone())));
    Value::Object(kept.collect::<Map<_, _>>())
}
