//! States and an application for the tests of this module.

use super::routes::{App, Route};
use crate::config::{Config, Gate, Host, Kind, Mode, Target, Via};
use crate::network_mode::NetworkMode;
use crate::node::{Facts, Node, NodeState};
use crate::peer::PathObservation;
use crate::peer::PathProbe;
use crate::peer::TargetPeer;
use crate::probe_result::{Detail, ProbeOutcome, ProbeResult, Timings};
use crate::reason::{Failure, Reason};
use crate::state::{NodeReading, State, TurnRecord};
use axum::http::StatusCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A required target.
pub(super) fn target(name: &str, kind: Kind) -> Target {
    Target::with_defaults(kind, Host::Name(format!("{name}.tail1234.ts.net")), 4321, None, None)
}

pub(super) fn config(readiness: Mode, startup_gate: Gate) -> Config {
    let optional = Target { required: false, via: Via::Tcp, ..target("cache", Kind::Tcp) };
    let targets = vec![target("db", Kind::Postgres).into(), target("valkey", Kind::Valkey).into(), optional.into()];
    Config { rise: 1, fall: 1, readiness, startup_gate, ..Config::with_defaults(targets, String::new()) }
}

/// A state before its first round: postgres `db` and valkey `valkey` are required, tcp `cache` is not.
pub(super) fn fresh(readiness: Mode, startup_gate: Gate) -> Arc<State> {
    Arc::new(State::new(Arc::new(config(readiness, startup_gate)), Instant::now(), SystemTime::now()))
}

/// Records a status and one probe of each target; causes contain text that must not be shown.
pub(super) fn record(state: &State, node: Node, outcomes: &[(&str, Result<Detail, Reason>)]) {
    let (at, now) = (SystemTime::now(), Instant::now());
    state.record_node(NodeReading { at, node, lag: Duration::ZERO }, now);
    for (index, (name, outcome)) in outcomes.iter().enumerate() {
        let outcome = outcome.map_err(|reason| Failure::new(reason, "dial 100.64.0.7: secret words"));
        let probe = ProbeResult { at, outcome, timings: Timings::default(), elapsed: Duration::ZERO };
        let path = PathObservation { peer: peer(name), probe: PathProbe::default() };
        state.record_turn(index, TurnRecord { at, probe: ProbeOutcome::Done(probe), path: Some(path) }, now);
    }
}

fn peer(name: &str) -> TargetPeer {
    let address = [100, 64, 0, 7].into();
    TargetPeer {
        id: name.to_owned(),
        name: format!("{name}.tail1234.ts.net"),
        address,
        addresses: vec![address],
        node_addresses: vec![address],
        online: true,
        key_expiry: None,
    }
}

pub(super) fn running(mode: NetworkMode) -> Node {
    let facts = Facts { online: true, version: "1.102.5".to_owned(), mode, ..Facts::default() };
    Node { state: NodeState::Running, fault: None, facts: Some(facts) }
}

pub(super) const ALL_UP: [(&str, Result<Detail, Reason>); 3] =
    [("db", Ok(Detail::AuthRequired)), ("valkey", Ok(Detail::Accepting)), ("cache", Ok(Detail::Connected))];
pub(super) const VALKEY_REFUSES: [(&str, Result<Detail, Reason>); 3] =
    [("db", Ok(Detail::AuthRequired)), ("valkey", Err(Reason::ConnectRefused)), ("cache", Err(Reason::ConnectTimeout))];

/// A state after one round with these outcomes.
pub(super) fn after(readiness: Mode, outcomes: &[(&str, Result<Detail, Reason>)]) -> Arc<State> {
    let state = fresh(readiness, Gate::Tailnet);
    record(&state, running(NetworkMode::Tun), outcomes);
    state
}

/// Every response that was counted.
pub(super) type CountedResponses = Arc<Mutex<Vec<(Route, StatusCode)>>>;

pub(super) fn app(state: Arc<State>) -> (App, CountedResponses) {
    let counted = CountedResponses::default();
    let count = Arc::clone(&counted);
    let app = App {
        state,
        pod_name: None,
        metrics: Arc::new(|snapshot| format!("telltail_ready {}\n", u8::from(snapshot.readiness().ready))),
        observe: Arc::new(move |route, status| count.lock().unwrap().push((route, status))),
    };
    (app, counted)
}
