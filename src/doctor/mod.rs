//! Whose fault it is, now: the ladder, climbed once for every target, and what else a person should know.

mod advise;
mod agent;
mod ask;
mod bundle;
mod examine;
mod json;
mod print;
mod redact;

pub use agent::Agent;
pub use ask::probed;
pub use bundle::bundle;
pub use examine::{Place, examine};

use crate::advice::Advisory;
use crate::command_hint::{PodContext, Subject};
use crate::config::Target;
use crate::diagnose::{Diagnosis, Timings};
use crate::node::Node;
use crate::path::Sample;
use crate::peer::TargetPeer;
use crate::reason::{Failure, Reason};
use crate::tailscale::{Prefs, Warning};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// When.
    pub at: SystemTime,
    /// The local tailscaled.
    pub node: Node,
    /// This node's tailnet addresses.
    pub addresses: Vec<IpAddr>,
    /// The tailnet's MagicDNS suffix; for those who must not repeat it.
    pub suffix: Option<String>,
    /// What it was told to do; none where it did not say.
    pub prefs: Option<Prefs>,
    /// What tailscaled warns of; none where it did not say.
    pub warnings: Option<Vec<Warning>>,
    /// In the configuration's order.
    pub targets: Vec<Examined>,
    /// What else was found.
    pub advice: Vec<Advisory>,
    /// For the commands.
    pub home: PodContext,
    /// What the running agent says; none where there is none.
    pub agent: Option<Agent>,
}

/// One target, examined.
#[derive(Clone, Debug)]
pub struct Examined {
    /// As configured.
    pub target: Target,
    /// The way of the connect stage.
    pub via: String,
    /// Who it is in the netmap; none where nobody.
    pub peer: Option<TargetPeer>,
    /// The path, where it was looked for.
    pub path: Option<Sample>,
    /// Round trip of a disco ping.
    pub round_trip: Option<Duration>,
    /// How long the probe's stages took.
    pub timings: Timings,
    /// What the name stands for elsewhere; none where there is no name, or nobody to ask.
    pub names: Option<Names>,
    /// The verdict and the ladder.
    pub diagnosis: Diagnosis,
}

/// What a name stands for by those who could be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    /// MagicDNS at 100.100.100.100; none in userspace mode, where nothing in the pod can ask it.
    pub magic_dns: Option<Result<Vec<IpAddr>, String>>,
    /// The pod's own resolver; none without a readable resolv.conf.
    pub pod: Option<crate::probe::resolver::LookupResult>,
}

/// One thing that is wrong, with all targets that it takes down.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    /// What, for the first target.
    pub failure: &'a Failure,
    /// Whom.
    pub targets: Vec<&'a Examined>,
}

impl Report {
    /// 0 fine, 1 a required target is down, 2 only optional ones are.
    pub fn exit_code(&self) -> u8 {
        let down: Vec<_> = self.targets.iter().filter(|one| one.diagnosis.verdict.is_err()).collect();
        match (down.is_empty(), down.iter().any(|one| one.target.required)) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        }
    }

    /// What is wrong, each root once.
    pub fn findings(&self) -> Vec<Finding<'_>> {
        let mut findings: Vec<(String, Finding<'_>)> = Vec::new();
        for one in &self.targets {
            let Err(failure) = &one.diagnosis.verdict else { continue };
            let root = root(failure.reason, one);
            match findings.iter_mut().find(|(other, _)| *other == root) {
                Some((_, finding)) => finding.targets.push(one),
                None => findings.push((root, Finding { failure, targets: vec![one] })),
            }
        }
        findings.into_iter().map(|(_, finding)| finding).collect()
    }

    /// What an advice's command is about.
    fn subject(&self, targets: &[String]) -> Subject {
        let first = self.targets.iter().find(|one| targets.first() == Some(&one.target.name));
        first.map(Examined::subject).unwrap_or_default()
    }
}

/// Two targets with the same root are down for one and the same thing.
fn root(reason: Reason, one: &Examined) -> String {
    use crate::diagnose::Check;
    let about = match Check::failed_by(reason) {
        Check::Socket | Check::Permission | Check::Backend | Check::OwnKey => String::new(),
        Check::Name | Check::Netmap | Check::PeerKey | Check::Path | Check::Tunnel => one.target.host.to_string(),
        Check::Tcp if reason.slug().starts_with("connect_socks") && reason != Reason::ConnectSocksFailed => {
            one.via.clone()
        }
        Check::Tcp | Check::Protocol => one.target.name.clone(),
    };
    format!("{} {about}", reason.slug())
}

impl Examined {
    /// What a command for this target is about.
    pub fn subject(&self) -> Subject {
        let target = &self.target;
        let host = target.host.to_string();
        let port = target.port;
        let ask = match target.kind {
            crate::config::Kind::Postgres => format!("pg_isready -h localhost -p {port}"),
            crate::config::Kind::Valkey => format!("valkey-cli -p {port} ping"),
            crate::config::Kind::Tcp => format!("ss -ltn sport = :{port}"),
        };
        Subject {
            name: target.name.clone(),
            fqdn: self.peer.as_ref().map_or_else(|| host.clone(), |peer| peer.name.clone()),
            address: self.peer.as_ref().map_or_else(|| host.clone(), |peer| peer.address.to_string()),
            host,
            port,
            url: crate::config::url(target),
            ask,
        }
    }
}
