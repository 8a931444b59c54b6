//! Evidence in, diagnosis out: the lowest broken check of the ladder from the local tailscaled to the service's answer. No
//! I/O; wall time is told, because a key's expiry is a date.

mod check;
mod failed_check;
mod timeout;

pub use check::Check;
pub use timeout::{PingEvidence, PingOutcome, refine_timeout};

use crate::node::Node;
use crate::path::Sample;
use crate::peer::TargetPeer;
use crate::probe_result::Timings;
use crate::reason::{Failure, Reason, escape};
use crate::slug::slug_enum;
use std::time::{Duration, SystemTime};

/// What was seen of one target.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The local tailscaled.
    pub node: &'a Node,
    /// The target's peer; none where the netmap has none, or was not asked.
    pub peer: Option<&'a TargetPeer>,
    /// What the probe proved, in a word, or why it failed. A silence may still be unnamed.
    pub outcome: Result<&'a str, &'a Failure>,
    /// How long each stage of the probe took, where it succeeded.
    pub timings: Timings,
    /// The way of the connect stage.
    pub via: &'a str,
    /// The path to the target's machine, where it was looked for and can be told.
    pub path: Option<&'a Sample>,
    /// Round trip of a disco ping, where one was answered.
    pub round_trip: Option<Duration>,
    /// What pings of the layers below TCP told, where they were sent.
    pub pings: Option<PingEvidence>,
    /// Now.
    pub wall: SystemTime,
}

/// What is the matter with a target, and what shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// What was proven, or why it failed, with a silence named.
    pub verdict: Result<String, Failure>,
    /// Every check, from the lowest to the highest.
    pub steps: Vec<Step>,
}

/// One check of a ladder.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which.
    pub check: Check,
    /// Does it hold?
    pub state: StepStatus,
    /// What shows it, or why it was not tried; for a person, escaped.
    pub evidence: String,
}

slug_enum! {
    /// Does a check hold?
    pub enum StepStatus {
        /// Yes.
        Passed = "ok",
        /// No, and those below it do.
        Failed = "failed",
        /// Nobody asked, or nobody could tell.
        NotTried = "not_tried",
    }
}

/// Names the lowest broken check, and what was seen of each.
pub fn diagnose(evidence: &Evidence<'_>) -> Diagnosis {
    let verdict = match (evidence.outcome, evidence.pings) {
        (Ok(proven), _) => Ok(proven.to_owned()),
        (Err(failure), Some(pings)) => Err(refine_timeout(failure.clone(), pings)),
        (Err(failure), None) => Err(failure.clone()),
    };
    let broken = verdict.as_ref().err().map(|failure| (failed_check(failure.reason, evidence.pings), failure));
    let step = |check: Check| {
        let (state, evidence) = match (broken, check.shown(evidence)) {
            (Some((lowest, failure)), _) if lowest == check => (StepStatus::Failed, failure.cause.clone()),
            (_, Some(shown)) => (StepStatus::Passed, escape(&shown)),
            (Some((lowest, _)), None) if lowest < check => (StepStatus::NotTried, lowest.bars().to_owned()),
            (_, None) => (StepStatus::NotTried, check.untold(evidence).to_owned()),
        };
        Step { check, state, evidence }
    };
    let steps = Check::ALL.into_iter().map(step).collect();
    Diagnosis { verdict, steps }
}

/// A dead tunnel is the path's fault where not even the question beside the tunnel was answered.
fn failed_check(reason: Reason, pings: Option<PingEvidence>) -> Check {
    let silent = pings.is_some_and(|pings| pings.disco == PingOutcome::Timeout);
    let check = Check::failed_by(reason);
    if check == Check::Tunnel && silent { Check::Path } else { check }
}

#[cfg(test)]
mod tests;
