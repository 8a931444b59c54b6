//! From start to end: what is counted when, the startup gate, readiness by mode, drain.

use crate::harness::{Harness, Setup};
use crate::log::Log;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tailscaled_sim::services::Postgres;
use tailscaled_sim::{BackendState, PeerPort, Tailscaled};
use telltail::agent::Signal;
use telltail::config::Source;
use telltail::health::TrackState;
use telltail::node::{Facts, Node, NodeState};
use telltail::reason::{Failure, Reason};
use telltail::state::{NodeReading, State};
use telltail::transition_log::TransitionLog;
use tokio::time::Instant;

#[tokio::test]
async fn nothing_is_counted_before_the_first_running_and_the_tailscaled_may_come_later() {
    let harness = Harness::around(Setup::Userspace, Tailscaled::absent());
    let mut agent = harness.agent(&[]).await;
    agent.until("a failed round", |page| page.sum("telltail_localapi_requests_total", &[]) >= 3.0).await;
    assert_eq!(agent.get("/healthz").await.0, 503);
    assert_eq!(agent.get("/startupz").await.0, 503);
    for state in [BackendState::NoState, BackendState::NeedsLogin, BackendState::Starting] {
        harness.tailscaled.set_backend_state(state);
        harness.tailscaled.listen();
        let asked = harness.tailscaled.tally().requests;
        harness.tailscaled.until(|tally| tally.requests >= asked + 4).await;
    }
    let page = agent.metrics().await;
    assert_eq!(page.sum("telltail_probes_total", &[]), 0.0);
    assert_eq!(page.sum("telltail_target_transitions_total", &[]), 0.0);
    assert!(page.is("telltail_target_state", &[("target", "db"), ("state", "unknown")]));
    assert_eq!(agent.get("/healthz").await.0, 503);

    harness.tailscaled.set_backend_state(BackendState::Running);
    let page = agent.ready().await;
    assert!(page.is("telltail_startup_gate_release_info", &[("cause", "condition")]));
    assert_eq!(page.sum("telltail_probes_total", &[("result", "failure")]), 0.0);
    assert_eq!(agent.get("/startupz").await.0, 200);

    // Once it was Running, each probe that is due counts.
    let dials = |harness: &Harness| {
        harness.tailscaled.requests().iter().filter(|request| request.path.ends_with("dial")).count()
    };
    harness.tailscaled.set_backend_state(BackendState::Stopped);
    agent.until("down", |page| page.is("telltail_target_state", &[("target", "db"), ("state", "down")])).await;
    let before = dials(&harness);
    agent.probes("db", 3).await;
    assert_eq!(dials(&harness), before, "while tailscaled is not Running nothing is dialled");
    assert_eq!(agent.get("/startupz").await.0, 200, "the gate opens for good");
    harness.tailscaled.set_backend_state(BackendState::Running);
    let page = agent.ready().await;
    assert_eq!(page.value("telltail_target_transitions_total", &[("target", "db"), ("to", "up")]), 2.0);
    assert_eq!(agent.log.lines_with("Node is up").len(), 2);
    harness.nothing_unexpected();
    agent.signals.send(Signal::Shutdown).await.expect("an agent");
    agent.ended().await;
}

/// A pod's start is no alarm; a tailscaled that never comes up is one, once.
#[tokio::test]
async fn a_tailscaled_that_is_starting_is_told_quietly_and_one_that_never_comes_up_is_warned_of() {
    let log = Log::keep();
    let environment = [(OsString::from("TELLTAIL_TARGETS"), OsString::from("tcp://db:1"))].into_iter().collect();
    let config = Source::new(environment, None).load().expect("a configuration").config;
    let begun = Instant::now();
    let state = State::new(Arc::new(config), begun, SystemTime::now());
    let mut transition_log = TransitionLog::new(begun);
    let mut record_node = |second: u64, node: Node| {
        let now = begun + Duration::from_secs(second);
        let reading = NodeReading { at: SystemTime::now(), node, lag: Duration::ZERO };
        let changes = state.record_node(reading, now);
        transition_log.record(&changes, &state.snapshot(now), now);
        state.snapshot(now).node_track.state()
    };
    let logged_out = || Node::unreachable(Failure::new(Reason::NodeNeedsLogin, "tailscaled is in state NeedsLogin"));
    for second in 0..60 {
        record_node(second, logged_out());
    }
    assert_eq!((log.lines_with("Node is not up yet").len(), log.lines_with("Node is down").len()), (1, 0));
    for second in 60..200 {
        record_node(second, logged_out());
    }
    assert_eq!((log.lines_with("Node is not up yet").len(), log.lines_with("Node is down").len()), (1, 1));

    let running = || Node { state: NodeState::Running, fault: None, facts: Some(Facts::default()) };
    assert_eq!(record_node(200, running()), TrackState::Up, "at once, for it had nothing to recover from");
    for second in 201..204 {
        record_node(second, logged_out());
    }
    assert_eq!(log.lines_with("Node is down").len(), 2);
    assert_eq!(record_node(204, running()), TrackState::Down, "now it recovers by rise");
}

