//! The status document: what `/api/v1/status` answers, and what the status page and `telltail status` are made from.
//!
//! Its form is a promise: `docs/status.schema.json` describes it and `docs/status.md` explains it. Text from outside is in
//! it only escaped ([`crate::reason::escape`]); of addresses only those that the configuration names, and what a cause
//! quotes.

mod make;
mod sentence;
mod time;

pub use time::{elapsed, words};

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Version of the document's form: another one when a field is taken away or changes its meaning.
pub const VERSION: u32 = 1;

/// A word from a closed list, or text made safe.
pub type Text = Cow<'static, str>;

/// Everything there is to know at one moment. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// The moment.
    pub at: String,
    /// Which telltail says it.
    pub telltail: Text,
    /// What `/healthz` answers.
    pub ready: bool,
    /// The verdict in one sentence, for a person.
    pub verdict: String,
    /// Whence the verdict.
    pub readiness: ReadinessJson,
    /// What `/startupz` answers.
    pub startup_gate: GateJson,
    /// The local tailscaled.
    pub node: NodeJson,
    /// The targets, in the configuration's order.
    pub targets: Vec<TargetJson>,
    /// The configuration in force.
    pub config: ConfigJson,
    /// Worst lateness of a round in the last minute.
    pub lag_ms: f64,
}

/// Whence the verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadinessJson {
    /// The mode in force.
    pub mode: Text,
    /// The checks that block: `node` or targets.
    pub blocking: Vec<String>,
    /// Is telltail shutting down, and hence not ready in any mode?
    pub draining: bool,
    /// What each mode would answer.
    pub by_mode: BTreeMap<Text, bool>,
}

/// The startup gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateJson {
    /// What it waits for.
    pub waits_for: Text,
    /// What `/startupz` answers.
    pub open: bool,
    /// Why it opened; none while it is shut.
    pub cause: Option<Text>,
}

/// The local tailscaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeJson {
    /// Its check, after rise and fall: unknown, up or down.
    pub state: Text,
    /// When that state was entered.
    pub since: String,
    /// What tailscaled says of itself, or `unreachable`.
    pub tailscaled: Text,
    /// Why nothing can be dialled; none while the node is fine.
    pub failure: Option<FailureJson>,
    /// tailscaled's version; like what follows none while it is unreachable.
    pub tailscaled_version: Option<String>,
    /// `userspace` or `tun`.
    pub mode: Option<Text>,
    /// The host name the node gave itself.
    pub hostname: Option<String>,
    /// Is it connected to its control plane?
    pub online: Option<bool>,
    /// When its key expires; none where it never does.
    pub key_expiry: Option<String>,
    /// Its home DERP region.
    pub home_region: Option<RegionJson>,
    /// What tailscaled warns of.
    pub warnings: Vec<WarningJson>,
    /// The last changes of `state`, newest first.
    pub transitions: Vec<TransitionJson>,
}

/// A DERP region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionJson {
    /// Its short name.
    pub code: String,
    /// Its number; none while it is not known.
    pub id: Option<u32>,
}

/// A condition that tailscaled warns of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarningJson {
    /// Its code.
    pub code: String,
    /// How bad tailscaled thinks it is.
    pub severity: Text,
    /// Does tailscaled say that connections suffer?
    pub impacts_connectivity: bool,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetJson {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub kind: Text,
    /// Its host, as configured.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Does readiness depend on it?
    pub required: bool,
    /// How far a probe goes.
    pub depth: Text,
    /// The way of the connect stage as it now is.
    pub via: String,
    /// Is the worker's own way not tested, because tailscaled runs in userspace mode and no proxy is named?
    pub worker_way_untested: bool,
    /// After rise and fall: unknown, up or down.
    pub state: Text,
    /// When that state was entered.
    pub since: String,
    /// Why the last probe failed; none if it succeeded.
    pub failure: Option<FailureJson>,
    /// The last probe; none before the first.
    pub last_probe: Option<ProbeJson>,
    /// When a probe last succeeded.
    pub last_success: Option<String>,
    /// Time from the last probe to the next, without jitter.
    pub interval_seconds: f64,
    /// Over which path packets reach it.
    pub path: PathJson,
    /// The node that carries it.
    pub peer: PeerJson,
    /// The last changes of `state`, newest first.
    pub transitions: Vec<TransitionJson>,
    /// The last changes of the path, newest first.
    pub path_changes: Vec<PathChangeJson>,
}

/// Why something failed, whose fault that is, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureJson {
    /// The code.
    pub reason: Text,
    /// Whose fault it is.
    pub scope: Text,
    /// The evidence: what was seen. Text of a peer or server, escaped.
    pub cause: String,
    /// What happened.
    pub sentence: Text,
    /// What to do next.
    pub next_step: Text,
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeJson {
    /// When it ended.
    pub at: String,
    /// What was proven; none if it failed.
    pub detail: Option<Text>,
    /// How long its stages took.
    pub stages: StagesJson,
}

/// How long each stage of a probe took; none for one that was not needed or did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct StagesJson {
    pub resolve_ms: Option<f64>,
    pub connect_ms: Option<f64>,
    pub protocol_ms: Option<f64>,
}

/// Over which path packets reach a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathJson {
    /// direct, peer_relay, derp, idle or unknown.
    pub kind: Text,
    /// When it was taken.
    pub since: String,
    /// The DERP region; none unless the path is DERP.
    pub region: Option<RegionJson>,
    /// What the target expects.
    pub expect: Text,
    /// Does the path break that?
    pub unexpected: bool,
    /// Round trip of a disco ping; none after two misses.
    pub rtt_ms: Option<f64>,
}

/// The node that carries a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerJson {
    /// Was it ever seen in the netmap?
    pub seen: bool,
    /// When its key expires; none where it never does.
    pub key_expiry: Option<String>,
    /// How often another node, or another address, came to carry the target.
    pub changes: u64,
    /// When that last happened.
    pub last_change: Option<String>,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionJson {
    /// When.
    pub at: String,
    /// The state left behind.
    pub from: Text,
    /// The state entered.
    pub to: Text,
    /// How long `from` had lasted.
    pub lasted_seconds: f64,
    /// Why the probe that decided failed; none if it succeeded.
    pub reason: Option<Text>,
    /// Whose fault that was.
    pub scope: Option<Text>,
    /// The evidence, escaped.
    pub cause: Option<String>,
    /// The path at that moment; none for the node.
    pub path: Option<Text>,
    /// How long the stages of the probe that decided took; none for the node.
    pub stages: Option<StagesJson>,
}

/// A change of path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathChangeJson {
    /// When.
    pub at: String,
    /// The path left behind.
    pub from: Text,
    /// The path taken.
    pub to: Text,
    /// Its DERP region; none unless `to` is derp.
    pub region: Option<RegionJson>,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigJson {
    /// Its hash.
    pub hash: String,
    /// When it was last attempted to read another.
    pub last_reload: String,
    /// What was wrong with that; empty if it is in force.
    pub problems: Vec<String>,
}

impl Document {
    /// As `/api/v1/status` answers it.
    pub fn json(&self) -> String {
        // Nothing in it can fail to be written: no map has keys that are not text, and what is no number becomes null.
        serde_json::to_string(self).unwrap_or_default()
    }
}
