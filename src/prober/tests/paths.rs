//! The loop and paths: when it samples, when it pings, and how the IPN bus wakes it.

use super::*;
use crate::path::{DerpRegion, Path, Sample};
use crate::peer::RoundTripSample;
use crate::probe::path_probe::StatusPath;
use crate::state::TargetView;
use crate::tailscale::Peer;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the loop did, each with its second.
#[derive(Clone, Debug, Default)]
struct Notes {
    rounds: Vec<f64>,
    probes: Vec<f64>,
    pings: Vec<f64>,
    evidence: Vec<f64>,
    regions: Vec<f64>,
}

/// The time since the start, and since the last probe began.
type Moment = (Duration, Option<Duration>);
type ByTime<T> = Box<dyn Fn(Moment) -> T + Send + Sync>;

/// A backend with one peer, by the time.
struct Trail {
    begun: Instant,
    state: ByTime<&'static str>,
    told: ByTime<StatusPath>,
    probe: ByTime<Outcome>,
    home: ByTime<(&'static str, Option<u32>)>,
    tunnel: ByTime<PingOutcome>,
    notes: Arc<Mutex<Notes>>,
}

/// Time from a ping to its pong.
const PONG: Duration = Duration::from_millis(50);
/// Time after which the layers below are known to be silent.
const HUSH: Duration = Duration::from_secs(2);

fn sfo() -> DerpRegion {
    DerpRegion { id: 2, code: "sfo".to_owned() }
}

impl Trail {
    /// All is well, and the path is direct.
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            state: Box::new(|_| "Running"),
            told: Box::new(|_| StatusPath::Direct),
            probe: Box::new(|_| good()),
            home: Box::new(|_| ("", None)),
            tunnel: Box::new(|_| PingOutcome::Reply),
            notes: Arc::default(),
        }
    }

    fn moment(&self) -> Moment {
        let now = self.begun.elapsed();
        let last = lock(&self.notes).probes.last().map(|last| now.saturating_sub(Duration::from_secs_f64(*last)));
        (now, last)
    }

    fn note(&self, where_to: impl Fn(&mut Notes) -> &mut Vec<f64>) {
        where_to(&mut lock(&self.notes)).push(self.begun.elapsed().as_secs_f64());
    }
}

impl Backend for Trail {
    async fn status(&self, _: &PeerFilter) -> Result<Status, Failure> {
        self.note(|notes| &mut notes.rounds);
        let told = (self.told)(self.moment());
        let peer = Peer {
            id: "n1".to_owned(),
            dns_name: "db.tail1234.ts.net".to_owned(),
            addresses: vec!["100.64.0.2".parse().expect("an address")],
            cur_addr: if told == StatusPath::Direct { "192.0.2.7:41641".to_owned() } else { String::new() },
            peer_relay: if told == StatusPath::PeerRelay { "192.0.2.9:40000:vni:1".to_owned() } else { String::new() },
            active: told != StatusPath::Idle,
            ..Peer::default()
        };
        let mut status = in_state((self.state)(self.moment()))?;
        (self.home)(self.moment()).0.clone_into(&mut status.own.home_region);
        Ok(Status { suffix: Some("tail1234.ts.net".to_owned()), peers: vec![peer], ..status })
    }

    async fn region_id(&self, _: &str) -> Option<u32> {
        self.note(|notes| &mut notes.regions);
        (self.home)(self.moment()).1
    }

    async fn probe(&self, _: &Target, _: &Resolution, _: &mut ProbeMemory, _: NetworkMode, _: bool) -> ProbeResult {
        let (took, outcome) = (self.probe)(self.moment());
        self.note(|notes| &mut notes.probes);
        sleep(took).await;
        let outcome = outcome.map_err(|reason| Failure::new(reason, "as the script says"));
        result(outcome, took)
    }