#[tokio::test]
async fn a_shutdown_before_the_first_running_counts_nothing() {
    let harness = Harness::new(Setup::Userspace);
    harness.tailscaled.misbehave(tailscaled_sim::Misbehaviour::Silent);
    let mut agent = harness.agent(&[("TELLTAIL_DRAIN", "60s")]).await;
    harness.tailscaled.until(|tally| tally.requests > 0).await;
    agent.signals.send(Signal::Shutdown).await.expect("an agent");
    let page = agent.until("draining", |page| page.is("telltail_draining", &[])).await;
    assert_eq!(page.sum("telltail_probes_total", &[]), 0.0);
    agent.signals.send(Signal::Shutdown).await.expect("an agent");
    agent.ended().await;
}

#[tokio::test]
async fn the_startup_gate_opens_by_its_condition_by_time_or_is_not_there() {
    let cause = |page: &telltail_testkit::MetricsPage| {
        page.sample("telltail_startup_gate_release_info", &[])
            .and_then(|sample| sample.label("cause"))
            .map_or_else(|| "shut".to_owned(), str::to_owned)
    };
    let absent = Harness::around(Setup::Userspace, Tailscaled::absent());
    let none = absent.agent(&[("TELLTAIL_STARTUP_GATE", "none")]).await;
    assert_eq!(none.get("/startupz").await.0, 200);
    assert_eq!(cause(&none.metrics().await), "disabled");

    let by_time = absent.agent(&[("TELLTAIL_STARTUP_RELEASE", "300ms")]).await;
    by_time.until("open", |page| page.is("telltail_startup_gate_open", &[])).await;
    assert_eq!(cause(&by_time.metrics().await), "timeout");
    assert_eq!(by_time.get("/healthz").await.0, 503, "the gate says nothing of readiness");

    // A database that is away keeps no worker from starting, unless that was asked for.
    let harness = Harness::new(Setup::Userspace);
    harness.db.stop();
    let tailnet = harness.agent(&[]).await;
    tailnet.until("open", |page| page.is("telltail_startup_gate_open", &[])).await;
    assert_eq!(cause(&tailnet.metrics().await), "condition");
    let targets = harness.agent(&[("TELLTAIL_STARTUP_GATE", "targets"), ("TELLTAIL_FALL", "100")]).await;
    targets.probes("db", 3).await;
    assert_eq!(targets.get("/startupz").await.0, 503);
    harness.db.start_again();
    targets.ready().await;
    assert_eq!(cause(&targets.metrics().await), "condition");
}

