//! When a target is due next. No I/O, no clock, no random numbers: the time and the pod's seed are arguments.

use crate::health::{Track, TrackState};
use crate::reason::Reason;
use crate::stable_hash::fnv1a;
use std::time::Duration;
use tokio::time::Instant;

/// How long until the next probe, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The target's interval: a tick of the grid that all targets of this interval share.
    Regular(Duration),
    /// A change is pending: soon.
    Retry(Duration),
    /// The target is down: rarely, and spread, so that its recovery meets no thundering herd.
    Down(Duration),
}

/// Longest wait while a change is pending.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Wait while a target is down.
pub(crate) const DOWN_INTERVAL: Duration = Duration::from_secs(30);

impl Pace {
    /// The pace after an outcome: `failed` is the reason, if it was a failure.
    pub fn after(interval: Duration, track: &Track, failed: Option<Reason>) -> Self {
        // A node's fault dials nothing, so there is no load to limit.
        let dialled = failed.is_none_or(|reason| !reason.is_node_fault());
        match track.state() {
            TrackState::Down if failed.is_some() && dialled => Self::Down(DOWN_INTERVAL.max(interval)),
            _ if track.has_pending_change() && failed.is_none_or(|reason| !reason.retry_later()) => {
                Self::Retry(RETRY_INTERVAL.min(interval))
            }
            TrackState::Unknown | TrackState::Up | TrackState::Down => Self::Regular(interval),
        }
    }

    /// The wait without spread and jitter.
    pub fn duration(self) -> Duration {
        match self {
            Self::Regular(wait) | Self::Retry(wait) | Self::Down(wait) => wait,
        }
    }
}

/// Spreads the rounds of many pods that start in the same second, the same way after each restart of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    seed: u64,
    started: Instant,
}

/// Latest start of the first round.
const FIRST: Duration = Duration::from_secs(1);
/// By how much of an interval one wait between two rounds can differ from another.
const JITTER: f64 = 0.1;

impl Schedule {
    /// The schedule of the pod with this uid.
    pub fn new(pod_uid: &str, started: Instant) -> Self {
        Self { seed: fnv1a(pod_uid.as_bytes()), started }
    }

    /// When the first round is due.
    pub fn first(&self, shortest_interval: Duration) -> Instant {
        self.started + FIRST.min(shortest_interval).mul_f64(fraction(self.seed))
    }

    /// When a target is due next.
    pub fn next(&self, pace: Pace, now: Instant) -> Instant {
        match pace {
            Pace::Regular(interval) => self.tick(interval, now),
            Pace::Retry(wait) => now + wait,
            Pace::Down(wait) => {
                let round = now.duration_since(self.started).as_secs();
                now + wait.mul_f64(0.8 + 0.4 * fraction(mix(self.seed, round)))
            }
        }
    }

    /// The last tick of the interval's grid that is no more than an interval away. Ticks are 0.9 to 1 interval apart: so
    /// there is always one, and to wait for it never delays the finding of a failure beyond the interval.
    fn tick(&self, interval: Duration, now: Instant) -> Instant {
        let period = interval.mul_f64(1.0 - JITTER / 2.0);
        let phase = period.mul_f64(fraction(mix(self.seed, 0)));
        let position = |n: u64| {
            let jitter = JITTER / 2.0 * fraction(mix(self.seed, n + 1));
            phase + period.mul_f64(n as f64) + interval.mul_f64(jitter)
        };
        let latest = now.duration_since(self.started) + interval;
        let n = (latest.saturating_sub(phase).as_nanos() / period.as_nanos().max(1)) as u64;
        let last = if position(n) <= latest { position(n) } else { position(n.saturating_sub(1)) };
        self.started + last
    }
}

/// A number in [0, 1) that is a pod's own for its `n`th try at something.
pub(crate) fn fraction_of(pod_uid: &str, n: u64) -> f64 {
    fraction(mix(fnv1a(pod_uid.as_bytes()), n))
}

fn mix(seed: u64, n: u64) -> u64 {
    fnv1a(&[seed.to_le_bytes(), n.to_le_bytes()].concat())
}

