//! The status document: `/api/v1/status` returns it; the status page and `telltail status` render it.
//!
//! Its form is a contract: `docs/status.schema.json` defines it and `docs/status.md` explains it. Text from peers and servers
//! is escaped (`untrusted::escape`). It contains no addresses but those in the configuration and those that a cause
//! quotes.

mod derived;
mod from_snapshot;
mod sentence;
pub(crate) mod time;

pub use derived::HistoryEntry;
pub use time::elapsed;

use crate::reason::{Reason, Stage};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Version of the document's form. It changes when a field is removed or changes its meaning.
pub const VERSION: u32 = 1;

/// A keyword of a closed list, or escaped text.
pub type SafeText = Cow<'static, str>;

/// The whole state at one moment. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// When the snapshot was taken.
    pub at: String,
    /// The version of telltail.
    pub telltail: SafeText,
    /// Whether `/healthz` answers 200.
    pub ready: bool,
    /// The verdict in one sentence, for a person.
    pub verdict: String,
    /// How readiness was decided.
    pub readiness: ReadinessJson,
    /// The startup gate.
    pub startup_gate: GateJson,
    /// The local tailscaled.
    pub node: NodeJson,
    /// The targets, in the configuration's order.
    pub targets: Vec<TargetJson>,
    /// The configuration in force.
    pub config: ConfigJson,
    /// Longest delay of a round in the last minute.
    pub lag_ms: f64,
}

/// How readiness was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadinessJson {
    /// The mode in force.
    pub mode: SafeText,
    /// The checks that block: `node` or targets.
    pub blocking: Vec<String>,
    /// Whether telltail is shutting down and hence not ready in any mode.
    pub draining: bool,
    /// What each mode would answer.
    pub by_mode: BTreeMap<SafeText, bool>,
}

/// The startup gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateJson {
    /// Its condition.
    pub waits_for: SafeText,
    /// Whether `/startupz` answers 200.
    pub open: bool,
    /// Why it opened; none while it is closed.
    pub cause: Option<SafeText>,
}

/// The local tailscaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeJson {
    /// The state of its check, after rise and fall: unknown, up or down.
    pub state: SafeText,
    /// When it entered that state.
    pub since: String,
    /// tailscaled's backend state, or `unreachable`.
    pub tailscaled: SafeText,
    /// Why no target can be dialled; none while the node works.
    pub failure: Option<FailureJson>,
    /// tailscaled's version; like the next fields, none while it is unreachable.
    pub tailscaled_version: Option<String>,
    /// `userspace` or `tun`.
    pub mode: Option<SafeText>,
    /// The node's host name.
    pub hostname: Option<String>,
    /// Whether it is connected to the control plane.
    pub online: Option<bool>,
    /// When its key expires; none if it never does.
    pub key_expiry: Option<String>,
    /// Its home DERP region.
    pub home_region: Option<RegionJson>,
    /// tailscaled's health warnings.
    pub warnings: Vec<WarningJson>,
    /// The last changes of `state`, newest first.
    pub transitions: Vec<TransitionJson>,
}

/// A DERP region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionJson {
    /// Its short name.
    pub code: String,
    /// Its number; none while it is unknown.
    pub id: Option<u32>,
}

/// A health warning of tailscaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarningJson {
    /// Its code.
    pub code: String,
    /// Its severity according to tailscaled.
    pub severity: SafeText,
    /// Whether it affects connections, according to tailscaled.
    pub impacts_connectivity: bool,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetJson {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub kind: SafeText,
    /// Its host, as configured.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether readiness depends on it.
    pub required: bool,
    /// How far a probe goes.
    pub depth: SafeText,
    /// How the connect stage now reaches it.
    pub via: String,
    /// Whether probes connect as no worker does: through the LocalAPI, or without a proxy in userspace mode ([`crate::config::Via::tests_worker_path`]).
    pub worker_way_untested: bool,
    /// Its state, after rise and fall: unknown, up or down.
    pub state: SafeText,
    /// When it entered that state.
    pub since: String,
    /// Why the last probe failed; none if it succeeded.
    pub failure: Option<FailureJson>,
    /// The last probe; none before the first.
    pub last_probe: Option<ProbeJson>,
    /// When a probe last succeeded.
    pub last_success: Option<String>,
    /// Time from the last probe to the next, without jitter.
    pub interval_seconds: f64,
    /// The path that packets take to it.
    pub path: PathJson,
    /// Its peer.
    pub peer: PeerJson,
    /// The last changes of `state`, newest first.
    pub transitions: Vec<TransitionJson>,
    /// The last changes of the path, newest first.
    pub path_changes: Vec<PathChangeJson>,
}

/// Why a check failed, who is at fault, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureJson {
    /// The reason's slug.
    pub reason: SafeText,
    /// Who is at fault.
    pub scope: SafeText,
    /// The evidence. It may quote a peer or server, escaped.
    pub cause: String,
    /// What happened.
    pub sentence: SafeText,
    /// What to do next.
    pub next_step: SafeText,
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeJson {
    /// When it ended.
    pub at: String,
    /// What it proved; none if it failed.
    pub detail: Option<SafeText>,
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

/// The path that packets take to a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathJson {
    /// direct, peer_relay, derp, idle or unknown.
    pub kind: SafeText,
    /// Since when.
    pub since: String,
    /// The DERP region; none unless the path is DERP.
    pub region: Option<RegionJson>,
    /// The path that the configuration expects.
    pub expect: SafeText,
    /// Whether the path breaks that expectation.
    pub unexpected: bool,
    /// Round trip of a disco ping; none after two lost pings.
    pub rtt_ms: Option<f64>,
}

/// A target's peer in the netmap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerJson {
    /// Whether it was ever in the netmap.
    pub seen: bool,
    /// When its key expires; none if it never does.
    pub key_expiry: Option<String>,
    /// How often the target's peer, or its address, changed.
    pub changes: u64,
    /// The last such change.
    pub last_change: Option<String>,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionJson {
    /// When.
    pub at: String,
    /// The old state.
    pub from: SafeText,
    /// The new state.
    pub to: SafeText,
    /// How long `from` lasted.
    pub lasted_seconds: f64,
    /// Why the deciding probe failed; none if it succeeded.
    pub reason: Option<SafeText>,
    /// Who was at fault.
    pub scope: Option<SafeText>,
    /// The evidence, escaped.
    pub cause: Option<String>,
    /// The path at that moment; none for the node.
    pub path: Option<SafeText>,
    /// Stage timings of the deciding probe; none for the node.
    pub stages: Option<StagesJson>,
}

/// A change of path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathChangeJson {
    /// When.
    pub at: String,
    /// The old path.
    pub from: SafeText,
    /// The new path.
    pub to: SafeText,
    /// Its DERP region; none unless `to` is derp.
    pub region: Option<RegionJson>,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigJson {
    /// Its hash.
    pub hash: String,
    /// When telltail last tried to apply a configuration.
    pub last_reload: String,
    /// Why that was rejected; empty if it is in force.
    pub problems: Vec<String>,
}

impl Document {
    /// The body of `/api/v1/status`.
    pub fn json(&self) -> String {
        // Serializing cannot fail: all keys are strings, and NaN becomes null.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl FailureJson {
    /// The reason; none for one that only a newer agent knows.
    pub fn known_reason(&self) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.slug() == self.reason)
    }

    /// The stage that failed.
    pub fn stage(&self) -> Option<Stage> {
        self.known_reason().map(Reason::stage)
    }
}
