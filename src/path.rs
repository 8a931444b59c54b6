//! Over which path packets reach a target's node. No I/O and no clock: samples go in, each with its time.
//!
//! **A better path takes one sample, a worse one several.** A trusted address in `status`, or a pong from one, proves a direct
//! path. That there is none proves nothing: after idleness and after each change of networks tailscaled sends over DERP
//! for a moment while it looks for something better. So DERP takes three pongs through DERP and seven seconds; missing replies take
//! as many and as long before the path is called unknown. The one does not count for the other: a peer that restarts is
//! silent, and its first pong afterwards comes through DERP whatever the path. Nothing is concluded from a peer's home region
//! or from what the control plane reports of it.

use crate::config::Expect;
use crate::slug::slug_enum;
use std::time::Duration;
use tokio::time::Instant;

slug_enum! {
    /// How packets reach a node, from best to worst.
    pub enum Path {
        /// By UDP, straight to the node.
        Direct = "direct",
        /// By UDP, through another node.
        PeerRelay = "peer_relay",
        /// Through one of Tailscale's relay servers.
        Derp = "derp",
        /// Nothing was sent lately, so there is no path.
        Idle = "idle",
        /// Not known.
        Unknown = "unknown",
    }
}

impl Path {
    /// Does it break what a target expects? What is not known breaks nothing.
    pub fn breaks(self, expect: Expect) -> bool {
        match (expect, self) {
            (Expect::Any, _) | (_, Self::Direct | Self::Idle | Self::Unknown) => false,
            (Expect::NoDerp, path) => path == Self::Derp,
            (Expect::Direct, Self::PeerRelay | Self::Derp) => true,
        }
    }
}

/// A DERP region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerpRegion {
    /// The region's number in the DERP map.
    pub id: u32,
    /// Its short name, for example `nyc`.
    pub code: String,
}

/// One look at the path of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A trusted UDP address, or a pong from one.
    Direct,
    /// A trusted peer relay, or a pong through one.
    PeerRelay,
    /// A pong through DERP.
    Derp(DerpRegion),
    /// Nothing was sent recently, and no ping either.
    Idle,
    /// Asked, and no answer came.
    NoReply,
    /// There is no peer to ping: the node is not running, or the target is not in the netmap.
    NoPeer,
}

impl Sample {
    /// The path that it shows.
    pub const fn path(&self) -> Path {
        match self {
            Self::Direct => Path::Direct,
            Self::PeerRelay => Path::PeerRelay,
            Self::Derp(_) => Path::Derp,
            Self::Idle => Path::Idle,
            Self::NoReply | Self::NoPeer => Path::Unknown,
        }
    }

    /// The DERP region; none unless the path is DERP.
    pub const fn region(&self) -> Option<&DerpRegion> {
        match self {
            Self::Derp(region) => Some(region),
            Self::Direct | Self::PeerRelay | Self::Idle | Self::NoReply | Self::NoPeer => None,
        }
    }
}

/// Samples that must agree before a path is called worse: after a change of networks tailscaled needs up to 5 s to find a
/// direct path again (measured on 1.80.3 and 1.102.5).
const AGREEING: u32 = 3;
/// Time over which they must agree: tailscaled trusts a UDP address for 6.5 s after its last pong.
pub const CONFIRM: Duration = Duration::from_secs(7);
/// Time between samples while a change is pending.
const SAMPLE_EVERY: Duration = Duration::from_secs(3);

/// Turns samples into a path, with hysteresis, and counts the time on each.
#[derive(Clone, Debug, PartialEq)]
pub struct PathTracker {
    path: Path,
    region: Option<DerpRegion>,
    since: Instant,
    seconds: [Duration; Path::ALL.len()],
    changes: [u32; Path::ALL.len()],
    /// Pongs on a worse path. A missing reply in between leaves them: it says nothing about the path.
    worse: Option<AgreeingSamples>,
    /// Missing replies in a row.
    silence: Option<AgreeingSamples>,
}

/// Samples that agree that the path has changed.
#[derive(Clone, Debug, PartialEq)]
struct AgreeingSamples {
    since: Instant,
    count: u32,
}

impl AgreeingSamples {
    /// Counts one more; are they enough?
    fn confirm(samples: &mut Option<Self>, now: Instant) -> bool {
        let samples = samples.get_or_insert(Self { since: now, count: 0 });
        samples.count += 1;
        samples.count >= AGREEING && now.saturating_duration_since(samples.since) >= CONFIRM
    }

