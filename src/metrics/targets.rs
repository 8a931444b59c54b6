//! What is counted of targets. A target's series are made and removed together with it.

use super::{ProbeOutcome, STAGES, counters};
use crate::config::{Depth, Host, Kind, Target, Via};
use crate::health::TrackState;
use crate::probe::ProbeResult;
use crate::probe::Timings;
use crate::reason::{AppliesTo, Reason};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Registry, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// Upper bounds of the histograms' buckets, in seconds.
const BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// A subset for the resolve stage: it looks into the netmap, and at most asks a resolver on the same machine. Its worth is
/// to tell nothing, slow and stuck apart; the fine bounds would cost ten series a target.
const RESOLVE_BOUNDS: [f64; 2] = [0.001, 0.1];

/// The families that are counted by target.
#[derive(Debug)]
pub(super) struct Counters {
    probes: IntCounterVec,
    failures: IntCounterVec,
    transitions: IntCounterVec,
    /// In the order of [`STAGES`].
    durations: [HistogramVec; 3],
}

/// The series of one target.
#[derive(Debug)]
pub(super) struct Series {
    /// What is probed, to tell whether a new configuration still means the same.
    pub(super) target: Target,
    successes: IntCounter,
    failed: IntCounter,
    void: IntCounter,
    ups: IntCounter,
    downs: IntCounter,
    durations: [Histogram; 3],
    reasons: BTreeMap<Reason, IntCounter>,
}

impl Counters {
    pub(super) fn new(r: &Registry) -> Result<Self> {
        let probes = "Probes by how they ended; void ones were cut short by shutdown, reload or our own stall.";
        let failures = "Failed probes by why they failed and whose fault that is: pod, path or service.";
        let transitions = "Changes of a target's state after rise and fall, by the state entered.";
        let [resolve, connect, protocol] = STAGES;
        Ok(Self {
            probes: counters(r, "telltail_probes_total", probes, &["target", "result"])?,
            failures: counters(r, "telltail_probe_failures_total", failures, &["target", "reason", "scope"])?,
            transitions: counters(r, "telltail_target_transitions_total", transitions, &["target", "to"])?,
            durations: [
                durations(r, resolve, &RESOLVE_BOUNDS)?,
                durations(r, connect, &BOUNDS)?,
                durations(r, protocol, &BOUNDS)?,
            ],
        })
    }

    /// Makes every series of a target, at zero.
    pub(super) fn make(&self, target: &Target) -> Series {
        let name = target.name.as_str();
        let result = |result| self.probes.with_label_values(&[name, result]);
        let to = |state: TrackState| self.transitions.with_label_values(&[name, state.slug()]);
        let reasons = Reason::ALL.iter().filter(|reason| can_fail(target, **reason));
        Series {
            successes: result("success"),
            failed: result("failure"),
            void: result("void"),
            ups: to(TrackState::Up),
            downs: to(TrackState::Down),
            durations: self.durations.each_ref().map(|stage| stage.with_label_values(&[name])),
            reasons: reasons.map(|reason| (*reason, self.failure(name, *reason))).collect(),
            target: target.clone(),
        }
    }

    /// Removes every series of a target.
    pub(super) fn remove(&self, series: &Series) {
        let name = series.target.name.as_str();
        // An error says that there is no such series, which is what is wanted.
        for result in ["success", "failure", "void"] {
            self.probes.remove_label_values(&[name, result]).ok();
        }
        for state in TrackState::ALL {
            self.transitions.remove_label_values(&[name, state.slug()]).ok();
        }
        for stage in &self.durations {
            stage.remove_label_values(&[name]).ok();
        }
        for reason in series.reasons.keys() {
            self.failures.remove_label_values(&[name, reason.slug(), reason.scope().slug()]).ok();
        }
    }

    /// Counts one probe.
    pub(super) fn probe(&self, series: &mut Series, outcome: ProbeOutcome<'_>) {
        let ProbeOutcome::Done(ProbeResult { outcome, timings, .. }) = outcome else {
            series.void.inc();
            return;
        };
        match outcome {
            Ok(_) => series.successes.inc(),
            Err(failure) => {
                series.failed.inc();
                // A reason that this target should not have is a slip in `Reason::applies_to`; better shown than lost.
                let Series { reasons, target, .. } = series;
                reasons.entry(failure.reason).or_insert_with(|| self.failure(&target.name, failure.reason)).inc();
            }
        }
        let Timings { resolve, connect, protocol } = timings;
        for (stage, took) in series.durations.iter().zip([resolve, connect, protocol]) {
            if let Some(took) = took {
                stage.observe(Duration::as_secs_f64(took));
            }
        }
    }

    fn failure(&self, name: &str, reason: Reason) -> IntCounter {
        self.failures.with_label_values(&[name, reason.slug(), reason.scope().slug()])
    }
}

impl Series {
    /// Counts one change of state.
    pub(super) fn transition(&self, to: TrackState) {
        match to {
            TrackState::Up => self.ups.inc(),
            TrackState::Down => self.downs.inc(),
            // No track goes back to it.
            TrackState::Unknown => {}
        }
    }
}

/// One stage's histogram; the stage is a constant label, so that each stage has bounds of its own.
fn durations(r: &Registry, stage: &str, bounds: &[f64]) -> Result<HistogramVec> {
    let help =
        "How long the stages of a probe took that succeeded, in seconds; connect only where something was dialled.";
    let opts = HistogramOpts::new("telltail_probe_duration_seconds", help)
        .const_label("stage", stage)
        .buckets(bounds.to_vec());
    let vec = HistogramVec::new(opts, &["target"])?;
    r.register(Box::new(vec.clone())).map(|()| vec)
}

/// Can a probe of this target fail for this reason?
fn can_fail(target: &Target, reason: Reason) -> bool {
    let spoken = |kind| target.depth == Depth::Protocol && target.kind == kind;
    let asked_for_name = matches!(target.host, Host::Name(_));
    match reason.applies_to() {
        // MagicDNS is asked for names only. That it is asked in TUN mode only is not known yet when series are made.
        AppliesTo::Any => asked_for_name || !matches!(reason, Reason::ResolveDnsFailed | Reason::ResolveDnsMismatch),
        AppliesTo::Protocol => spoken(Kind::Postgres) || spoken(Kind::Valkey),
        AppliesTo::Postgres => spoken(Kind::Postgres) && target.user.is_some(),
        AppliesTo::Valkey => spoken(Kind::Valkey),
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
        let results = ["success", "failure", "void"].map(str::to_owned).to_vec();
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
