//! Tracks and the verdict. No I/O; the time is an argument.

pub use crate::config::NODE_CHECK;

use crate::config::Mode;
use crate::slug::slug_enum;
use tokio::time::Instant;

slug_enum! {
    /// Where a target or the node stands after rise and fall.
    pub enum TrackState {
        /// Nothing decided yet.
        Unknown = "unknown",
        /// Fine.
        Up = "up",
        /// Failing.
        Down = "down",
    }
}

/// How many outcomes in a row decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes that bring up what was down.
    pub rise: u32,
    /// Failures that take down what was up or unknown.
    pub fall: u32,
}

/// Turns single outcomes into a state, with hysteresis.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    state: TrackState,
    since: Instant,
    /// Outcomes in a row that contradict the state.
    streak: u32,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// The state left behind.
    pub from: TrackState,
    /// The state entered.
    pub to: TrackState,
    /// When `from` had been entered.
    pub since: Instant,
}

impl Track {
    /// The track before the first outcome.
    pub fn new(now: Instant) -> Self {
        Self { state: TrackState::Unknown, since: now, streak: 0 }
    }

    /// The state.
    pub fn state(&self) -> TrackState {
        self.state
    }

    /// When the state was entered.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Is a change pending?
    pub fn has_pending_change(&self) -> bool {
        self.streak > 0
    }

    /// Does a failure take it down, or keep it down?
    pub fn is_at_down_threshold(&self, thresholds: Thresholds) -> bool {
        self.state == TrackState::Down || self.streak + 1 >= thresholds.fall
    }

    /// Takes one outcome; returns the change that it caused.
    pub fn record(&mut self, success: bool, thresholds: Thresholds, now: Instant) -> Option<Transition> {
        let (to, needed) = match (self.state, success) {
            (TrackState::Up, true) | (TrackState::Down, false) => {
                self.streak = 0;
                return None;
            }
            (TrackState::Unknown, true) => (TrackState::Up, 1),
            (TrackState::Down, true) => (TrackState::Up, thresholds.rise),
            (TrackState::Unknown | TrackState::Up, false) => (TrackState::Down, thresholds.fall),
        };
        self.streak += 1;
        if self.streak < needed {
            return None;
        }
        let transition = Transition { from: self.state, to, since: self.since };
        *self = Self { state: to, since: now, streak: 0 };
        Some(transition)
    }
}

/// What the verdict reads of one target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetHealth<'a> {
    /// The target's name.
    pub name: &'a str,
    /// Does readiness depend on it?
    pub required: bool,
    /// Its track's state.
    pub state: TrackState,
    /// Is this pod at fault for its failures, after rise and fall?
    pub pod_fault: bool,
}

/// Ready or not, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What `/healthz` answers in this mode.
    pub ready: bool,
    /// The names of the checks that block: `node` or targets.
    pub blocking: Vec<String>,
}

/// What readiness follows from.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadinessInput<'a> {
    /// The node's state.
    pub node: TrackState,
    /// The targets, required or not.
    pub targets: Vec<TargetHealth<'a>>,
    /// Was every required target up at some time since the start?
    pub reached: bool,
    /// Draining is not ready in any mode.
    pub draining: bool,
}

