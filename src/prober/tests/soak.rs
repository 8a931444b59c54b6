//! A month of random faults, and a thousand pods that start together.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// SplitMix64: the same numbers in each run.
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// What the backend is like for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Good,
    /// Fails in so many cases of ten.
    Flaky(u64),
    Refusing,
    Silent,
    Full,
    Stalling,
    Missing,
    Stopped,
}

/// What must have become of the outcomes so far, told by the rules in words: down after `fall` failures in a row, up after
/// `rise` successes in a row, up at the very first success; a node that was never Running is up at once.
pub(super) struct Expected {
    pub state: TrackState,
    /// Since the last change.
    outcomes: Vec<bool>,
    pub ups: u64,
    pub downs: u64,
}

impl Expected {
    pub fn nothing() -> Self {
        Self { state: TrackState::Unknown, outcomes: Vec::new(), ups: 0, downs: 0 }
    }

    pub fn take(&mut self, good: bool, rise: usize, fall: usize) {
        self.outcomes.push(good);
        let in_a_row = self.outcomes.iter().rev().take_while(|outcome| **outcome == good).count();
        let state = match (self.state, good) {
            (TrackState::Unknown, true) => TrackState::Up,
            (TrackState::Down, true) if in_a_row >= rise => TrackState::Up,
            (TrackState::Unknown | TrackState::Up, false) if in_a_row >= fall => TrackState::Down,
            (state, _) => state,
        };
        if state != self.state {
            (self.state, self.outcomes) = (state, Vec::new());
            self.ups += u64::from(state == TrackState::Up);
            self.downs += u64::from(state == TrackState::Down);
        } else if self.outcomes.len() > 100 {
            self.outcomes.drain(..50);
        }
    }
}

/// A backend in which things happen, and which looks at the state before each round.
struct Month {
    state: Arc<State>,
    books: Arc<Mutex<Books>>,
    begun: Instant,
}

struct Books {
    dice: Dice,
    mood: Mood,
    until: Duration,
    was_running: bool,
    node: Expected,
    target: Expected,
    rounds: u64,
    successes: u64,
    failures: u64,
    aborted: u64,
}

impl Books {
    fn turn(&mut self, now: Duration) {
        if now < self.until {
            return;
        }
        let moods = [
            Mood::Good,
            Mood::Flaky(1),
            Mood::Flaky(5),
            Mood::Refusing,
            Mood::Silent,
            Mood::Full,
            Mood::Stalling,
            Mood::Missing,
            Mood::Stopped,
        ];
        let bad = self.mood == Mood::Good;
        self.mood = if bad { moods[self.dice.roll(moods.len() as u64) as usize] } else { Mood::Good };
        // From a blink to two hours, and a good time in between.
        let longest = [3, 30, 300, 7200][self.dice.roll(4) as usize];
        self.until = now + Duration::from_secs(1 + self.dice.roll(longest));
    }

    fn probed(&mut self, good: bool) {
        self.target.take(good, 2, 3);
        self.successes += u64::from(good);
        self.failures += u64::from(!good);
    }
}

impl Backend for Month {
    async fn status(&self, _: &PeerFilter) -> Result<Status, Failure> {
        let mut books = lock(&self.books);
        let snapshot = self.state.snapshot(Instant::now());
        assert_eq!(snapshot.targets[0].track.state(), books.target.state, "in round {}", books.rounds);
        assert_eq!(snapshot.node_track.state(), books.node.state, "in round {}", books.rounds);
        let strict = snapshot.verdict(crate::config::Mode::Strict).ready;
        assert_eq!(strict, [books.target.state, books.node.state] == [TrackState::Up; 2]);

        books.rounds += 1;
        books.turn(self.begun.elapsed());
        let (answer, fall) = match books.mood {
            Mood::Missing => (Err(Failure::new(Reason::NodeSocketMissing, "gone")), 3),
            Mood::Stopped => (in_state("Stopped"), 2),
            Mood::Good | Mood::Flaky(_) | Mood::Refusing | Mood::Silent | Mood::Full | Mood::Stalling => (running(), 3),
        };
        let fine = !matches!(books.mood, Mood::Missing | Mood::Stopped);
        let rise = if books.was_running { 2 } else { 1 };
        books.node.take(fine, rise, fall);
        if !fine && books.was_running {
            books.target.take(false, 2, fall);
            books.failures += 1;
        }
        books.was_running |= fine;
        answer
    }

    async fn probe(&self, _: &Target, _: &Resolution, _: &mut ProbeMemory, _: NetworkMode, _: bool) -> ProbeResult {
        let (took, outcome) = {
            let mut books = lock(&self.books);
            let fails = if let Mood::Flaky(of_ten) = books.mood {
                books.dice.roll(10) < of_ten
            } else {
                books.mood != Mood::Good
            };
            if books.mood == Mood::Stalling {
                books.aborted += 1;
            } else {
                books.probed(!fails);
            }
            match books.mood {
                Mood::Silent => silent(),
                Mood::Full => (FAST, Err(Reason::ProtocolFull)),
                Mood::Stalling => (TIMEOUT + 2 * ABORT_MARGIN, Err(Reason::ConnectTimeout)),
                Mood::Flaky(_) | Mood::Refusing | Mood::Missing | Mood::Stopped if fails => refused(),
                Mood::Good | Mood::Flaky(_) | Mood::Refusing | Mood::Missing | Mood::Stopped => good(),
            }
        };
        sleep(took).await;
        let outcome = outcome.map_err(|reason| Failure::new(reason, "as the dice say"));
        result(outcome, took)
    }

