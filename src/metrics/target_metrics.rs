//! Counters and histograms of a target's probes.

use super::counters;
use crate::config::{Depth, Host, Kind, Target, Via};
use crate::health::TrackState;
use crate::probe_result::ProbeResult;
use crate::reason::{AppliesTo, Reason, Stage};
use crate::slug::slug_enum;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Registry, Result};
use std::collections::BTreeMap;

/// Upper bounds of the histograms' buckets, in seconds.
const BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// A subset for the resolve stage, which reads the netmap and at most asks a resolver on the same machine. It tells absent,
/// slow and stuck apart; finer bounds would cost ten series a target.
const RESOLVE_BOUNDS: [f64; 2] = [0.001, 0.1];

slug_enum! {
    /// The label `result`: how a probe ended.
    enum ResultLabel {
        Success = "success",
        Failure = "failure",
        Aborted = "aborted",
    }
}

/// The families of all targets.
#[derive(Clone, Debug)]
pub(super) struct ProbeFamilies {
    probes: IntCounterVec,
    failures: IntCounterVec,
    transitions: IntCounterVec,
    /// In the order of [`crate::probe::Timings::by_stage`].
    durations: [HistogramVec; 3],
}

/// Counts one target's probes and changes of state. See [`super::Metrics::target`].
#[derive(Debug)]
pub struct TargetMetrics {
    name: String,
    results: [IntCounter; ResultLabel::ALL.len()],
    failures: BTreeMap<Reason, IntCounter>,
    all_failures: IntCounterVec,
    ups: IntCounter,
    downs: IntCounter,
    durations: [Histogram; 3],
}

impl ProbeFamilies {
    pub(super) fn new(r: &Registry) -> Result<Self> {
        Ok(Self {
            probes: counters(
                r,
                "telltail_probes_total",
                "Probes, by result; aborted ones were cut short by shutdown, reload, a stall or a shortage of telltail itself.",
                &["target", "result"],
            )?,
            failures: counters(
                r,
                "telltail_probe_failures_total",
                "Failed probes, by reason and by scope: whose fault it is.",
                &["target", "reason", "scope"],
            )?,
            transitions: counters(
                r,
                "telltail_target_transitions_total",
                "State changes of a target after rise and fall, by the new state.",
                &["target", "to"],
            )?,
            durations: [
                durations(r, Stage::Resolve, &RESOLVE_BOUNDS)?,
                durations(r, Stage::Connect, &BOUNDS)?,
                durations(r, Stage::Protocol, &BOUNDS)?,
            ],
        })
    }

    /// Makes every series of a target, at zero.
    pub(super) fn target(&self, target: &Target) -> TargetMetrics {
        let name = target.name.as_str();
        let to = |state: TrackState| self.transitions.with_label_values(&[name, state.slug()]);
        let reasons = Reason::ALL.iter().filter(|reason| can_fail(target, **reason));
        TargetMetrics {
            results: ResultLabel::ALL.map(|result| self.probes.with_label_values(&[name, result.slug()])),
            failures: reasons.map(|reason| (*reason, failure(&self.failures, name, *reason))).collect(),
            all_failures: self.failures.clone(),
            ups: to(TrackState::Up),
            downs: to(TrackState::Down),
            durations: self.durations.each_ref().map(|stage| stage.with_label_values(&[name])),
            name: name.to_owned(),
        }
    }

    /// Removes every series of the target with this name.
    pub(super) fn remove(&self, name: &str) {
        // An error says that there is no such series, which is what is wanted.
        for result in ResultLabel::ALL {
            self.probes.remove_label_values(&[name, result.slug()]).ok();
        }
        for state in TrackState::ALL {
            self.transitions.remove_label_values(&[name, state.slug()]).ok();
        }
        for stage in &self.durations {
            stage.remove_label_values(&[name]).ok();
        }
        for reason in Reason::ALL {
            self.failures.remove_label_values(&[name, reason.slug(), reason.scope().slug()]).ok();
        }
    }
}