    fn next(&self, now: Instant) -> Instant {
        let enough = self.since + CONFIRM;
        if enough > now { enough.min(now + SAMPLE_EVERY) } else { now + SAMPLE_EVERY }
    }
}

/// A change of path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathTransition {
    /// The path left behind.
    pub from: Path,
    /// The path taken.
    pub to: Path,
}

impl PathTracker {
    /// A target about whose path nothing is known.
    pub fn new(now: Instant) -> Self {
        Self {
            path: Path::Unknown,
            region: None,
            since: now,
            seconds: Default::default(),
            changes: Default::default(),
            worse: None,
            silence: None,
        }
    }

    /// The path.
    pub fn path(&self) -> Path {
        self.path
    }

    /// When it was taken.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The DERP region in use; none unless the path is DERP.
    pub fn region(&self) -> Option<&DerpRegion> {
        self.region.as_ref()
    }

    /// Time on each path, in the order of [`Path::ALL`]; adds up to the time since the tracker was made.
    pub fn seconds(&self, now: Instant) -> [Duration; Path::ALL.len()] {
        let mut seconds = self.seconds;
        seconds[self.path as usize] += now.saturating_duration_since(self.since);
        seconds
    }

    /// How often each path was taken, in the order of [`Path::ALL`].
    pub fn changes(&self) -> [u32; Path::ALL.len()] {
        self.changes
    }

    /// When the next sample is due, if sooner than the next round: while a change is pending.
    pub fn next_sample(&self, now: Instant) -> Option<Instant> {
        [&self.worse, &self.silence].into_iter().flatten().map(|samples| samples.next(now)).min()
    }

    /// Takes a sample; answers the change that it caused.
    pub fn observe(&mut self, sample: Sample, now: Instant) -> Option<PathTransition> {
        let (to, region) = (sample.path(), sample.region().cloned());
        if to == self.path {
            self.region = region;
            (self.worse, self.silence) = (None, None);
            return None;
        }
        // From idle or unknown nothing becomes worse, except that a first pong through DERP is mere discovery.
        let settled = !matches!(self.path, Path::Idle | Path::Unknown);
        let confirmed = match sample {
            Sample::NoReply => AgreeingSamples::confirm(&mut self.silence, now),
            Sample::Derp(_) => self.is_worse(now),
            Sample::PeerRelay if settled && to > self.path => self.is_worse(now),
            Sample::PeerRelay | Sample::Direct | Sample::Idle | Sample::NoPeer => true,
        };
        confirmed.then(|| self.take(to, region, now))
    }

    fn is_worse(&mut self, now: Instant) -> bool {
        self.silence = None;
        AgreeingSamples::confirm(&mut self.worse, now)
    }

