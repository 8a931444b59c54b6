//! The document of a snapshot.

use super::time::writable;
use super::{
    ConfigJson, Document, FailureJson, GateJson, NodeJson, PathChangeJson, PathJson, PeerJson, ProbeJson,
    ReadinessJson, RegionJson, SafeText, StagesJson, TargetJson, TransitionJson, VERSION, WarningJson, sentence,
};
use crate::config::Mode;
use crate::duration::ms_f64;
use crate::path::DerpRegion;
use crate::probe_result::{ProbeResult, Timings};
use crate::reason::Failure;
use crate::state::{PathChange, Snapshot, StateChange, TargetView};
use crate::tailscale::Warning;
use crate::untrusted::escape;
use humantime::format_rfc3339_millis;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

impl Document {
    /// The document of a snapshot taken at `wall`.
    pub fn of(snapshot: &Snapshot, wall: SystemTime) -> Self {
        let clock = WallClock { now: snapshot.at, wall };
        let config = &snapshot.config;
        let verdict = snapshot.readiness();
        let by_mode = Mode::ALL.map(|mode| (SafeText::from(mode.slug()), snapshot.verdict(mode).ready));
        let mut document = Self {
            version: VERSION,
            at: time(wall),
            telltail: env!("CARGO_PKG_VERSION").into(),
            ready: verdict.ready,
            verdict: String::new(),
            readiness: ReadinessJson {
                mode: config.readiness.slug().into(),
                blocking: verdict.blocking,
                draining: snapshot.draining,
                by_mode: by_mode.into(),
            },
            startup_gate: GateJson {
                waits_for: config.startup_gate.slug().into(),
                open: snapshot.gate.is_some(),
                cause: snapshot.gate.map(|cause| cause.slug().into()),
            },
            node: node(snapshot, clock),
            targets: snapshot.targets.iter().map(|view| target(view, snapshot, clock)).collect(),
            config: ConfigJson {
                hash: config.hash.clone(),
                last_reload: time(snapshot.reload.at),
                problems: snapshot.reload.problem.iter().flat_map(|text| text.lines()).map(escape).collect(),
            },
            lag_ms: ms_f64(snapshot.lag),
        };
        document.verdict = sentence::verdict(&document);
        document
    }
}

/// Turns the loop's monotonic times into dates.
#[derive(Clone, Copy)]
struct WallClock {
    now: Instant,
    wall: SystemTime,
}

