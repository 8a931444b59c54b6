//! When a container is probed, and what the answers make of it. No I/O: times are since the pod's start.

use std::time::Duration;

use super::spec::ProbeSpec;

/// One probe of one run of a container.
#[derive(Debug)]
pub(super) struct Prober {
    period: Duration,
    failure_threshold: u32,
    success_threshold: u32,
    /// Nothing while it waits for the startup probe.
    due: Option<Duration>,
    in_flight: bool,
    last: Option<bool>,
    in_a_row: u32,
    verdict: bool,
}

impl Prober {
    /// The verdict is what holds until a threshold is reached: only liveness begins with a good one.
    pub(super) fn new(spec: &ProbeSpec, verdict: bool) -> Self {
        Self {
            period: Duration::from_secs(spec.period_seconds.into()),
            failure_threshold: spec.failure_threshold,
            success_threshold: spec.success_threshold,
            due: None,
            in_flight: false,
            last: None,
            in_a_row: 0,
            verdict,
        }
    }

    /// It is due now for the first time.
    pub(super) fn begin(&mut self, now: Duration) {
        self.due = Some(now);
    }

    /// No more turns.
    pub(super) fn end(&mut self) {
        self.due = None;
    }

    /// Begins a probe, if it is due. As in the kubelet a period is skipped while an answer is awaited.
    pub(super) fn begin_if_due(&mut self, now: Duration) -> bool {
        let Some(due) = self.due.filter(|due| *due <= now) else { return false };
        self.due = Some(due + self.period);
        !std::mem::replace(&mut self.in_flight, true)
    }

    /// Counts an answer, and gives the verdict where this one made it: of a failure again and again, for whoever restarts.
    pub(super) fn record(&mut self, success: bool) -> Option<bool> {
        self.in_flight = false;
        self.in_a_row = if self.last == Some(success) { self.in_a_row + 1 } else { 1 };
        self.last = Some(success);
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        if self.in_a_row < threshold {
            return None;
        }
        self.verdict = success;
        Some(success)
    }

    /// What holds now.
    pub(super) fn verdict(&self) -> bool {
        self.verdict
    }

    /// How many answers in a row were like the last one.
    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn prober(failure_threshold: u32, verdict: bool) -> Prober {
        let spec = json!({
            "httpGet": {"path": "/", "port": "telltail"}, "periodSeconds": 5, "failureThreshold": failure_threshold,
        });
        Prober::new(&serde_json::from_value(spec).unwrap(), verdict)
    }

    #[test]
    fn only_failures_in_a_row_reach_the_threshold() {
        let mut prober = prober(2, true);
        assert_eq!(prober.record(false), None);
        assert_eq!(prober.record(true), Some(true));
        assert_eq!(prober.record(false), None);
        assert!(prober.verdict());
        assert_eq!(prober.record(false), Some(false));
        assert!(!prober.verdict());
    }

    #[test]
    fn one_success_is_enough() {
        let mut prober = prober(2, false);
        assert_eq!(prober.record(true), Some(true));
    }

    #[test]
    fn turns_keep_their_period_whenever_they_are_taken() {
        let mut prober = prober(2, false);
        let at = Duration::from_secs_f64;
        assert!(!prober.begin_if_due(at(100.0)), "it has not begun");
        prober.begin(at(1.0));
        assert!(prober.begin_if_due(at(1.2)));
        prober.record(true);
        assert!(!prober.begin_if_due(at(5.9)));
        assert!(prober.begin_if_due(at(6.0)));
    }

    #[test]
    fn no_turn_is_taken_while_an_answer_is_awaited() {
        let mut prober = prober(2, false);
        let at = Duration::from_secs;
        prober.begin(at(0));
        assert!(prober.begin_if_due(at(0)));
        assert!(!prober.begin_if_due(at(5)));
        prober.record(false);
        assert!(prober.begin_if_due(at(10)));
    }
}