    fn take(&mut self, to: Path, region: Option<DerpRegion>, now: Instant) -> PathTransition {
        let from = self.path;
        self.seconds = self.seconds(now);
        self.since = now;
        self.path = to;
        self.region = region;
        (self.worse, self.silence) = (None, None);
        self.changes[to as usize] += 1;
        PathTransition { from, to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn derp() -> Sample {
        Sample::Derp(DerpRegion { id: 1, code: "nyc".to_owned() })
    }

    /// Plays samples at their second; answers the path after each.
    fn played(samples: &[(u64, Sample)]) -> Vec<Path> {
        let start = Instant::now();
        let mut tracker = PathTracker::new(start);
        let path = |(second, sample): &(u64, Sample)| {
            tracker.observe(sample.clone(), start + Duration::from_secs(*second));
            tracker.path()
        };
        samples.iter().map(path).collect()
    }

    #[test]
    fn direct_is_believed_at_once_and_derp_takes_seven_seconds() {
        use Path::{Derp, Direct};
        let samples =
            [(0, Sample::Direct), (10, derp()), (13, derp()), (16, derp()), (17, derp()), (20, Sample::Direct)];
        assert_eq!(played(&samples), [Direct, Direct, Direct, Direct, Derp, Direct]);
    }

    #[test]
    fn missing_replies_are_no_sign_of_derp() {
        use Sample::{Direct, NoReply};
        // A machine that restarts: silence, then a pong that comes before tailscaled has found the direct path.
        let restart = [(0, Direct), (5, NoReply), (8, NoReply), (12, derp()), (15, Direct)];
        assert_eq!(played(&restart), [Path::Direct; 5]);
        // They do not hold DERP up either.
        let lossy = [(0, Direct), (5, derp()), (8, NoReply), (11, derp()), (14, NoReply), (17, derp())];
        assert_eq!(played(&lossy)[4..], [Path::Direct, Path::Derp]);
        // Nor does a pong leave the silence before it standing.
        let silent = [(0, Direct), (5, NoReply), (8, NoReply), (11, derp()), (14, NoReply), (17, NoReply)];
        assert_eq!(played(&silent).last(), Some(&Path::Direct));
    }

    #[test]
    fn a_first_pong_through_derp_is_discovery() {
        let samples = [(0, Sample::Idle), (1, derp()), (4, Sample::Direct)];
        assert_eq!(played(&samples), [Path::Idle, Path::Idle, Path::Direct]);
    }

    #[test]
    fn a_failing_peer_is_unknown_and_a_vanished_one_at_once() {
        let silent = [(0, Sample::Direct), (10, Sample::NoReply), (13, Sample::NoReply), (17, Sample::NoReply)];
        assert_eq!(played(&silent).last(), Some(&Path::Unknown));
        assert_eq!(played(&[(0, Sample::Direct), (1, Sample::NoPeer)]).last(), Some(&Path::Unknown));
    }

    #[test]
    fn another_region_is_told_without_a_change_of_path() {
        let start = Instant::now();
        let mut tracker = PathTracker::new(start);
        for second in [0, 3, 6, 7] {
            tracker.observe(derp(), start + Duration::from_secs(second));
        }
        let sfo = DerpRegion { id: 2, code: "sfo".to_owned() };
        assert_eq!(tracker.observe(Sample::Derp(sfo.clone()), start + Duration::from_secs(10)), None);
        assert_eq!(tracker.region(), Some(&sfo));
        tracker.observe(Sample::Direct, start + Duration::from_secs(11));
        assert_eq!(tracker.region(), None);
    }

    fn samples() -> impl Strategy<Value = Vec<(u64, usize)>> {
        prop::collection::vec((0u64..20_000, 0usize..6), 0..200)
    }

    proptest! {
        #[test]
        fn whatever_comes_the_path_is_honest(samples in samples()) {
            let kinds = [Sample::Direct, Sample::PeerRelay, derp(), Sample::Idle, Sample::NoReply, Sample::NoPeer];
            let start = Instant::now();
            let mut tracker = PathTracker::new(start);
            let mut now = start;
            let mut settled_until = start;
            for (wait, kind) in samples {
                now += Duration::from_millis(wait);
                let sample = kinds[kind].clone();
                let before = tracker.path();
                let change = tracker.observe(sample.clone(), now);
                let after = tracker.path();
                prop_assert_eq!(change, (before != after).then_some(PathTransition { from: before, to: after }));
                // DERP is never claimed without a pong, a region never without DERP.
                prop_assert!(after != Path::Derp || before == Path::Derp || matches!(sample, Sample::Derp(_)));
                prop_assert_eq!(tracker.region().is_some(), after == Path::Derp);
                // A worse path is never believed before the time of confirmation.
                let fell = before <= Path::Derp && after > before && !matches!(sample, Sample::Idle | Sample::NoPeer);
                prop_assert!(!fell || now - settled_until >= CONFIRM);
                let pending = tracker.worse.is_some() || tracker.silence.is_some();
                if !pending {
                    settled_until = now;
                }
                // The next sample is due early exactly while a change is pending.
                prop_assert_eq!(tracker.next_sample(now).is_some(), pending);
                let seconds: Duration = tracker.seconds(now).iter().sum();
                prop_assert_eq!(seconds, now - start);
            }
        }

        #[test]
        fn sampled_when_due_derp_is_detected_within_eight_seconds_of_its_first_pong(silent in 0u32..3) {
            let start = Instant::now();
            let mut tracker = PathTracker::new(start);
            tracker.observe(Sample::Direct, start);
            let (mut now, mut first_pong) = (start, start);
            for sample in 0.. {
                let answer = if sample < silent { Sample::NoReply } else { derp() };
                if sample == silent {
                    first_pong = now;
                }
                if tracker.observe(answer, now).is_some() {
                    break;
                }
                now = tracker.next_sample(now).unwrap();
            }
            prop_assert_eq!(tracker.path(), Path::Derp);
            prop_assert!(now - first_pong <= Duration::from_secs(8));
        }
    }
}