/// A number in [0, 1) from a hash; FNV leaves short inputs unmixed in the high bits, so they are folded once more.
fn fraction(hash: u64) -> f64 {
    let folded = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    ((folded ^ (folded >> 33)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Thresholds;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn track(outcomes: &[bool]) -> Track {
        let now = Instant::now();
        let mut track = Track::new(now);
        for outcome in outcomes {
            track.record(*outcome, Thresholds { rise: 2, fall: 3 }, now);
        }
        track
    }

    #[test]
    fn a_failure_is_checked_soon_and_a_target_that_is_down_seldom() {
        let after = |outcomes: &[bool], reason| Pace::after(INTERVAL, &track(outcomes), reason);
        assert_eq!(after(&[true], None), Pace::Regular(INTERVAL));
        assert_eq!(after(&[true, false], Some(Reason::ConnectTimeout)), Pace::Retry(RETRY_INTERVAL));
        assert_eq!(after(&[true, false], Some(Reason::ProtocolFull)), Pace::Regular(INTERVAL));
        assert_eq!(after(&[false, false, false], Some(Reason::ConnectRefused)), Pace::Down(DOWN_INTERVAL));
        assert_eq!(after(&[false, false, false, true], None), Pace::Retry(RETRY_INTERVAL));
        assert_eq!(after(&[false, false, false], Some(Reason::NodeStopped)), Pace::Regular(INTERVAL));
    }

    #[test]
    fn a_thousand_pods_that_start_together_spread_evenly() {
        let started = Instant::now();
        let mut seconds = [0u32; 10];
        for pod in 0..1000 {
            let schedule = Schedule::new(&format!("pod-{pod}"), started);
            let at = schedule.next(Pace::Regular(INTERVAL), started + INTERVAL * 3);
            seconds[(at.duration_since(started).as_secs() % 10) as usize] += 1;
        }
        // In the first of these seconds are only those whose next tick comes after it.
        assert!(seconds.iter().all(|n| (30..=150).contains(n)), "{seconds:?}");
    }

    proptest! {
        #[test]
        fn a_regular_tick_is_never_further_away_than_the_interval(uid in "[a-z0-9-]{1,36}", elapsed in 0u64..10_000_000, interval in 50u64..120_000) {
            let started = Instant::now();
            let now = started + Duration::from_millis(elapsed);
            let interval = Duration::from_millis(interval);
            let wait = Schedule::new(&uid, started).next(Pace::Regular(interval), now) - now;
            prop_assert!(wait <= interval, "{wait:?}");
        }

        #[test]
        fn from_tick_to_tick_it_is_an_interval_or_up_to_a_tenth_less(uid in "[a-z0-9-]{1,36}", took in 0.0f64..0.5) {
            let started = Instant::now();
            let schedule = Schedule::new(&uid, started);
            let mut tick = schedule.next(Pace::Regular(INTERVAL), started);
            for _ in 0..50 {
                let next = schedule.next(Pace::Regular(INTERVAL), tick + INTERVAL.mul_f64(took));
                let apart = (next - tick).as_secs_f64();
                prop_assert!((8.999..=10.001).contains(&apart), "{apart}");
                tick = next;
            }
        }

        #[test]
        fn targets_of_one_interval_share_their_rounds(uid in "[a-z0-9-]{1,36}", elapsed in 0u64..100_000) {
            let started = Instant::now();
            let schedule = Schedule::new(&uid, started);
            let now = started + Duration::from_millis(elapsed);
            let tick = schedule.next(Pace::Regular(INTERVAL), now);
            let later = schedule.next(Pace::Regular(INTERVAL), now + Duration::from_micros(1));
            prop_assert!(later == tick || later - tick >= INTERVAL.mul_f64(0.89));
        }

        #[test]
        fn a_target_that_is_down_is_probed_again_after_24_to_36_seconds(uid in "[a-z0-9-]{1,36}", elapsed in 0u64..100_000) {
            let started = Instant::now();
            let now = started + Duration::from_millis(elapsed);
            let wait = (Schedule::new(&uid, started).next(Pace::Down(DOWN_INTERVAL), now) - now).as_secs_f64();
            prop_assert!((24.0..=36.0).contains(&wait));
        }
    }
}