impl WallClock {
    fn date(self, at: Instant) -> String {
        let ago = self.now.saturating_duration_since(at);
        time(self.wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
    }
}

fn time(at: SystemTime) -> String {
    format_rfc3339_millis(writable(at)).to_string()
}

/// In seconds, to the millisecond.
fn seconds(duration: Duration) -> f64 {
    ms_f64(duration).round() / 1000.0
}

fn node(snapshot: &Snapshot, clock: WallClock) -> NodeJson {
    let node = &snapshot.node;
    let facts = node.facts.as_ref();
    let home = facts.filter(|facts| !facts.home_region.is_empty());
    NodeJson {
        state: snapshot.node_track.state().slug().into(),
        since: clock.date(snapshot.node_track.since()),
        tailscaled: node.state.slug().into(),
        failure: node.fault.as_ref().map(failure),
        tailscaled_version: facts.map(|facts| escape(&facts.version)),
        mode: facts.map(|facts| facts.mode.slug().into()),
        hostname: facts.map(|facts| escape(&facts.hostname)),
        online: facts.map(|facts| facts.online),
        key_expiry: facts.and_then(|facts| facts.key_expiry).map(time),
        home_region: home.map(|facts| RegionJson { code: escape(&facts.home_region), id: facts.home_region_id }),
        warnings: snapshot.warnings.iter().map(warning).collect(),
        transitions: snapshot.node_history.state_changes().map(|change| transition(change, None)).collect(),
    }
}

fn warning(warning: &Warning) -> WarningJson {
    WarningJson {
        code: warning.code.clone(),
        severity: warning.severity.slug().into(),
        impacts_connectivity: warning.impacts_connectivity,
    }
}

fn target(view: &TargetView, snapshot: &Snapshot, clock: WallClock) -> TargetJson {
    let target = &view.target;
    let via = snapshot.node.facts.as_ref().map_or(target.via, |facts| target.via.effective(facts.mode));
    TargetJson {
        name: target.name.clone(),
        kind: target.kind.slug().into(),
        host: target.host.to_string(),
        port: target.port,
        required: target.required,
        depth: view.depth().slug().into(),
        via: via.to_string(),
        worker_way_untested: snapshot.worker_path_untested().any(|other| other.target.name == target.name),
        state: view.track.state().slug().into(),
        since: clock.date(view.track.since()),
        failure: view.failure().map(failure),
        last_probe: view.last.as_ref().map(probe),
        last_success: view.last_success.map(time),
        interval_seconds: seconds(view.pace().duration()),
        path: PathJson {
            kind: view.path.path().slug().into(),
            since: clock.date(view.path.since()),
            region: view.path.region().map(region),
            expect: target.expect.slug().into(),
            unexpected: view.path_is_unexpected(),
            rtt_ms: view.round_trip.get().map(ms_f64),
        },
        peer: PeerJson {
            seen: view.peer.is_some(),
            key_expiry: view.peer.as_ref().and_then(|peer| peer.key_expiry).map(time),
            changes: view.peer_changes,
            last_change: view.history.peer_changed_at.map(time),
        },
        transitions: view
            .history
            .state_changes()
            .map(|change| transition(change, Some(stages(change.timings))))
            .collect(),
        path_changes: view.history.path_changes().map(path_change).collect(),
    }
}

fn failure(failure: &Failure) -> FailureJson {
    let reason = failure.reason;
    FailureJson {
        reason: reason.slug().into(),
        scope: reason.scope().slug().into(),
        cause: failure.cause.clone(),
        sentence: reason.sentence().into(),
        next_step: reason.next_step().into(),
    }
}

fn probe(probed: &ProbeResult) -> ProbeJson {
    ProbeJson {
        at: time(probed.at),
        detail: probed.outcome.as_ref().ok().map(|detail| detail.slug().into()),
        stages: stages(probed.timings),
    }
}

fn stages(timings: Timings) -> StagesJson {
    StagesJson {
        resolve_ms: timings.resolve.map(ms_f64),
        connect_ms: timings.connect.map(ms_f64),
        protocol_ms: timings.protocol.map(ms_f64),
    }
}

fn region(region: &DerpRegion) -> RegionJson {
    RegionJson { code: escape(&region.code), id: Some(region.id) }
}

fn transition(change: &StateChange, stages: Option<StagesJson>) -> TransitionJson {
    let failure = change.failure.as_ref();
    TransitionJson {
        at: time(change.at),
        from: change.from.slug().into(),
        to: change.to.slug().into(),
        lasted_seconds: seconds(change.lasted),
        reason: failure.map(|failure| failure.reason.slug().into()),
        scope: failure.map(|failure| failure.reason.scope().slug().into()),
        cause: failure.map(|failure| failure.cause.clone()),
        path: change.path.map(|path| path.slug().into()),
        stages,
    }
}

fn path_change(change: &PathChange) -> PathChangeJson {
    PathChangeJson {
        at: time(change.at),
        from: change.from.slug().into(),
        to: change.to.slug().into(),
        region: change.region.as_ref().map(region),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};
    use crate::network_mode::NetworkMode;
    use crate::node::{Facts, Node, NodeState};
    use crate::state::{NodeReading, State};
    use std::sync::Arc;

    #[test]
    fn the_localapi_never_tests_the_workers_path_and_in_userspace_mode_only_a_proxy_does() {
        let targets = "tcp://auto:1,tcp://localapi:1?via=localapi,tcp://kernel:1?via=tcp,\
                       tcp://proxy:1?via=socks5://127.0.0.1:1055";
        let environment: Environment = [("TELLTAIL_TARGETS", targets)].into_iter().collect();
        let config = load(&environment, None).expect("a configuration").config;
        let (now, wall) = (Instant::now(), SystemTime::now());
        let state = State::new(Arc::new(config), now, wall);
        let untested = |mode| {
            let node = Node { state: NodeState::Running, fault: None, facts: Some(Facts { mode, ..Facts::default() }) };
            state.record_node(NodeReading { at: wall, node, lag: Duration::ZERO }, now);
            let targets = Document::of(&state.snapshot(now), wall).targets.into_iter();
            targets.filter(|target| target.worker_way_untested).map(|target| target.name).collect::<Vec<_>>()
        };
        assert_eq!(untested(NetworkMode::Userspace), ["auto", "localapi", "kernel"]);
        assert_eq!(untested(NetworkMode::Tun), ["localapi"]);
    }
}
