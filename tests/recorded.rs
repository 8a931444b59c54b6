//! Recorded responses of real tailscaleds while a path changed, replayed through the readers and the path tracker.
//!
//! The recordings are made by `cargo run -p telltail-tailnet --example record`, which also describes them.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::fs;
use std::path::Path as File;
use std::time::Duration;
use telltail::path::{CONFIRM, Path, PathTracker, Sample};
use telltail::probe::path_probe::{StatusPath, pong_sample};
use telltail::tailscale::{Peer, PingReply, Status};
use tokio::time::Instant;

/// Longest time to detect a path: 6.5 s of trust, an interval of 5 s, 7 s of confirmation, a ping that was missed.
const WITHIN: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_secs(5);

/// The recording from one change of the network to the next.
struct Scene {
    becomes: String,
    observations: Vec<(Duration, Peer, Option<PingReply>)>,
}

fn recorded(version: &str, name: &str) -> Vec<Scene> {
    let file = File::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(version).join(format!("{name}.jsonl"));
    let text = fs::read_to_string(&file).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let head = lines.next().unwrap();
    assert!(head["version"].as_str().unwrap().starts_with(version), "{head}");
    let target = head["target"].as_str().unwrap().parse().unwrap();
    let mut scenes: Vec<Scene> = Vec::new();
    for line in lines {
        if let Some(becomes) = line["becomes"].as_str() {
            scenes.push(Scene { becomes: becomes.to_owned(), observations: Vec::new() });
            continue;
        }
        let status = Status::read(line["status"].to_string().as_bytes()).unwrap();
        assert_eq!(
            (status.backend_state.as_str(), status.version.as_str()),
            ("Running", head["version"].as_str().unwrap())
        );
        let peer = status.peers.into_iter().find(|peer| peer.addresses.contains(&target)).unwrap();
        let ping = line.get("ping").filter(|ping| !ping.is_null());
        let reply = ping.map(|ping| PingReply::read(&ping.to_string(), &peer.addresses).unwrap());
        let at = line.get("answered_ms").unwrap_or(&line["at_ms"]).as_u64().unwrap();
        scenes.last_mut().unwrap().observations.push((Duration::from_millis(at), peer, reply));
    }
    scenes
}

/// A sample as `probe_path` makes it.
fn sample(peer: &Peer, reply: Option<PingReply>) -> Option<Sample> {
    StatusPath::of(peer).sample().or_else(|| match reply {
        None => Some(Sample::NoReply),
        Some(PingReply::Pong(pong)) => pong_sample(pong.via),
        Some(PingReply::Refused) => None,
    })
}

/// Replays a recording, with every observation or only those at telltail's times; returns the paths.
fn play(version: &str, name: &str, everything: bool) -> Vec<Path> {
    let start = Instant::now();
    let mut tracker = PathTracker::new(start);
    let (mut due, mut taken, mut now) = (start, Vec::new(), start);
    for scene in recorded(version, name) {
        let (begun, mut became) = (scene.observations[0].0, None);
        for (at, peer, reply) in scene.observations {
            now = start + at;
            if everything || now >= due {
                due = now + INTERVAL;
                if let Some(change) = sample(&peer, reply).and_then(|sample| tracker.observe(sample, now)) {
                    taken.push(change.to);
                }
                due = tracker.next_sample(now).map_or(due, |next| due.min(next));
            }
            let region = tracker.region().map(|region| region.code.as_str()).unwrap_or_default();
            let path = tracker.path().slug();
            let there = scene.becomes == path || scene.becomes == format!("{path} {region}");
            became = became.filter(|_| there).or(there.then_some(at));
        }
        let became = became.unwrap_or_else(|| panic!("{version} {name}: never became {}", scene.becomes));
        let limit = match scene.becomes.as_str() {
            "direct" => INTERVAL,
            "derp" | "derp nyc" => WITHIN,
            // tailscaled's own delays: 45 s and the rest of its trust until a peer is idle, finding a relay, changing its home.
            _ => Duration::from_secs(65),
        };
        assert!(became - begun <= limit, "{version} {name}: {} after {:?}", scene.becomes, became - begun);
        if scene.becomes.starts_with("derp n") || scene.becomes == "derp" {
            assert!(became - begun >= CONFIRM, "{version} {name}: believed too early");
        }
    }
    assert_eq!(tracker.seconds(now).iter().sum::<Duration>(), now - start);
    taken
}

fn plays(version: &str, name: &str, expected: &[Path]) {
    for everything in [true, false] {
        let taken = play(version, name, everything);
        assert_eq!(taken, expected, "{version} {name}, everything: {everything}");
    }
}

#[test]
fn udp_blocked_and_unblocked() {
    for version in ["1.102.5", "1.80.3"] {
        plays(version, "direct-derp-direct", &[Path::Direct, Path::Derp, Path::Direct]);
    }
}

#[test]
fn an_idle_peer() {
    for version in ["1.102.5", "1.80.3"] {
        plays(version, "idle", &[Path::Direct, Path::Idle]);
    }
}

#[test]
fn a_peer_relay() {
    for everything in [true, false] {
        let taken = play("1.102.5", "peer-relay", everything);
        // Whether a relay is found before it has to be called DERP depends on when one was last looked for.
        let through_derp = [Path::Direct, Path::Derp, Path::PeerRelay];
        assert!(taken == [Path::Direct, Path::PeerRelay] || taken == through_derp, "{taken:?}");
    }
}

#[test]
fn another_home_region() {
    for everything in [true, false] {
        let taken = play("1.102.5", "home-region-change", everything);
        assert_eq!(taken[..2], [Path::Direct, Path::Derp], "{taken:?}");
        assert!(!taken[2..].contains(&Path::Direct), "{taken:?}");
    }
}
