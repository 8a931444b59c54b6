//! States and an application for the tests of this module.

use super::routes::{App, Route};
use crate::config::{Config, Depth, Expect, Gate, Host, Kind, Listen, LogFormat, Mode, Target, Via};
use crate::node::{Facts, Node, NodeState};
use crate::probe::Detail;
use crate::probe::Timings;
use crate::probe::path_probe::PathProbe;
use crate::reason::{Failure, Reason};
use crate::state::{PeerObservation, ProbeRecord, Probed, Round, State, TargetPeer};
use axum::http::StatusCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A required target.
pub(super) fn target(name: &str, kind: Kind) -> Target {
    Target {
        name: name.to_owned(),
        kind,
        host: Host::Name(format!("{name}.tail1234.ts.net")),
        port: 4321,
        user: None,
        database: None,
        required: true,
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        via: Via::Auto,
        depth: if kind == Kind::Tcp { Depth::Tcp } else { Depth::Protocol },
        expect: Expect::Any,
    }
}

pub(super) fn config(readiness: Mode, startup_gate: Gate) -> Config {
    let optional = Target { required: false, via: Via::Tcp, ..target("cache", Kind::Tcp) };
    Config {
        targets: vec![target("db", Kind::Postgres), target("valkey", Kind::Valkey), optional],
        socket: None,
        listen: Listen::Default,
        rise: 1,
        fall: 1,
        readiness,
        startup_gate,
        startup_release: Duration::from_secs(90),
        drain: Duration::from_secs(2),
        log: String::new(),
        log_format: LogFormat::Json,
        hash: String::new(),
    }
}

/// A state before its first round: postgres `db` and valkey `valkey` are required, tcp `cache` is not.
pub(super) fn fresh(readiness: Mode, startup_gate: Gate) -> Arc<State> {
    Arc::new(State::new(Arc::new(config(readiness, startup_gate)), Instant::now(), SystemTime::now()))
}

/// A round with these outcomes. Their causes hold text that `/healthz` must not show.
pub(super) fn round(node: Node, outcomes: &[(&str, Result<Detail, Reason>)]) -> Round {
    let probes = outcomes.iter().map(|(name, outcome)| ProbeRecord {
        target: (*name).to_owned(),
        probed: Probed {
            at: SystemTime::now(),
            outcome: outcome.map_err(|reason| Failure::new(reason, "dial 100.64.0.7: secret words")),
            timings: Timings::default(),
        },
    });
    let observations = outcomes.iter().map(|(name, _)| PeerObservation {
        target: (*name).to_owned(),
        carrier: TargetPeer { id: (*name).to_owned(), address: [100, 64, 0, 7].into(), key_expiry: None },
        look: PathProbe::default(),
    });
    let (probes, observations) = (probes.collect(), observations.collect());
    Round { at: SystemTime::now(), node, probes, observations, lag: Duration::ZERO }
}

pub(super) fn running(tun: bool) -> Node {
    let facts = Facts { online: true, version: "1.102.5".to_owned(), tun, ..Facts::default() };
    Node { state: NodeState::Running, fault: None, facts: Some(facts) }
}

pub(super) const ALL_UP: [(&str, Result<Detail, Reason>); 3] =
    [("db", Ok(Detail::AuthRequired)), ("valkey", Ok(Detail::Accepting)), ("cache", Ok(Detail::Connected))];
pub(super) const VALKEY_REFUSES: [(&str, Result<Detail, Reason>); 3] =
    [("db", Ok(Detail::AuthRequired)), ("valkey", Err(Reason::ConnectRefused)), ("cache", Err(Reason::ConnectTimeout))];

/// A state after the given round.
pub(super) fn after(readiness: Mode, outcomes: &[(&str, Result<Detail, Reason>)]) -> Arc<State> {
    let state = fresh(readiness, Gate::Tailnet);
    state.record(round(running(true), outcomes), Instant::now());
    state
}

/// Every response that was counted.
pub(super) type CountedResponses = Arc<Mutex<Vec<(Route, StatusCode)>>>;

pub(super) fn app(state: Arc<State>) -> (App, CountedResponses) {
    let counted = CountedResponses::default();
    let count = Arc::clone(&counted);
    let app = App {
        state,
        metrics: Arc::new(|snapshot| format!("telltail_ready {}\n", u8::from(snapshot.readiness().ready))),
        observe: Arc::new(move |route, status| count.lock().unwrap().push((route, status))),
    };
    (app, counted)
}