    async fn probe_path(&self, resolved: &Resolved, policy: PingPolicy) -> PathProbe {
        let (sample, pong) = match resolved.path {
            StatusPath::Direct => (Some(Sample::Direct), Sample::Direct),
            StatusPath::PeerRelay => (Some(Sample::PeerRelay), Sample::PeerRelay),
            StatusPath::Undecided => (None, Sample::Derp(sfo())),
            StatusPath::Idle => (Some(Sample::Idle), Sample::Direct),
        };
        if !resolved.path.needs_ping(policy) {
            return PathProbe { sample, round_trip: RoundTripSample::NotMeasured };
        }
        self.note(|notes| &mut notes.pings);
        sleep(PONG).await;
        PathProbe { sample: Some(pong), round_trip: RoundTripSample::Measured(PONG) }
    }

    async fn ping_evidence(&self, _: &TargetPeer, _: impl Future<Output = Testimony> + Send) -> PingEvidence {
        self.note(|notes| &mut notes.evidence);
        let tunnel = (self.tunnel)(self.moment());
        if tunnel == PingOutcome::Timeout {
            sleep(HUSH).await;
        }
        PingEvidence {
            disco: PingOutcome::Reply,
            tunnel,
            full_size: PingOutcome::Reply,
            witnesses: Testimony::NotAsked,
        }
    }

    async fn ask_witnesses(&self, _: &[Witness]) -> Testimony {
        Testimony::NotAsked
    }
}

/// What is left of a loop.
struct Walked {
    notes: Notes,
    view: TargetView,
    state: Arc<State>,
    begun: Instant,
}

/// Runs a loop for as long as told; what wakes it, or asks it to reload, is up to `meanwhile`.
async fn walk(
    settings: &[(&str, &str)],
    trail: Trail,
    length: Duration,
    meanwhile: impl AsyncFnOnce(&Notify, &Notify),
) -> Walked {
    let (source, config) = configuration(settings);
    let (metrics, state) = books(&config);
    let (begun, notes) = (trail.begun, Arc::clone(&trail.notes));
    let prober = Prober::new(Arc::clone(&state), metrics, config, source, trail, "a-pod");
    let (stop, stopped) = watch::channel(false);
    let (wake, reload) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let end = async {
        sleep_until(begun + length).await;
        stop.send_replace(true);
    };
    tokio::join!(prober.run(Arc::clone(&reload), Arc::clone(&wake), stopped), end, meanwhile(&wake, &reload));
    let view = state.snapshot(Instant::now()).targets[0].clone();
    let notes = lock(&notes).clone();
    Walked { notes, view, state, begun }
}

async fn nothing(_: &Notify, _: &Notify) {}

fn after(times: &[f64], second: f64) -> Vec<f64> {
    times.iter().copied().filter(|time| *time >= second).collect()
}

#[tokio::test(start_paused = true)]
async fn a_fallback_to_derp_is_sampled_each_three_seconds_and_decided_in_seven_without_another_probe() {
    for lost in [50, 53, 57] {
        let lost_at = Duration::from_secs(lost);
        let told = move |(now, _): Moment| if now < lost_at { StatusPath::Direct } else { StatusPath::Undecided };
        let trail = Trail { told: Box::new(told), ..Trail::new() };
        let length = Duration::from_secs(120);
        let walked = walk(&[], trail, length, nothing).await;
        let (pings, probes) = (after(&walked.notes.pings, lost as f64), after(&walked.notes.probes, lost as f64));
        let first = pings[0];
        assert_eq!(first, probes[0], "with the probe that is due anyhow");
        let waits: Vec<_> = pings.windows(2).take(3).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.iter().all(|wait| *wait <= 3.2), "{waits:?}");
        assert!((2.9..=3.2).contains(&waits[0]) && (2.9..=3.2).contains(&waits[1]), "{waits:?}");
        let view = &walked.view;
        assert_eq!((view.path.path(), view.path.region()), (Path::Derp, Some(&sfo())));
        let on_derp = view.path.seconds(walked.begun + length)[Path::Derp as usize].as_secs_f64();
        let took = 120.0 - on_derp - first;
        assert!((7.0..=8.0).contains(&took), "decided after {took} s");
        assert!(!probes.iter().any(|probe| *probe > first && *probe < first + took), "{probes:?}");
        assert_eq!(view.path.changes()[Path::Derp as usize], 1);
        assert_eq!(view.path.changes().iter().sum::<u32>(), 2, "direct, then DERP");
        // Once decided, only with the rounds that are due.
        let waits: Vec<_> = pings.windows(2).skip(4).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.len() >= 3 && waits.iter().all(|wait| (8.4..=10.1).contains(wait)), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_path_is_direct_it_is_pinged_once_a_minute() {
    let walked = walk(&[], Trail::new(), MINUTES, nothing).await;
    let waits: Vec<_> = walked.notes.pings.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 3 && waits.iter().all(|wait| (60.0..=71.0).contains(wait)), "{waits:?}");
    assert_eq!(walked.view.path.changes().iter().sum::<u32>(), 1);
}