impl TargetMetrics {
    /// Counts a probe that succeeded or failed.
    pub fn probe(&self, result: &ProbeResult) {
        match &result.outcome {
            Ok(_) => self.result(ResultLabel::Success),
            Err(failed) => {
                self.result(ResultLabel::Failure);
                match self.failures.get(&failed.reason) {
                    Some(counter) => counter.inc(),
                    // A mistake in `Reason::applies_to`; better shown than lost.
                    None => failure(&self.all_failures, &self.name, failed.reason).inc(),
                }
            }
        }
        for (histogram, (_, took)) in self.durations.iter().zip(result.timings.by_stage()) {
            if let Some(took) = took {
                histogram.observe(took.as_secs_f64());
            }
        }
    }

    /// Counts a probe that shutdown, reload, our own stall or our own shortage cut short: it says nothing of the target.
    pub fn aborted(&self) {
        self.result(ResultLabel::Aborted);
    }

    /// Counts a change of state.
    pub fn transition(&self, to: TrackState) {
        match to {
            TrackState::Up => self.ups.inc(),
            TrackState::Down => self.downs.inc(),
            // No track goes back to it.
            TrackState::Unknown => {}
        }
    }

    fn result(&self, result: ResultLabel) {
        self.results[result as usize].inc();
    }
}

fn failure(failures: &IntCounterVec, name: &str, reason: Reason) -> IntCounter {
    failures.with_label_values(&[name, reason.slug(), reason.scope().slug()])
}

/// One stage's histogram; the stage is a constant label, so that each stage has bounds of its own.
fn durations(r: &Registry, stage: Stage, bounds: &[f64]) -> Result<HistogramVec> {
    let opts = HistogramOpts::new(
        "telltail_probe_duration_seconds",
        "Duration of successful probe stages, in seconds; connect only where a connection was dialled.",
    )
    .const_label("stage", stage.slug())
    .buckets(bounds.to_vec());
    let vec = HistogramVec::new(opts, &["target"])?;
    r.register(Box::new(vec.clone())).map(|()| vec)
}

/// Can a probe of this target fail for this reason?
fn can_fail(target: &Target, reason: Reason) -> bool {
    let speaks = |kind| target.depth == Depth::Protocol && target.kind == kind;
    let has_name = matches!(target.host, Host::Name(_));
    match reason.applies_to() {
        AppliesTo::NoTarget => false,
        // MagicDNS is asked for names only. That it is asked in TUN mode only is not known yet when series are made.
        AppliesTo::Any => has_name || !matches!(reason, Reason::ResolveDnsFailed | Reason::ResolveDnsMismatch),
        AppliesTo::Protocol => speaks(Kind::Postgres) || speaks(Kind::Valkey),
        AppliesTo::Postgres => speaks(Kind::Postgres) && target.user.is_some(),
        AppliesTo::Valkey => speaks(Kind::Valkey),
        AppliesTo::Socks => matches!(target.via, Via::Socks5(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The crate files a series under its label values run together, so `("a", "bc")` and `("ab", "c")` would be one. That
    /// cannot happen while no text after the target's name is the end of another one.
    #[test]
    fn no_two_targets_can_share_a_series() {
        let reasons: Vec<_> = Reason::ALL.iter().map(|r| format!("{}{}", r.slug(), r.scope().slug())).collect();
        let results = ResultLabel::ALL.map(|result| result.slug().to_owned()).to_vec();
        let states = TrackState::ALL.map(|state| state.slug().to_owned()).to_vec();
        for endings in [reasons, results, states] {
            for (i, long) in endings.iter().enumerate() {
                for (j, short) in endings.iter().enumerate() {
                    assert!(i == j || !long.ends_with(short.as_str()), "{long} ends with {short}");
                }
            }
        }
    }
}