impl ReadinessInput<'_> {
    /// Decides readiness in `mode`.
    pub fn verdict(&self, mode: Mode) -> Verdict {
        let pod_faults_only = mode == Mode::Local && self.reached;
        let blocks = |state: TrackState, pod_fault: bool| {
            if pod_faults_only { state == TrackState::Down && pod_fault } else { state != TrackState::Up }
        };
        let mut blocking = Vec::new();
        if mode != Mode::Observe {
            if blocks(self.node, true) {
                blocking.push(NODE_CHECK.to_owned());
            }
            let required = self.targets.iter().filter(|target| target.required);
            blocking.extend(
                required.filter(|target| blocks(target.state, target.pod_fault)).map(|target| target.name.to_owned()),
            );
        }
        Verdict { ready: blocking.is_empty() && !self.draining, blocking }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THRESHOLDS: Thresholds = Thresholds { rise: 2, fall: 3 };

    fn input(node: TrackState, targets: Vec<TargetHealth<'_>>, reached: bool) -> ReadinessInput<'_> {
        ReadinessInput { node, targets, reached, draining: false }
    }

    fn played(outcomes: &[bool]) -> Track {
        let now = Instant::now();
        let mut track = Track::new(now);
        for outcome in outcomes {
            track.record(*outcome, THRESHOLDS, now);
        }
        track
    }

    #[tokio::test]
    async fn the_first_success_is_enough_but_the_first_failure_is_not() {
        assert_eq!(played(&[true]).state(), TrackState::Up);
        assert_eq!(played(&[false, false]).state(), TrackState::Unknown);
        assert_eq!(played(&[false, false, false]).state(), TrackState::Down);
    }

    #[tokio::test]
    async fn up_again_takes_rise_successes_in_a_row() {
        let down = [false, false, false];
        assert_eq!(played(&[&down[..], &[true]].concat()).state(), TrackState::Down);
        assert_eq!(played(&[&down[..], &[true, false, true]].concat()).state(), TrackState::Down);
        assert_eq!(played(&[&down[..], &[true, true]].concat()).state(), TrackState::Up);
    }

    proptest! {
        #[test]
        fn down_exactly_after_fall_failures_and_up_exactly_after_rise_successes(
            outcomes in prop::collection::vec(any::<bool>(), 0..200), rise in 1u32..5, fall in 1u32..5,
        ) {
            let now = Instant::now();
            let mut track = Track::new(now);
            let (mut successes, mut failures) = (0, 0);
            for outcome in outcomes {
                (successes, failures) = if outcome { (successes + 1, 0) } else { (0, failures + 1) };
                let before = track.state();
                let transition = track.record(outcome, Thresholds { rise, fall }, now);
                let expected = match before {
                    TrackState::Unknown if outcome => TrackState::Up,
                    TrackState::Down if successes >= rise => TrackState::Up,
                    TrackState::Unknown | TrackState::Up if failures >= fall => TrackState::Down,
                    TrackState::Unknown | TrackState::Up | TrackState::Down => before,
                };
                prop_assert_eq!(track.state(), expected);
                prop_assert_eq!(transition.is_some(), expected != before);
            }
        }

        #[test]
        fn local_never_blocks_more_than_strict_and_observe_never_blocks(
            states in prop::collection::vec((0usize..3, any::<bool>(), any::<bool>()), 1..5), node in 0usize..3, reached: bool,
        ) {
            let targets: Vec<_> = states.iter().map(|(state, required, pod_fault)| TargetHealth {
                name: "target", required: *required, state: TrackState::ALL[*state], pod_fault: *pod_fault,
            }).collect();
            let ready = |mode, draining| {
                let node = TrackState::ALL[node];
                ReadinessInput { node, targets: targets.clone(), reached, draining }.verdict(mode).ready
            };
            prop_assert!(ready(Mode::Local, false) || !ready(Mode::Strict, false));
            prop_assert!(ready(Mode::Observe, false));
            for mode in Mode::ALL {
                prop_assert!(!ready(mode, true));
            }
        }
    }

    #[test]
    fn an_optional_target_never_blocks() {
        let target = TargetHealth { name: "cache", required: false, state: TrackState::Down, pod_fault: true };
        assert!(input(TrackState::Up, vec![target], false).verdict(Mode::Strict).ready);
    }

    #[test]
    fn once_reached_local_counts_only_faults_of_the_pod() {
        let down = |pod_fault| TargetHealth { name: "db", required: true, state: TrackState::Down, pod_fault };
        let ready =
            |pod_fault, reached| input(TrackState::Up, vec![down(pod_fault)], reached).verdict(Mode::Local).ready;
        assert!(ready(false, true));
        assert!(!ready(true, true));
        assert!(!ready(false, false));
        assert_eq!(input(TrackState::Down, Vec::new(), true).verdict(Mode::Local).blocking, [NODE_CHECK]);
    }

    #[test]
    fn unknown_is_not_ready() {
        let target = TargetHealth { name: "db", required: true, state: TrackState::Unknown, pod_fault: false };
        assert_eq!(input(TrackState::Up, vec![target], false).verdict(Mode::Strict).blocking, ["db"]);
    }
}
