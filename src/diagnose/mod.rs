//! Evidence in, diagnosis out: the first check that fails, in order from the local tailscaled to the service's answer. No I/O;
//! wall time is an argument, because a key's expiry is a date.

mod check;
mod failed_check;
mod timeout;

pub use check::Check;
pub use timeout::{PingEvidence, PingOutcome, Testimony, refine_timeout};

use crate::node::Node;
use crate::path::Sample;
use crate::peer::TargetPeer;
use crate::probe_result::Timings;
use crate::reason::{Failure, Reason};
use crate::slug::slug_enum;
use crate::untrusted::escape;
use std::time::{Duration, SystemTime};

/// Observations of one target.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The local tailscaled.
    pub node: &'a Node,
    /// The target's peer; none where the netmap has none, or was not asked.
    pub peer: Option<&'a TargetPeer>,
    /// What the probe proved, in a word, or why it failed. A timeout may not be refined yet.
    pub outcome: Result<&'a str, &'a Failure>,
    /// How long each stage of the probe took, where it succeeded.
    pub timings: Timings,
    /// The connection method in effect.
    pub via: &'a str,
    /// The path to the target's machine, where it was probed and is known.
    pub path: Option<&'a Sample>,
    /// Round trip of a disco ping, where one was answered.
    pub round_trip: Option<Duration>,
    /// Pings of the layers below TCP, where they were sent.
    pub pings: Option<&'a PingEvidence>,
    /// Now.
    pub wall: SystemTime,
}

/// The diagnosis of a target, with its evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// What was proven, or why it failed, with a timeout refined.
    pub verdict: Result<String, Failure>,
    /// Every check, in order.
    pub steps: Vec<Step>,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which.
    pub check: Check,
    /// Did it pass?
    pub state: StepStatus,
    /// What shows it, or why it was not tried; for a person, escaped.
    pub evidence: String,
}

slug_enum! {
    /// Did a check pass?
    pub enum StepStatus {
        /// Yes.
        Passed = "ok",
        /// No, and it is the first that did not.
        Failed = "failed",
        /// Skipped, or inconclusive.
        NotTried = "not_tried",
    }
}

/// Finds the first check that fails, and the evidence of each.
pub fn diagnose(evidence: &Evidence<'_>) -> Diagnosis {
    let verdict = match (evidence.outcome, evidence.pings) {
        (Ok(proven), _) => Ok(proven.to_owned()),
        (Err(failure), Some(pings)) => Err(refine_timeout(failure.clone(), pings)),
        (Err(failure), None) => Err(failure.clone()),
    };
    let failed = verdict.as_ref().err().map(|failure| (failed_check(failure.reason, evidence.pings), failure));
    let step = |check: Check| {
        let (state, evidence) = match (failed, check.passed_evidence(evidence)) {
            (Some((first, failure)), _) if first == check => (StepStatus::Failed, failure.cause.clone()),
            (_, Some(passed)) => (StepStatus::Passed, escape(&passed)),
            (Some((first, _)), None) if first < check => (StepStatus::NotTried, first.skip_reason().to_owned()),
            (_, None) => (StepStatus::NotTried, check.unknown_reason(evidence).to_owned()),
        };
        Step { check, state, evidence }
    };
    let steps = Check::ALL.into_iter().map(step).collect();
    Diagnosis { verdict, steps }
}

/// A dead tunnel is the path's fault if the disco ping got no reply either.
fn failed_check(reason: Reason, pings: Option<&PingEvidence>) -> Check {
    let silent = pings.is_some_and(|pings| pings.disco == PingOutcome::Timeout);
    let check = Check::failed_by(reason);
    if check == Check::Tunnel && silent { Check::Path } else { check }
}

#[cfg(test)]
mod tests;