#[tokio::test]
async fn an_optional_target_never_blocks_and_observe_never_does() {
    let harness = Harness::new(Setup::Userspace);
    harness.db.stop();
    let targets = harness.targets("&required=false", "");
    let optional = harness.agent(&[("TELLTAIL_TARGETS", &targets)]).await;
    let page =
        optional.until("down", |page| page.is("telltail_target_state", &[("target", "db"), ("state", "down")])).await;
    assert!(page.is("telltail_ready", &[]));
    assert_eq!(optional.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(optional.get("/healthz/db").await.0, 503);
    assert_eq!(optional.get("/healthz/cache").await.0, 200);
    assert_eq!(optional.get("/healthz/nobody").await.0, 404);

    let absent = Harness::around(Setup::Userspace, Tailscaled::absent());
    let observing = absent.agent(&[("TELLTAIL_READINESS", "observe"), ("TELLTAIL_DRAIN", "60s")]).await;
    assert_eq!(observing.get("/healthz").await.0, 200);
    observing.signals.send(Signal::Shutdown).await.expect("an agent");
    observing.until("draining", |page| page.is("telltail_draining", &[])).await;
    assert_eq!(observing.get("/healthz").await.0, 503, "draining is not ready in any mode");
}

#[tokio::test]
async fn local_waits_until_everything_was_reached_once_and_from_then_on_for_faults_of_the_pod() {
    let harness = Harness::new(Setup::Userspace);
    harness.db.stop();
    let agent = harness.agent(&[("TELLTAIL_READINESS", "local"), ("TELLTAIL_FALL", "5")]).await;
    agent.probes("db", 1).await;
    assert_eq!(agent.get("/healthz").await.0, 503, "unknown is not ready");
    harness.db.start_again();
    agent.ready().await;

    harness.db.stop();
    let db_down =
        |page: &telltail_testkit::MetricsPage| page.is("telltail_target_state", &[("target", "db"), ("state", "down")]);
    let page = agent.until("down", db_down).await;
    assert!(page.is("telltail_ready", &[]), "a fault of the service does not count any more");
    assert!(!page.is("telltail_ready_by_mode", &[("mode", "strict")]));
    harness.tailscaled.set_backend_state(BackendState::NeedsLogin);
    agent.until("not ready", |page| !page.is("telltail_ready", &[])).await;
    harness.tailscaled.set_backend_state(BackendState::Running);
    agent.ready().await;
}

#[tokio::test]
async fn local_counts_a_fault_of_the_pod_once_it_is_confirmed_while_the_service_is_away() {
    let harness = Harness::new(Setup::Proxy);
    // The cache, which is up, would fall first.
    let targets = harness.targets("", "&required=false");
    let settings = [("TELLTAIL_TARGETS", &*targets), ("TELLTAIL_READINESS", "local"), ("TELLTAIL_FALL", "2")];
    let agent = harness.agent(&settings).await;
    agent.ready().await;
    harness.db.stop();
    agent.until("down", |page| page.is("telltail_target_state", &[("target", "db"), ("state", "down")])).await;
    harness.proxy.stop();
    let faults = |page: &telltail_testkit::MetricsPage| {
        page.sum("telltail_probe_failures_total", &[("target", "db"), ("scope", "pod")])
    };
    let page = agent.until("a fault of the pod", |page| faults(page) == 1.0).await;
    assert!(page.is("telltail_ready", &[]), "one is no proof");
    let page = agent.until("not ready", |page| !page.is("telltail_ready", &[])).await;
    assert_eq!(faults(&page), 2.0);
}

#[tokio::test]
async fn at_the_end_probes_in_flight_are_aborted_and_pages_answer_until_the_drain_is_over() {
    let harness = Harness::new(Setup::Userspace);
    let slow = [("TELLTAIL_INTERVAL", "4s"), ("TELLTAIL_TIMEOUT", "1900ms"), ("TELLTAIL_DRAIN", "120s")];
    let mut agent = harness.agent(&slow).await;
    agent.ready().await;
    harness.db.behave(Postgres::frozen());
    let asked = harness.db.tally().requests;
    harness.db.until(|tally| tally.requests > asked).await;

    let begun = Instant::now();
    agent.signals.send(Signal::Shutdown).await.expect("an agent");
    let page = agent.until("draining", |page| page.is("telltail_draining", &[])).await;
    assert_eq!(agent.get("/healthz").await.0, 503);
    assert_eq!(agent.get("/livez").await.0, 200);
    assert_eq!(agent.get("/startupz").await.0, 200);
    assert_eq!(page.value("telltail_probes_total", &[("target", "db"), ("result", "aborted")]), 1.0);
    assert_eq!(page.sum("telltail_probes_total", &[("result", "failure")]), 0.0);
    assert!(page.is("telltail_target_state", &[("target", "db"), ("state", "up")]), "nothing changes any more");
    for mode in ["strict", "local", "observe"] {
        assert!(!page.is("telltail_ready_by_mode", &[("mode", mode)]));
    }
    harness.db.until(|tally| tally.open == 0).await;
    agent.signals.send(Signal::Reload).await.expect("an agent");
    agent.signals.send(Signal::Shutdown).await.expect("an agent");
    agent.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(60), "the second signal does not wait for the drain");
    assert_eq!(agent.log.lines_with("Target is down").len(), 0);
    assert_eq!(agent.log.lines_with("Stopped").len(), 1);

    let mut agent = harness.agent(&[("TELLTAIL_DRAIN", "100ms")]).await;
    agent.signals.send(Signal::Shutdown).await.expect("an agent");
    agent.ended().await;
}

