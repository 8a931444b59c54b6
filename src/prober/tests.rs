//! The loop with a script for a backend and a paused clock: when it probes, what it counts.

use super::turn::ABORT_MARGIN;
use super::*;
use crate::config::Environment;
use crate::config::Target;
use crate::diagnose::{PingEvidence, PingOutcome, Testimony};
use crate::health::TrackState;
use crate::metrics::Build;
use crate::network_mode::NetworkMode;
use crate::peer::PathProbe;
use crate::peer::TargetPeer;
use crate::probe::ProbeMemory;
use crate::probe::path_probe::PingPolicy;
use crate::probe::resolve::{Resolution, Resolved};
use crate::probe::witness::Witness;
use crate::probe_result::{Detail, ProbeResult};
use crate::reason::{Failure, Reason};
use crate::tailscale::{SelfNode, Status};
use prometheus::Registry;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::time::{sleep, sleep_until};

/// What a backend has to say of paths, where nobody asks.
macro_rules! no_paths {
    () => {
        async fn region_id(&self, _: &str) -> Option<u32> {
            None
        }

        async fn probe_path(&self, _: &Resolved, _: PingPolicy) -> PathProbe {
            PathProbe::default()
        }

        async fn ping_evidence(&self, _: &TargetPeer, _: impl Future<Output = Testimony> + Send) -> PingEvidence {
            PingEvidence {
                disco: PingOutcome::Inconclusive,
                tunnel: PingOutcome::Inconclusive,
                full_size: PingOutcome::Inconclusive,
                witnesses: Testimony::NotAsked,
            }
        }

        async fn ask_witnesses(&self, _: &[Witness]) -> Testimony {
            Testimony::NotAsked
        }
    };
}

mod decisive;
mod log_volume;
mod overlap;
mod paths;
mod reload;
mod shortage;
mod soak;
mod witnesses;

/// What a probe comes to, and how long it takes.
type Outcome = (Duration, Result<Detail, Reason>);

/// A backend that follows a script and records each probe.
struct Script<F> {
    begun: Instant,
    node: Box<dyn Fn(Duration) -> Result<Status, Failure> + Send + Sync>,
    /// Given the target's name, how many probes of it there were, and the time since the start.
    probe: F,
    seen: ProbeSpans,
}

/// What was probed: when, and what came of it.
type ProbeSpans = Arc<Mutex<BTreeMap<String, Vec<ProbeSpan>>>>;

#[derive(Clone, Copy, Debug)]
struct ProbeSpan {
    started: f64,
    ended: f64,
}

impl<F: Fn(&str, usize, Duration) -> Outcome + Send + Sync + 'static> Backend for Script<F> {
    async fn status(&self, _: &PeerFilter) -> Result<Status, Failure> {
        (self.node)(self.begun.elapsed())
    }

    async fn probe(
        &self,
        target: &Target,
        _: &Resolution,
        _: &mut ProbeMemory,
        _: NetworkMode,
        _: bool,
    ) -> ProbeResult {
        let started = self.begun.elapsed();
        let before = lock(&self.seen).get(&target.name).map_or(0, Vec::len);
        let (took, outcome) = (self.probe)(&target.name, before, started);
        sleep(took).await;
        let ended = self.begun.elapsed();
        let turn = ProbeSpan { started: started.as_secs_f64(), ended: ended.as_secs_f64() };
        lock(&self.seen).entry(target.name.clone()).or_default().push(turn);
        let outcome = outcome.map_err(|reason| Failure::new(reason, "as the script says"));
        result(outcome, ended - started)
    }

    no_paths!();
}