/// An hour with a notification every seven seconds, and a probe that fails in the middle. The peer is active for `trace` after
/// each probe, or always.
async fn an_hour(interval: &str, trace: Duration) -> Walked {
    let hour = Duration::from_secs(3600);
    let awake = move |(_, last): Moment| last.is_some_and(|last| last < trace);
    let told = move |moment: Moment| if awake(moment) { StatusPath::Direct } else { StatusPath::Idle };
    let fails = |(now, _): Moment| (1800..1800 + 120).contains(&now.as_secs());
    let once = AtomicBool::new(true);
    let probe =
        move |moment: Moment| if fails(moment) && once.swap(false, Ordering::Relaxed) { refused() } else { good() };
    let trail = Trail { told: Box::new(told), probe: Box::new(probe), ..Trail::new() };
    let news = async |wake: &Notify, _: &Notify| {
        for _ in 0..hour.as_secs() / 7 {
            sleep(Duration::from_secs(7)).await;
            wake.notify_one();
        }
    };
    walk(&[("TELLTAIL_INTERVAL", interval)], trail, hour, news).await
}

/// Seconds that a peer is active after a probe: tailscaled's 45, and WireGuard's keepalive, which does not always follow.
const TRACES: [Duration; 2] = [Duration::from_secs(45), Duration::from_millis(54_900)];

#[tokio::test(start_paused = true)]
async fn what_a_probe_wakes_changes_no_path_whatever_the_interval_and_the_notifications() {
    let kept_awake = ["10s", "44s", "46s", "47s", "48s", "50s", "55s", "58s", "60s"];
    let left_asleep = ["61s", "62s", "65s", "70s", "90s", "120s"];
    let expected = kept_awake.map(|interval| (interval, Path::Direct));
    for (interval, path) in expected.into_iter().chain(left_asleep.map(|interval| (interval, Path::Idle))) {
        for trace in TRACES {
            let walked = an_hour(interval, trace).await;
            assert!(walked.notes.rounds.len() > 500, "the notifications make rounds");
            assert_eq!(walked.view.path.path(), path, "{interval}, {trace:?}");
            assert_eq!(walked.view.path.changes().iter().sum::<u32>(), 1, "{interval}, {trace:?}");
        }
        // Where a worker's packets keep the peer awake, that is seen.
        let walked = an_hour(interval, Duration::MAX).await;
        assert_eq!(walked.view.path.path(), Path::Direct, "{interval}");
        assert!(walked.view.path.changes().iter().sum::<u32>() <= 2, "{interval}: idle until the first probe");
    }
}

