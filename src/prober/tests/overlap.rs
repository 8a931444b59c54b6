//! Turns that overlap: targets of different intervals, slow statuses, slow pings, and rounds that nobody planned.

use super::soak::{Dice, Expected};
use super::*;
use crate::path::Sample;
use crate::peer::RoundTripSample;
use crate::tailscale::Peer;

/// The targets and their intervals in seconds.
const TARGETS: [(&str, u64); 3] = [("a", 7), ("b", 10), ("c", 25)];
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A backend in which everything takes a random time.
struct Slow {
    trace: Arc<Mutex<Trace>>,
}

struct Trace {
    dice: Dice,
    targets: BTreeMap<String, TargetTrace>,
}

/// What must have become of one target.
struct TargetTrace {
    expected: Expected,
    successes: u64,
    failures: u64,
    running: bool,
    last_start: Option<Instant>,
    longest_gap: Duration,
}

impl Slow {
    fn random(&self, most: u64) -> Duration {
        Duration::from_millis(lock(&self.trace).dice.roll(most))
    }
}

impl Backend for Slow {
    async fn status(&self, _: &PeerFilter) -> Result<Status, Failure> {
        sleep(self.random(1000)).await;
        let peers = TARGETS.iter().enumerate().map(|(n, (name, _))| Peer {
            id: (*name).to_owned(),
            dns_name: format!("{name}.tail1234.ts.net"),
            addresses: vec![format!("100.64.0.{}", n + 2).parse().expect("an address")],
            active: true,
            ..Peer::default()
        });
        Ok(Status { suffix: Some("tail1234.ts.net".to_owned()), peers: peers.collect(), ..running()? })
    }

    async fn region_id(&self, _: &str) -> Option<u32> {
        None
    }

    async fn probe(
        &self,
        target: &Target,
        _: &Resolution,
        _: &mut ProbeMemory,
        _: NetworkMode,
        _: bool,
    ) -> ProbeResult {
        let started = Instant::now();
        let took = self.random(2900);
        let good = {
            let mut trace = lock(&self.trace);
            let good = trace.dice.roll(10) < 6;
            let known = trace.targets.get_mut(&target.name).expect("a target");
            assert!(!std::mem::replace(&mut known.running, true), "two probes of {} at once", target.name);
            if let Some(last) = known.last_start.replace(started) {
                known.longest_gap = known.longest_gap.max(started - last);
            }
            good
        };
        sleep(took).await;
        let mut trace = lock(&self.trace);
        let known = trace.targets.get_mut(&target.name).expect("a target");
        known.running = false;
        known.expected.take(good, 2, 3);
        if good {
            known.successes += 1
        } else {
            known.failures += 1
        }
        let outcome = if good { Ok(Detail::Answering) } else { Err(Failure::new(Reason::ConnectTimeout, "random")) };
        result(outcome, took)
    }

    async fn probe_path(&self, resolved: &Resolved, policy: PingPolicy) -> PathProbe {
        if !resolved.path.needs_ping(policy) {
            return PathProbe { sample: resolved.path.sample(), round_trip: RoundTripSample::NotMeasured };
        }
        sleep(self.random(4300)).await;
        PathProbe { sample: Some(Sample::Direct), round_trip: RoundTripSample::Measured(FAST) }
    }

    async fn ping_evidence(&self, _: &TargetPeer, _: impl Future<Output = Testimony> + Send) -> PingEvidence {
        sleep(self.random(2000)).await;
        PingEvidence {
            disco: PingOutcome::Reply,
            tunnel: PingOutcome::Reply,
            full_size: PingOutcome::Reply,
            witnesses: Testimony::NotAsked,
        }
    }

    async fn ask_witnesses(&self, _: &[Witness]) -> Testimony {
        Testimony::NotAsked
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_day_of_overlapping_turns_none_is_lost_doubled_or_late() {
    let targets = TARGETS.map(|(name, interval)| format!("postgres://{name}:1?interval={interval}s")).join(",");
    let (source, config) = configuration(&[("TELLTAIL_TARGETS", &targets)]);
    let (metrics, state) = books(&config);
    let known = |(name, _): &(&str, u64)| {
        let known = TargetTrace {
            expected: Expected::nothing(),
            successes: 0,
            failures: 0,
            running: false,
            last_start: None,
            longest_gap: Duration::ZERO,
        };
        ((*name).to_owned(), known)
    };
    let trace = Arc::new(Mutex::new(Trace { dice: Dice(7), targets: TARGETS.iter().map(known).collect() }));
    let backend = Slow { trace: Arc::clone(&trace) };
    let prober = Prober::new(Arc::clone(&state), Arc::clone(&metrics), config, source, backend, "a-pod");
    let (stop, stopped) = watch::channel(false);
    let (reload, wake) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let begun = Instant::now();
    let disturb = async {
        let mut dice = Dice(8);
        while begun.elapsed() < DAY {
            sleep(Duration::from_millis(dice.roll(9000))).await;
            if dice.roll(10) == 0 { reload.notify_one() } else { wake.notify_one() }
        }
        stop.send_replace(true);
    };
    tokio::join!(prober.run(Arc::clone(&reload), Arc::clone(&wake), stopped), disturb);

    let snapshot = state.snapshot(Instant::now());
    assert!(snapshot.lag < Duration::from_millis(10), "{:?} although nobody throttled us", snapshot.lag);
    let page = metrics.render(&snapshot);
    let count = |series: String| -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(series.as_str())?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no series {series}")).parse().expect("a count")
    };
    for ((name, interval), view) in TARGETS.iter().zip(&snapshot.targets) {
        let trace = lock(&trace);
        let known = &trace.targets[*name];
        let probes = |result| count(format!("telltail_probes_total{{result=\"{result}\",target=\"{name}\"}}"));
        let to = |state| count(format!("telltail_target_transitions_total{{target=\"{name}\",to=\"{state}\"}}"));
        // A turn that the end cut short had perhaps ended its probe, but not its ping.
        let ended = u64::from(probes("aborted") == 1 && !known.running);
        assert_eq!(probes("success") + probes("failure") + ended, known.successes + known.failures, "{name}");
        if ended == 0 {
            assert_eq!((to("up"), to("down")), (known.expected.ups, known.expected.downs), "{name}");
            assert_eq!(view.track.state(), known.expected.state, "{name}");
        }
        // An interval, a ping of the path that was just sampled, pings of a timeout, and a status.
        let most = Duration::from_secs(36.max(interval + 11)) + Duration::from_secs(11);
        assert!(known.longest_gap <= most, "{name} was not probed for {:?}", known.longest_gap);
        assert!(known.expected.downs > 100, "{name}: {} times down", known.expected.downs);
    }
}
