//! Every check for every target, once, from the local tailscaled to the service's answer; and advisories.

mod advisories;
mod bundle;
mod check_target;
mod examine;
mod json;
mod names;
mod probes;
mod redact;

pub use advisories::{Advisory, AdvisoryCode};
pub use bundle::bundle;
pub use check_target::{CheckReport, check_target};
pub use examine::{DoctorEnv, examine};
pub use names::NameAnswers;

use crate::command_hint::{CommandSubject, PodContext};
use crate::config::{Depth, Target, url};
use crate::diagnose::{Check, Diagnosis, StepStatus};
use crate::document::Document;
use crate::node::Node;
use crate::path::Sample;
use crate::peer::TargetPeer;
use crate::probe_result::Timings;
use crate::reason::{AppliesTo, Failure, Reason};
use crate::tailscale::{Prefs, Warning};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The result of all checks.
#[derive(Clone, Debug)]
pub struct DoctorReport {
    /// When the checks began.
    pub at: SystemTime,
    /// The local tailscaled.
    pub node: Node,
    /// This node's tailnet addresses.
    pub addresses: Vec<IpAddr>,
    /// The tailnet's MagicDNS suffix, which the bundle redacts.
    pub suffix: Option<String>,
    /// The node's preferences; none where tailscaled did not answer.
    pub prefs: Option<Prefs>,
    /// tailscaled's health warnings; none where it did not answer.
    pub warnings: Option<Vec<Warning>>,
    /// In the configuration's order.
    pub targets: Vec<TargetReport>,
    /// Findings that are not failures.
    pub advisories: Vec<Advisory>,
    /// For the next commands.
    pub pod: PodContext,
    /// The pages of a running agent; none where no compatible one answers.
    pub agent: Option<RunningAgent>,
}

/// The result of one target's checks.
#[derive(Clone, Debug)]
pub struct TargetReport {
    /// As configured.
    pub target: Arc<Target>,
    /// How far the probe got, if it succeeded; else how far it was to go.
    pub depth: Depth,
    /// How the connect stage reaches it.
    pub via: String,
    /// Its peer; none where the netmap has none.
    pub peer: Option<TargetPeer>,
    /// The path; none where it was not probed.
    pub path: Option<Sample>,
    /// Round trip of a disco ping.
    pub round_trip: Option<Duration>,
    /// How long the probe's stages took.
    pub timings: Timings,
    /// What resolvers answer for its name; none where the target is an address, or tailscaled does not answer.
    pub names: Option<NameAnswers>,
    /// The verdict and the checks.
    pub diagnosis: Diagnosis,
}

/// The pages of an agent that runs beside the doctor. It remembers what the doctor, which sees only now, cannot know.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningAgent {
    /// `/api/v1/status`
    pub document: Document,
    /// `/metrics`
    pub metrics: String,
}

/// One root cause, with all targets that are down because of it.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    /// The failure of the first target.
    pub failure: &'a Failure,
    /// The targets, at least one.
    pub targets: Vec<&'a TargetReport>,
}

impl DoctorReport {
    /// 0 all targets are up, 1 a required one is down, 2 only optional ones are.
    pub fn exit_code(&self) -> u8 {
        match self.down() {
            (0, _) => 0,
            (_, 0) => 2,
            (_, _) => 1,
        }
    }

    /// The verdict in a sentence.
    pub fn verdict(&self) -> String {
        let count = self.targets.len();
        match self.down() {
            (0, _) => format!("{count} of {count} targets up"),
            (down, 0) => format!("{down} of {count} targets down, none of them required"),
            (down, required) if required == down => format!("{down} of {count} targets down"),
            (down, required) => format!("{down} of {count} targets down, {required} of them required"),
        }
    }

    /// How many targets are down, and how many of those are required.
    fn down(&self) -> (usize, usize) {
        let down = self.targets.iter().filter(|target| target.diagnosis.verdict.is_err());
        (down.clone().count(), down.filter(|target| target.target.required).count())
    }

    /// Every root cause, once.
    pub fn findings(&self) -> Vec<Finding<'_>> {
        let mut findings: Vec<(String, Finding<'_>)> = Vec::new();
        for target in &self.targets {
            let Err(failure) = &target.diagnosis.verdict else { continue };
            let root = target.root_cause(failure.reason);
            match findings.iter_mut().find(|(other, _)| *other == root) {
                Some((_, finding)) => finding.targets.push(target),
                None => findings.push((root, Finding { failure, targets: vec![target] })),
            }
        }
        findings.into_iter().map(|(_, finding)| finding).collect()
    }

    /// The subject of an advisory's command: the first of its targets.
    pub fn subject(&self, targets: &[String]) -> CommandSubject {
        let first = self.targets.iter().find(|target| targets.first() == Some(&target.target.name));
        first.map(TargetReport::subject).unwrap_or_default()
    }
}

impl TargetReport {
    /// The target as the subject of a command.
    pub fn subject(&self) -> CommandSubject {
        let target = &self.target;
        let host = target.host.to_string();
        let port = target.port;
        CommandSubject {
            name: target.name.clone(),
            fqdn: self.peer.as_ref().map_or_else(|| host.clone(), |peer| peer.name.clone()),
            address: self.peer.as_ref().map_or_else(|| host.clone(), |peer| peer.address.to_string()),
            host,
            port,
            url: url(target),
            local_check: target.kind.local_check(port),
        }
    }

    /// The first failed check; none while the target is up.
    pub fn failed_check(&self) -> Option<Check> {
        self.diagnosis.steps.iter().find(|step| step.state == StepStatus::Failed).map(|step| step.check)
    }

    /// Two targets with the same root cause share a finding.
    fn root_cause(&self, reason: Reason) -> String {
        let shared = match Check::failed_by(reason) {
            // The node's own fault, or that of several machines.
            _ if reason == Reason::ConnectIsolated => String::new(),
            Check::Socket | Check::Permission | Check::Backend | Check::OwnKey => String::new(),
            Check::Name | Check::Netmap | Check::PeerKey | Check::Path | Check::Tunnel => self.target.host.to_string(),
            // A proxy that is at fault itself fails for every target behind it.
            Check::Tcp if reason.applies_to() == AppliesTo::Socks && reason != Reason::ConnectSocksFailed => {
                self.via.clone()
            }
            Check::Tcp | Check::Protocol => self.target.name.clone(),
        };
        format!("{} {shared}", reason.slug())
    }
}