#[tokio::test]
async fn one_connection_to_tailscaled_and_one_to_valkey_serve_every_probe() {
    let harness = Harness::new(Setup::Userspace);
    let agent = harness.agent(&[]).await;
    agent.ready().await;
    agent.probes("cache", 5).await;
    assert_eq!(harness.cache.tally().accepted, 1);
    assert!(harness.cache.tally().requests >= 5);
    // What is read takes one connection, the bus one of its own, each dial and each ping one more.
    let requests = harness.tailscaled.requests();
    let connections = |calls: &[&str]| -> Vec<u64> {
        let of = |path: &str| calls.iter().any(|call| path.ends_with(call));
        requests.iter().filter(|request| of(&request.path)).map(|request| request.connection).collect()
    };
    let (reads, bus, each) =
        (connections(&["status", "derpmap"]), connections(&["bus"]), connections(&["dial", "ping"]));
    assert!(reads.len() >= 5 && reads.iter().all(|one| *one == reads[0]), "{reads:?}");
    assert_eq!(connections(&["derpmap"]).len(), 1, "the home region's number is asked for once");
    assert_eq!(bus.len(), 1, "{bus:?}");
    let distinct: BTreeSet<_> = reads.iter().chain(&bus).chain(&each).collect();
    assert_eq!(distinct.len(), 2 + each.len(), "{each:?}");
    assert!(requests.iter().all(|request| request.header("dial-host") != Some("db")));
    assert!(harness.dns.questions().is_empty() && harness.proxy.requests().is_empty());

    harness.cache.kill_connections();
    let page = agent.probes("cache", 2).await;
    assert_eq!(harness.cache.tally().accepted, 2, "a dead connection is replaced within the probe");
    assert_eq!(page.value("telltail_probes_total", &[("target", "cache"), ("result", "failure")]), 0.0);
    harness.nothing_unexpected();
}

#[tokio::test]
async fn an_old_tailscaled_is_not_led_out_of_the_tailnet() {
    let harness = Harness::new(Setup::Userspace);
    harness.tailscaled.set_version("1.80.3");
    let agent = harness.agent(&[]).await;
    agent.ready().await;
    // Before 1.98 tailscaled would dial an address that no peer has from its own network; loopback is dialled for real.
    harness.tailscaled.update_peer("db", |db| db.ips = vec!["127.0.0.1".parse().expect("an address")]);
    agent.probes("db", 2).await;
    harness.tailscaled.remove_peer("db");
    harness
        .tailscaled
        .with_state(|sim| sim.foreign.insert("100.64.0.2:5432".parse().expect("an address"), harness.db.addr()));
    let down = [("target", "db"), ("reason", "resolve_not_in_netmap"), ("scope", "path")];
    agent.until("removed", |page| page.is("telltail_target_failing_info", &down)).await;
    let accepted = harness.db.tally().accepted;
    agent.until("down", |page| page.is("telltail_target_state", &[("target", "db"), ("state", "down")])).await;
    assert_eq!(harness.db.tally().accepted, accepted);
    // Dial-Self is no success in any release, and a black hole of the LocalAPI is none either.
    harness.tailscaled.set_port("cache", 6379, PeerPort::DialSelf);
    harness.cache.kill_connections();
    let down = [("target", "cache"), ("reason", "connect_not_routed"), ("scope", "path")];
    agent.until("not routed", |page| page.is("telltail_target_failing_info", &down)).await;
}
