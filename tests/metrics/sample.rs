//! A configuration and a snapshot in which every row of the contract is there, and what tests need to vary them.

use prometheus::Registry;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telltail::config::{Config, Expect, Host, Kind, Target};
use telltail::health::TrackState;
use telltail::metrics::{Build, Metrics, ProbeOutcome};
use telltail::node::{Facts, Node, NodeState};
use telltail::path::{DerpRegion, Sample};
use telltail::probe::Detail;
use telltail::probe::Timings;
use telltail::probe::path_probe::PathProbe;
use telltail::reason::{Failure, Reason};
use telltail::state::{Change, PeerObservation, ProbeRecord, Probed, Round, Snapshot, State, TargetPeer};
use telltail::tailscale::{Answer, Call, Severity, Warning};
use tokio::time::Instant;

/// A release of a made-up version, so that the golden file outlives releases.
pub const BUILD: Build = Build { version: "1.2.3", revision: Some("0123abc") };

/// Metrics in a registry of their own, configured.
pub fn metrics(config: &Config) -> (Registry, Metrics) {
    let registry = Registry::new();
    let metrics = Metrics::new(registry.clone(), BUILD).expect("every family is in order");
    metrics.configure(config);
    (registry, metrics)
}

/// A second of the sample's day.
pub fn at(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(1_767_225_600.0 + seconds)
}

/// A target as its URL alone makes it.
pub fn target(name: &str, kind: Kind, port: u16) -> Target {
    Target::with_defaults(kind, Host::Name(name.to_owned()), port, None, None)
}

/// The two targets of a worker.
pub fn two() -> Vec<Target> {
    let cache = target("stackeye-valkey-prd", Kind::Valkey, 6379);
    vec![target("stackeye-db-prd", Kind::Postgres, 5432), Target { required: false, expect: Expect::NoDerp, ..cache }]
}

/// A configuration of these targets, else of defaults.
pub fn config(targets: Vec<Target>) -> Config {
    Config::with_defaults(targets.into_iter().map(Into::into).collect(), "9f86d081884c7d65".to_owned())
}

/// A tailscaled that is fine.
pub fn running() -> Node {
    let facts = Facts {
        online: true,
        version: "1.102.5-t0a1b2c3d4-g5e6f7a8b9".to_owned(),
        tun: false,
        hostname: "stackeye-worker-7d9f".to_owned(),
        key_expiry: Some(at(20_000_000.0)),
        home_region: "nyc".to_owned(),
        home_region_id: Some(1),
    };
    Node { state: NodeState::Running, fault: None, facts: Some(facts) }
}

/// A probe that succeeded in `connect` and `protocol` milliseconds.
pub fn success(seconds: f64, connect: Option<f64>, protocol: Option<f64>) -> Probed {
    let millis = |millis: f64| Duration::from_secs_f64(millis / 1000.0);
    let timings = Timings {
        resolve: Some(Duration::from_micros(12)),
        connect: connect.map(millis),
        protocol: protocol.map(millis),
    };
    Probed { at: at(seconds), outcome: Ok(Detail::AuthRequired), timings }
}

/// A probe that failed after the name was found.
pub fn failure(seconds: f64, reason: Reason, cause: &str) -> Probed {
    let timings = Timings { resolve: Some(Duration::from_micros(12)), ..Timings::default() };
    Probed { at: at(seconds), outcome: Err(Failure::new(reason, cause)), timings }
}

/// One pod's short life, told to state and metrics as the loop does it: both targets answer, then nobody listens on the
/// cache's port any more.
pub fn everything() -> (Registry, Metrics, Snapshot) {
    let config = Arc::new(config(two()));
    let (registry, metrics) = metrics(&config);
    let mut now = Instant::now();
    let state = State::new(Arc::clone(&config), now, at(0.0));
    state.set_warnings(vec![Warning {
        code: "no-derp-connection".to_owned(),
        severity: Severity::Medium,
        impacts_connectivity: true,
    }]);
    let refused = || failure(20.25, Reason::ConnectRefused, "connection refused");
    let rounds = [
        (success(10.5, Some(2.0), Some(0.9)), success(10.5, Some(31.0), Some(28.5))),
        (success(20.5, Some(2.1), Some(1.1)), refused()),
        (success(30.5, Some(260.0), None), refused()),
        (success(40.5, Some(1.9), Some(0.75)), refused()),
    ];
    for (db, cache) in rounds {
        let probes = config.targets.iter().zip([db, cache]);
        let probes: Vec<_> =
            probes.map(|(target, probed)| ProbeRecord { target: target.name.clone(), probed }).collect();
        for record in &probes {
            metrics.probe(&record.target, ProbeOutcome::Done(&record.probed));
        }
        let observations = config.targets.iter().map(|target| observation(&target.name)).collect();
        let at = probes[0].probed.at;
        let round = Round { at, node: running(), probes, observations, lag: Duration::from_millis(3) };
        now += Duration::from_secs(10);
        for change in state.record(round, now) {
            if let Change::Target(target, transition) = change {
                metrics.transition(&target, transition.to);
            }
        }
        metrics.localapi(Call::Status, Answer::Ok);
        metrics.localapi(Call::Dial, Answer::Ok);
    }
    metrics.probe("stackeye-db-prd", ProbeOutcome::Void);
    metrics.localapi(Call::Dial, Answer::None);
    // What the kubelet, Prometheus and a person ask for.
    for (route, code) in REQUESTS {
        metrics.http(route, code);
    }
    let snapshot = state.snapshot(now);
    assert_eq!(snapshot.targets[1].track.state(), TrackState::Down);
    (registry, metrics, snapshot)
}

/// Every answer that the kubelet's three probes, Prometheus and a person can get.
pub const REQUESTS: [(&str, u16); 8] = [
    ("healthz", 200),
    ("healthz", 503),
    ("index", 200),
    ("livez", 200),
    ("metrics", 200),
    ("startupz", 200),
    ("startupz", 503),
    ("status", 200),
];

/// The database is reached over DERP, the cache directly.
fn observation(target: &str) -> PeerObservation {
    let derp = target == "stackeye-db-prd";
    let sample = if derp { Sample::Derp(DerpRegion { id: 2, code: "sfo".to_owned() }) } else { Sample::Direct };
    let carrier = TargetPeer {
        id: target.to_owned(),
        address: [100, 64, 0, 2].into(),
        key_expiry: derp.then(|| at(30_000_000.0)),
    };
    let look = PathProbe { sample: Some(sample), round_trip: Some(Some(Duration::from_micros(1500))) };
    PeerObservation { target: target.to_owned(), carrier, look }
}
