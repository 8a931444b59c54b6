//! A configuration and a snapshot in which every row of the contract is there, and what tests need to vary them.

use prometheus::Registry;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telltail::config::{Config, Expect, Host, Kind, Target};
use telltail::health::TrackState;
use telltail::metrics::{Build, Metrics, TargetMetrics};
use telltail::network_mode::NetworkMode;
use telltail::node::{Facts, Node, NodeState};
use telltail::path::{DerpRegion, Sample};
use telltail::peer::PathObservation;
use telltail::peer::TargetPeer;
use telltail::peer::{PathProbe, RoundTripSample};
use telltail::probe_result::{Detail, ProbeOutcome, ProbeResult, Timings};
use telltail::reason::{Failure, Reason};
use telltail::state::{Change, NodeReading, Snapshot, State, TurnRecord};
use telltail::tailscale::{Call, CallResult, Severity, Warning};
use tokio::time::Instant;

/// A release of a made-up version, so that the golden file outlives releases.
pub const BUILD: Build = Build { version: "1.2.3", revision: Some("0123abc") };

/// A pod's metrics and state.
pub struct SamplePod {
    /// Its metrics.
    pub metrics: Metrics,
    /// Of each target, in the configuration's order.
    pub targets: Vec<TargetMetrics>,
    /// Its state.
    pub snapshot: Snapshot,
}

impl SamplePod {
    /// A pod that has not probed yet.
    pub fn new(config: &Config) -> Self {
        let metrics = Metrics::new(Registry::new(), BUILD, Arc::default()).expect("every family is in order");
        let targets = config.targets.iter().map(|target| metrics.target(target)).collect();
        Self { metrics, targets, snapshot: fresh(config) }
    }
}

/// The state before the first round.
pub fn fresh(config: &Config) -> Snapshot {
    State::new(Arc::new(config.clone()), Instant::now(), at(0.0)).snapshot(Instant::now())
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
        mode: NetworkMode::Userspace,
        hostname: "stackeye-worker-7d9f".to_owned(),
        key_expiry: Some(at(20_000_000.0)),
        home_region: "nyc".to_owned(),
        home_region_id: Some(1),
    };
    Node { state: NodeState::Running, fault: None, facts: Some(facts) }
}

/// A probe that succeeded in `connect` and `protocol` milliseconds.
pub fn success(seconds: f64, connect: Option<f64>, protocol: Option<f64>) -> ProbeResult {
    let millis = |millis: f64| Duration::from_secs_f64(millis / 1000.0);
    let timings = Timings {
        resolve: Some(Duration::from_micros(12)),
        connect: connect.map(millis),
        protocol: protocol.map(millis),
    };
    ProbeResult { at: at(seconds), outcome: Ok(Detail::AuthRequired), timings, elapsed: Duration::ZERO }
}

/// A probe that failed after the name was found.
pub fn failure(seconds: f64, reason: Reason, cause: &str) -> ProbeResult {
    let timings = Timings { resolve: Some(Duration::from_micros(12)), ..Timings::default() };
    ProbeResult { at: at(seconds), outcome: Err(Failure::new(reason, cause)), timings, elapsed: Duration::ZERO }
}

/// One pod's short life, told to state and metrics as the loop does it: both targets answer, then nobody listens on the
/// cache's port any more.
pub fn everything() -> SamplePod {
    let config = Arc::new(config(two()));
    let mut pod = SamplePod::new(&config);
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
        now += Duration::from_secs(10);
        let at = db.at;
        state.record_node(NodeReading { at, node: running(), lag: Duration::from_millis(3) }, now);
        for (index, probe) in [db, cache].into_iter().enumerate() {
            let target = &pod.targets[index];
            target.probe(&probe);
            let path = Some(observation(&config.targets[index].name));
            for change in state.record_turn(index, TurnRecord { at, probe: ProbeOutcome::Done(probe), path }, now) {
                if let Change::Target(_, change) = change {
                    target.transition(change.to);
                }
            }
        }
        pod.metrics.localapi(Call::Status, CallResult::Ok);
        pod.metrics.localapi(Call::Dial, CallResult::Ok);
    }
    pod.targets[0].aborted();
    pod.metrics.localapi(Call::Dial, CallResult::NoAnswer);
    // What the kubelet, Prometheus and a person ask for.
    for (route, code) in REQUESTS {
        pod.metrics.http(route, code);
    }
    pod.snapshot = state.snapshot(now);
    assert_eq!(pod.snapshot.targets[1].track.state(), TrackState::Down);
    pod
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
fn observation(target: &str) -> PathObservation {
    let derp = target == "stackeye-db-prd";
    let sample = if derp { Sample::Derp(DerpRegion { id: 2, code: "sfo".to_owned() }) } else { Sample::Direct };
    let address = [100, 64, 0, 2].into();
    let peer = TargetPeer {
        id: target.to_owned(),
        name: format!("{target}.tail1234.ts.net"),
        address,
        addresses: vec![address],
        node_addresses: vec![address],
        online: true,
        key_expiry: derp.then(|| at(30_000_000.0)),
    };
    let round_trip = RoundTripSample::Measured(Duration::from_micros(1500));
    PathObservation { peer, probe: PathProbe { sample: Some(sample), round_trip } }
}