fn result(outcome: Result<Detail, Failure>, elapsed: Duration) -> ProbeResult {
    ProbeResult { at: SystemTime::now(), outcome, timings: Default::default(), elapsed }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a tailscaled says of itself.
type Answers = fn() -> Result<Status, Failure>;

fn running() -> Result<Status, Failure> {
    in_state("Running")
}

fn in_state(word: &str) -> Result<Status, Failure> {
    let own = SelfNode { addresses: vec!["100.64.0.1".parse().expect("an address")], ..SelfNode::default() };
    Ok(Status { backend_state: word.to_owned(), own, ..Status::default() })
}

const FAST: Duration = Duration::from_millis(5);
/// A probe that gets no answer takes this long by default.
const TIMEOUT: Duration = Duration::from_secs(3);

fn good() -> Outcome {
    (FAST, Ok(Detail::Answering))
}

fn refused() -> Outcome {
    (FAST, Err(Reason::ConnectRefused))
}

fn silent() -> Outcome {
    (TIMEOUT, Err(Reason::ConnectTimeout))
}

/// What is left of a loop when it has ended.
struct Played {
    state: Arc<State>,
    metrics: Arc<Metrics>,
    seen: ProbeSpans,
    begun: Instant,
}

/// A configuration of one target, unless the settings name others.
fn configuration(settings: &[(&str, &str)]) -> (Source, Arc<Config>) {
    let targets = ("TELLTAIL_TARGETS", "postgres://db:5432");
    let usual = [targets].into_iter().filter(|(name, _)| !settings.iter().any(|(other, _)| name == other));
    let environment: Environment = usual.chain(settings.iter().copied()).collect();
    let mut source = Source::new(environment, None);
    let config = source.load().expect("a configuration that holds").config;
    (source, Arc::new(config))
}

/// Where a loop records.
fn books(config: &Arc<Config>) -> (Arc<Metrics>, Arc<State>) {
    let metrics = Metrics::new(Registry::new(), Build::THIS, Arc::default()).expect("every family is in order");
    (Arc::new(metrics), Arc::new(State::new(Arc::clone(config), Instant::now(), SystemTime::UNIX_EPOCH)))
}

/// Runs a loop from now on for as long as told, then signals its end.
async fn play<F>(
    uid: &str,
    settings: &[(&str, &str)],
    node: impl Fn(Duration) -> Result<Status, Failure> + Send + Sync + 'static,
    probe: F,
    length: Duration,
) -> Played
where
    F: Fn(&str, usize, Duration) -> Outcome + Send + Sync + 'static,
{
    let (source, config) = configuration(settings);
    let (metrics, state) = books(&config);
    let begun = Instant::now();
    let seen = ProbeSpans::default();
    let backend = Script { begun, node: Box::new(node), probe, seen: Arc::clone(&seen) };
    let prober = Prober::new(Arc::clone(&state), Arc::clone(&metrics), config, source, backend, uid);
    let (stop, stopped) = watch::channel(false);
    let end = async {
        sleep_until(begun + length).await;
        stop.send_replace(true);
    };
    tokio::join!(prober.run(Arc::default(), Arc::default(), stopped), end);
    Played { state, metrics, seen, begun }
}

impl Played {
    fn turns(&self, target: &str) -> Vec<ProbeSpan> {
        lock(&self.seen).get(target).cloned().unwrap_or_default()
    }

    fn track(&self, target: &str) -> crate::health::Track {
        let snapshot = self.state.snapshot(Instant::now());
        let view = snapshot.targets.into_iter().find(|view| view.target.name == target);
        view.expect("a target").track
    }

    /// Seconds from the start to the target's last change.
    fn changed(&self, target: &str) -> f64 {
        (self.track(target).since() - self.begun).as_secs_f64()
    }

    fn counter(&self, series: &str) -> u64 {
        let page = self.metrics.render(&self.state.snapshot(Instant::now()));
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no series {series}")).parse().expect("a count")
    }
}

/// From one turn's end to the next one's start.
fn waits(turns: &[ProbeSpan]) -> Vec<f64> {
    turns.windows(2).map(|pair| pair[1].started - pair[0].ended).collect()
}

fn uids(count: u64) -> impl Iterator<Item = String> {
    (0..count).map(|pod| format!("8f14e45f-ceea-467f-a8d2-{pod:012x}"))
}

const MINUTES: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn the_first_probe_comes_within_a_second_and_each_interval_is_kept_within_a_tenth() {
    let mut longest = (0.0_f64, 0.0_f64);
    for uid in uids(200) {
        let played = play(&uid, &[], |_| running(), |_, _, _| good(), MINUTES).await;
        let turns = played.turns("db");
        assert!(turns[0].started <= 1.0, "{uid}: {}", turns[0].started);
        let waits = waits(&turns);
        longest = (longest.0.max(waits[0]), longest.1.max(waits[1..].iter().copied().fold(0.0, f64::max)));
        assert!(waits[0] <= 10.0, "{uid}: {waits:?}");
        assert!(waits[1..].iter().all(|wait| (8.98..=10.0).contains(wait)), "{uid}: {waits:?}");
    }
    println!("longest wait after the first probe and after others: {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_found_out_in_the_time_that_the_design_promises() {
    for (fault, reason, within) in [(refused as fn() -> Outcome, "refusing", 14.1), (silent, "silent", 23.1)] {
        let mut worst = 0.0_f64;
        for uid in uids(100) {
            // The fault begins when a probe has just ended well: after the first, the second, a later one, or a failure.
            for good_ones in [1, 2, 7] {
                let script = move |_: &str, before, _| if before < good_ones { good() } else { fault() };
                let played = play(&uid, &[], |_| running(), script, MINUTES).await;
                assert_eq!(played.track("db").state(), TrackState::Down);
                worst = worst.max(played.changed("db") - played.turns("db")[good_ones - 1].ended);
            }
            let after_a_blip = move |_: &str, before, _| if before == 3 || before > 4 { fault() } else { good() };
            let played = play(&uid, &[], |_| running(), after_a_blip, MINUTES).await;
            worst = worst.max(played.changed("db") - played.turns("db")[4].ended);
        }
        println!("{reason}: found out after {worst:.2} s at worst");
        assert!(worst <= within, "a {reason} target was found out after {worst} s");
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_silent_target_a_failure_is_detected_as_fast_as_alone() {
    for other in ["10s", "7s", "25s"] {
        let targets = format!("postgres://db:5432,postgres://other:5432?interval={other}");
        let mut worst = 0.0_f64;
        for uid in uids(100) {
            for good_ones in [1, 7, 9] {
                let script =
                    move |name: &str, before, _| if name == "db" && before < good_ones { good() } else { silent() };
                let played = play(&uid, &[("TELLTAIL_TARGETS", &targets)], |_| running(), script, MINUTES).await;
                assert_eq!(played.track("db").state(), TrackState::Down);
                worst = worst.max(played.changed("db") - played.turns("db")[good_ones - 1].ended);
            }
        }
        println!("beside a silent target of {other}: found out after {worst:.2} s at worst");
        assert!(worst <= 23.1, "detected after {worst} s");
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_change_is_decided_there_are_at_most_fall_minus_one_retries_and_none_of_a_server_that_asks_for_patience()
 {
    for uid in uids(50) {
        let script = |_: &str, before, _| if before < 4 { good() } else { refused() };
        let played = play(&uid, &[], |_| running(), script, MINUTES).await;
        let waits = waits(&played.turns("db"));
        assert!(waits[4..6].iter().all(|wait| (*wait - 2.0).abs() < 0.02), "{waits:?}");
        assert!(waits[6..].iter().all(|wait| (23.9..=36.1).contains(wait)), "{waits:?}");
        assert!(waits.len() > 10);
        assert_eq!(played.changed("db"), played.turns("db")[6].ended, "down with the third failure");

        for reason in [Reason::ProtocolStarting, Reason::ProtocolFull, Reason::ProtocolLoading] {
            let script = move |_: &str, before, _| if before < 4 { good() } else { (FAST, Err(reason)) };
            let played = play(&uid, &[], |_| running(), script, MINUTES).await;
            let waits = self::waits(&played.turns("db"));
            assert!(waits[1..6].iter().all(|wait| (8.9..=10.0).contains(wait)), "{reason:?}: {waits:?}");
            assert!(waits[6..].iter().all(|wait| (23.9..=36.1).contains(wait)), "{reason:?}: {waits:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_comes_up_after_rise_successes_and_the_second_probe_follows_at_once() {
    for uid in uids(50) {
        // Down with the third, a success that is none, and at last two.
        let script = |_: &str, before, _| if before == 5 || before > 7 { good() } else { refused() };
        let played = play(&uid, &[], |_| running(), script, 2 * MINUTES).await;
        let (turns, waits) = (played.turns("db"), waits(&played.turns("db")));
        assert!((waits[5] - 2.0).abs() < 0.02, "{waits:?}");
        assert!((23.9..=36.1).contains(&waits[6]), "a success that did not last: {waits:?}");
        assert!((waits[8] - 2.0).abs() < 0.02, "{waits:?}");
        assert_eq!(played.changed("db"), turns[9].ended);
        assert_eq!(played.track("db").state(), TrackState::Up);
        let count = |to| played.counter(&format!("telltail_target_transitions_total{{target=\"db\",to=\"{to}\"}}"));
        assert_eq!((count("up"), count("down")), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_definite_fault_of_the_node_falls_after_two_rounds_and_any_other_after_fall() {
    let missing = || Err(Failure::new(Reason::NodeSocketMissing, "as the script says"));
    let faults: [(Answers, u64); 5] = [
        (|| in_state("NeedsLogin"), 2),
        (|| in_state("Stopped"), 2),
        (|| in_state("Starting"), 5),
        (|| in_state("NeedsMachineAuth"), 5),
        (missing, 5),
    ];
    for (fault, rounds) in faults {
        for uid in uids(20) {
            let begins = Duration::from_secs(60);
            let node = move |at: Duration| if at < begins { running() } else { fault() };
            let length = begins + Duration::from_secs(12 + 2 * (rounds - 1));
            let played = play(&uid, &[("TELLTAIL_FALL", "5")], node, |_, _, _| good(), length).await;
            let snapshot = played.state.snapshot(Instant::now());
            assert_eq!(snapshot.node_track.state(), TrackState::Down, "{rounds} rounds");
            assert_eq!(snapshot.targets[0].track.state(), TrackState::Down);
            // The failure at the next turn, then one every two seconds: so many rounds and no more had passed.
            let first = played.changed("db") - 2.0 * (rounds - 1) as f64;
            assert!((60.0..=70.0).contains(&first), "{rounds} rounds: down at {}", played.changed("db"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_node_is_looked_at_each_interval_even_if_all_targets_are_down() {
    for uid in uids(20) {
        // By then the target has been down for long.
        let stopped = Duration::from_secs(100);
        let node = move |at: Duration| if at < stopped { running() } else { in_state("Stopped") };
        let played = play(&uid, &[], node, |_, _, _| refused(), stopped + Duration::from_secs(21)).await;
        let snapshot = played.state.snapshot(Instant::now());
        let found_out = (snapshot.node_track.since() - played.begun).as_secs_f64() - stopped.as_secs_f64();
        assert_eq!(snapshot.node_track.state(), TrackState::Down);
        assert!(found_out <= 20.1, "{found_out}");
    }
}

#[tokio::test(start_paused = true)]
async fn until_tailscaled_runs_its_status_is_read_each_second_and_nothing_is_counted() {
    let reads = Arc::new(Mutex::new(Vec::new()));
    let (reader, begins) = (Arc::clone(&reads), Duration::from_secs(45));
    let node = move |at: Duration| {
        lock(&reader).push(at.as_secs_f64());
        if at < begins { in_state("NoState") } else { running() }
    };
    let played = play("a-pod", &[], node, |_, _, _| good(), Duration::from_secs(50)).await;
    let reads = lock(&reads).clone();
    let early: Vec<_> = reads.windows(2).filter(|pair| pair[1] < 45.0).map(|pair| pair[1] - pair[0]).collect();
    assert!(early.len() > 40 && early.iter().all(|wait| (wait - 1.0).abs() < 0.01), "{early:?}");
    assert!(played.turns("db")[0].started < 46.0, "the first round of a running tailscaled probes");
    assert_eq!(played.counter(r#"telltail_probes_total{result="failure",target="db"}"#), 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_our_own_stall_cut_short_is_aborted() {
    let late = (TIMEOUT + ABORT_MARGIN + FAST, Err(Reason::ConnectTimeout));
    let script = move |_: &str, before, _| if before == 2 || before > 4 { late } else { good() };
    let played = play("a-pod", &[], |_| running(), script, MINUTES).await;
    assert_eq!(played.track("db").state(), TrackState::Up);
    assert_eq!(played.counter(r#"telltail_probes_total{result="failure",target="db"}"#), 0);
    let aborted = played.counter(r#"telltail_probes_total{result="aborted",target="db"}"#);
    assert_eq!(aborted as usize, played.turns("db").len() - 4);
}

#[tokio::test(start_paused = true)]
async fn targets_of_one_interval_are_probed_side_by_side_and_a_silent_one_delays_no_other() {
    let targets = ("TELLTAIL_TARGETS", "postgres://a:1,postgres://b:1,postgres://c:1?interval=60s");
    let script = |name: &str, before, _| if name == "a" && before % 3 == 0 { silent() } else { good() };
    let played = play("a-pod", &[targets], |_| running(), script, 4 * MINUTES).await;
    let (a, b, c) = (played.turns("a"), played.turns("b"), played.turns("c"));
    assert!(waits(&b).iter().all(|wait| *wait <= 10.0), "{:?}", waits(&b));
    assert!(waits(&c).iter().all(|wait| *wait <= 60.0), "{:?}", waits(&c));
    let together = b.iter().filter(|b| a.iter().any(|a| a.started == b.started)).count();
    assert!(together * 3 >= b.len() * 2, "{together} of {} rounds are shared", b.len());
    assert_eq!(played.track("a").state(), TrackState::Up, "one failure at a time takes nothing down");
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_is_no_lateness_of_ours() {
    let targets = ("TELLTAIL_TARGETS", "postgres://a:1?interval=7s,postgres://b:1?interval=11s");
    let script = |name: &str, _, _| if name == "a" { silent() } else { good() };
    for uid in uids(50) {
        let played = play(&uid, &[targets], |_| running(), script, MINUTES).await;
        let lag = played.state.snapshot(Instant::now()).lag;
        assert!(lag < Duration::from_millis(10), "{lag:?} although nobody throttled us");
    }
}