#[tokio::test(start_paused = true)]
async fn an_interval_above_a_minute_lets_the_peer_sleep() {
    for interval in ["70s", "120s"] {
        for trace in TRACES {
            let walked = an_hour(interval, trace).await;
            assert_eq!(walked.notes.pings, [0.0; 0], "{interval}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_a_stall_left_asleep_is_not_called_idle() {
    // Nothing is probed for two minutes: the process was stopped.
    let asleep = |(now, last): Moment| last.is_none() || (100..200).contains(&now.as_secs());
    let told = move |moment: Moment| if asleep(moment) { StatusPath::Idle } else { StatusPath::Direct };
    let walked = walk(&[], Trail { told: Box::new(told), ..Trail::new() }, MINUTES, nothing).await;
    assert_eq!((walked.view.path.path(), walked.view.path.changes()[Path::Idle as usize]), (Path::Direct, 0));
}

#[tokio::test(start_paused = true)]
async fn evidence_is_gathered_with_the_fall_and_then_once_in_five_minutes() {
    let silent_from = Duration::from_secs(60);
    let probe = move |(now, _): Moment| if now < silent_from { good() } else { silent() };
    let trail = Trail { probe: Box::new(probe), ..Trail::new() };
    let walked = walk(&[], trail, 4 * MINUTES, nothing).await;
    let (evidence, failed) = (&walked.notes.evidence, after(&walked.notes.probes, 60.0));
    assert_eq!(evidence[0], failed[2], "with the third failure: {evidence:?}, {failed:?}");
    let waits: Vec<_> = evidence.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 2 && waits.iter().all(|wait| (300.0..=340.0).contains(wait)), "{waits:?}");
    assert_eq!(walked.view.track.state(), TrackState::Down);
    assert_eq!(walked.view.failure().map(|failure| failure.reason), Some(Reason::ConnectDropped));

    // Short of the fall nothing is asked, and what is refused is no silence.
    let quiet = |now: Duration| now.as_secs() % 60 >= 46;
    let probe = move |(now, _): Moment| if quiet(now) { (FAST, Err(Reason::ConnectTimeout)) } else { good() };
    let trail = Trail { probe: Box::new(probe), ..Trail::new() };
    let walked = walk(&[("TELLTAIL_FALL", "20")], trail, MINUTES, nothing).await;
    assert_eq!((walked.notes.evidence, walked.view.track.state()), (vec![], TrackState::Up));
    let trail = Trail { probe: Box::new(|_| refused()), ..Trail::new() };
    assert_eq!(walk(&[], trail, MINUTES, nothing).await.notes.evidence, [0.0; 0]);
}

#[tokio::test(start_paused = true)]
async fn refining_a_timeout_delays_no_detection() {
    let silent_from = Duration::from_secs(60);
    // Named with the third failure, or with the first where one is enough and nobody could know before.
    for (fall, named_after) in [("3", 0.0), ("1", 2.0)] {
        let probe = move |(now, _): Moment| if now < silent_from { good() } else { silent() };
        let trail = Trail { probe: Box::new(probe), tunnel: Box::new(|_| PingOutcome::Timeout), ..Trail::new() };
        let walked = walk(&[("TELLTAIL_FALL", fall)], trail, Duration::from_secs(100), nothing).await;
        assert_eq!(walked.view.failure().map(|failure| failure.reason), Some(Reason::ConnectTunnelDead));
        let failed = after(&walked.notes.probes, 60.0);
        let down = (walked.view.track.since() - walked.begun).as_secs_f64();
        let last = failed[fall.parse::<usize>().unwrap() - 1];
        assert!((down - last - 3.0 - named_after).abs() < 0.01, "fall {fall}: down at {down}, probes {failed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn evidence_of_one_timeout_refines_no_other() {
    // A frozen machine; then it lives again, and the service on it is frozen.
    let at = |second| Duration::from_secs(second);
    let probe = move |(now, _): Moment| match now {
        now if now < at(60) => good(),
        now if now < at(120) => silent(),
        _ => (TIMEOUT, Err(Reason::ProtocolTimeout)),
    };
    let tunnel = move |(now, _): Moment| if now < at(120) { PingOutcome::Timeout } else { PingOutcome::Reply };
    let reason = async |length| {
        let trail = Trail { probe: Box::new(probe), tunnel: Box::new(tunnel), ..Trail::new() };
        let walked = walk(&[], trail, length, nothing).await;
        (walked.view.failure().map(|failure| failure.reason), walked.notes.evidence.len())
    };
    assert_eq!(reason(at(115)).await, (Some(Reason::ConnectTunnelDead), 1));
    assert_eq!(reason(at(175)).await, (Some(Reason::ProtocolTimeout), 2));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_the_home_region_is_looked_up_once_and_each_minute_until_it_is_known() {
    let home = |(now, _): Moment| match now.as_secs() {
        0..150 => ("nyc", None),
        150..400 => ("nyc", Some(1)),
        _ => ("sfo", Some(2)),
    };
    let id = async |length| {
        let walked = walk(&[], Trail { home: Box::new(home), ..Trail::new() }, length, nothing).await;
        let node = walked.state.snapshot(Instant::now()).node;
        (node.facts.and_then(|facts| facts.home_region_id), walked.notes.regions)
    };
    let (number, asked) = id(Duration::from_secs(390)).await;
    assert_eq!(number, Some(1));
    let waits: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() == 3 && waits.iter().all(|wait| (60.0..=71.0).contains(wait)), "{asked:?}");
    let (number, asked) = id(2 * MINUTES).await;
    assert_eq!((number, asked.len()), (Some(2), 5), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_notification_makes_a_round_at_once_and_not_more_than_one_in_two_seconds() {
    let minute = [("TELLTAIL_INTERVAL", "60s")];
    let storm = async |wake: &Notify, _: &Notify| {
        sleep(Duration::from_secs(10)).await;
        for _ in 0..100 {
            wake.notify_one();
            sleep(Duration::from_millis(100)).await;
        }
    };
    let walked = walk(&minute, Trail::new(), Duration::from_secs(40), storm).await;
    let rounds = after(&walked.notes.rounds, 1.0);
    assert!((rounds[0] - 10.0).abs() < 0.01, "{rounds:?}");
    assert!(rounds.windows(2).all(|pair| pair[1] - pair[0] >= 2.0), "{rounds:?}");
    assert!((5..=7).contains(&rounds.len()), "{rounds:?}");
    assert_eq!(walked.notes.probes.len(), 1, "a notification is no reason to probe");
    assert!(walked.notes.pings.len() <= 1, "nor to ping");
}

#[tokio::test(start_paused = true)]
async fn a_notification_that_has_to_wait_is_not_lost_to_a_reload() {
    let minute = [("TELLTAIL_INTERVAL", "60s")];
    let both = async |wake: &Notify, reload: &Notify| {
        sleep(Duration::from_secs(10)).await;
        wake.notify_one();
        sleep(Duration::from_millis(500)).await;
        wake.notify_one();
        sleep(Duration::from_millis(500)).await;
        reload.notify_one();
    };
    let walked = walk(&minute, Trail::new(), Duration::from_secs(40), both).await;
    let rounds: Vec<_> = after(&walked.notes.rounds, 1.0).iter().map(|round| round.round()).collect();
    assert_eq!(rounds, [10.0, 12.0]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_node_that_news_tell_of_makes_every_target_due() {
    let stopped = Duration::from_secs(30);
    let state = move |(now, _): Moment| if now < stopped { "Running" } else { "Stopped" };
    let trail = Trail { state: Box::new(state), ..Trail::new() };
    let news = async |wake: &Notify, _: &Notify| {
        sleep(stopped).await;
        wake.notify_one();
    };
    let minute = [("TELLTAIL_INTERVAL", "60s")];
    let walked = walk(&minute, trail, Duration::from_secs(40), news).await;
    assert_eq!(walked.view.failure().map(|failure| failure.reason), Some(Reason::NodeStopped));
    assert_eq!(walked.view.track.state(), TrackState::Down);
    let down = (walked.view.track.since() - walked.begun).as_secs_f64();
    assert!((32.0..=32.1).contains(&down), "{down}");
    let node = walked.state.snapshot(Instant::now()).node_track;
    assert_eq!(node.state(), TrackState::Down);
    assert_eq!(walked.view.path.path(), Path::Unknown, "of a node that does not run nothing is known");
}