    no_paths!();
}

#[tokio::test(start_paused = true)]
async fn a_month_of_random_faults_is_counted_to_the_last_one() {
    const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
    let (source, config) = configuration(&[]);
    let (metrics, state) = books(&config);
    let books = Arc::new(Mutex::new(Books {
        dice: Dice(1),
        mood: Mood::Stopped,
        until: Duration::from_secs(20),
        was_running: false,
        node: Expected::nothing(),
        target: Expected::nothing(),
        rounds: 0,
        successes: 0,
        failures: 0,
        aborted: 0,
    }));
    let backend = Month { state: Arc::clone(&state), books: Arc::clone(&books), begun: Instant::now() };
    let prober = Prober::new(Arc::clone(&state), Arc::clone(&metrics), config, source, backend, "a-pod");
    let (stop, stopped) = watch::channel(false);
    let end = async {
        sleep(MONTH).await;
        stop.send_replace(true);
    };
    tokio::join!(prober.run(Arc::default(), Arc::default(), stopped), end);

    let page = metrics.render(&state.snapshot(Instant::now()));
    let count = |series: &str| -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no series {series}")).parse().expect("a count")
    };
    let books = lock(&books);
    println!("{} rounds, {} changes", books.rounds, books.target.ups + books.target.downs);
    assert!(books.rounds > 150_000 && books.target.downs > 300, "{} rounds", books.rounds);
    assert_eq!(count(r#"telltail_target_transitions_total{target="db",to="up"}"#), books.target.ups);
    assert_eq!(count(r#"telltail_target_transitions_total{target="db",to="down"}"#), books.target.downs);
    assert_eq!(count(r#"telltail_probes_total{result="success",target="db"}"#), books.successes);
    assert_eq!(count(r#"telltail_probes_total{result="failure",target="db"}"#), books.failures);
    // The last one may have been cut short.
    assert!(count(r#"telltail_probes_total{result="aborted",target="db"}"#) - books.aborted <= 1);
}

/// A database that a thousand pods share; it writes down in which second it is asked.
struct Shared {
    begun: Instant,
    seconds: Arc<Vec<AtomicUsize>>,
}

const OUTAGE: std::ops::Range<u64> = 180..600;
const LENGTH: u64 = 780;

impl Backend for Shared {
    async fn status(&self, _: &PeerFilter) -> Result<Status, Failure> {
        running()
    }

    async fn probe(&self, _: &Target, _: &Resolution, _: &mut ProbeMemory, _: NetworkMode, _: bool) -> ProbeResult {
        let second = self.begun.elapsed().as_secs();
        self.seconds[second as usize].fetch_add(1, Ordering::Relaxed);
        let (took, outcome) = if OUTAGE.contains(&second) { refused() } else { good() };
        sleep(took).await;
        let outcome = outcome.map_err(|reason| Failure::new(reason, "an outage"));
        result(outcome, took)
    }

    no_paths!();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_that_start_together_never_ask_in_a_storm() {
    const PODS: usize = 1000;
    let seconds: Arc<Vec<_>> = Arc::new((0..LENGTH).map(|_| AtomicUsize::new(0)).collect());
    let begun = Instant::now();
    let (_stop, stopped) = watch::channel(false);
    let pods = uids(PODS as u64).map(|uid| {
        let (source, config) = configuration(&[]);
        let (metrics, state) = books(&config);
        let backend = Shared { begun, seconds: Arc::clone(&seconds) };
        Prober::new(state, metrics, config, source, backend, &uid).run(Arc::default(), Arc::default(), stopped.clone())
    });
    let all = futures_util::future::join_all(pods);
    let ended = tokio::time::timeout_at(begun + Duration::from_secs(LENGTH) - FAST, all).await;
    assert!(ended.is_err(), "a loop ends only if it is told to");

    let seconds: Vec<_> = seconds.iter().map(|asked| asked.load(Ordering::Relaxed)).collect();
    let peak = |from: u64, to: u64| seconds[from as usize..to as usize].iter().copied().max().unwrap_or_default();
    let mean = |from: u64, to: u64| {
        let asked: usize = seconds[from as usize..to as usize].iter().sum();
        asked as f64 / (to - from) as f64
    };
    let rest = mean(60, OUTAGE.start);
    let peaks = [peak(15, OUTAGE.start), peak(OUTAGE.start, OUTAGE.start + 30), peak(OUTAGE.end, OUTAGE.end + 90)];
    let down = mean(OUTAGE.start + 60, OUTAGE.end);
    println!("a second at rest {rest:.0}, down {down:.0}; peaks at rest, onset, recovery: {peaks:?}");
    assert!((PODS..PODS + PODS / 10).contains(&seconds[0]), "each starts within a second: {}", seconds[0]);
    assert!((95.0..=115.0).contains(&rest), "{rest}");
    assert!(peaks[0] as f64 <= 1.5 * rest, "{peaks:?}");
    assert!(peaks[1] as f64 <= 4.0 * rest, "at onset each of fall probes comes at most at the pace of rest: {peaks:?}");
    assert!((28.0..=38.0).contains(&down), "{down}");
    assert!(peaks[2] as f64 <= 1.75 * rest, "{peaks:?}");
    assert!(peak(OUTAGE.end + 90, LENGTH) as f64 <= 1.5 * rest, "spread as before");
}
