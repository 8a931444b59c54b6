//! The local tailscaled's own state, and whether the tailnet can be used at all. No I/O; wall time is an argument,
//! because a key's expiry is a date.

use crate::network_mode::NetworkMode;
use crate::reason::{Failure, Reason};
use crate::slug::slug_enum;
use crate::tailscale::Status;
use std::time::SystemTime;

slug_enum! {
    /// tailscaled's backend state, `unknown` for a word this telltail does not know, `unreachable` without an answer.
    pub enum NodeState {
        /// `NoState`: just started.
        NoState = "no_state",
        /// `NeedsLogin`: not logged in, or the key has expired.
        NeedsLogin = "needs_login",
        /// `NeedsMachineAuth`: waits for an administrator.
        NeedsMachineAuth = "needs_machine_auth",
        /// `Stopped`: `tailscale down`.
        Stopped = "stopped",
        /// `Starting`.
        Starting = "starting",
        /// `Running`.
        Running = "running",
        /// A word that this telltail does not know.
        Unknown = "unknown",
        /// No answer from tailscaled.
        Unreachable = "unreachable",
    }
}

impl NodeState {
    fn of(word: &str) -> Self {
        match word {
            "NoState" => Self::NoState,
            "NeedsLogin" => Self::NeedsLogin,
            "NeedsMachineAuth" => Self::NeedsMachineAuth,
            "Stopped" => Self::Stopped,
            "Starting" => Self::Starting,
            "Running" => Self::Running,
            _ => Self::Unknown,
        }
    }
}

/// The local node as of one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The backend state.
    pub state: NodeState,
    /// Why nothing can be dialled; none while the node is fine.
    pub fault: Option<Failure>,
    /// What tailscaled reports; none while it is unreachable.
    pub facts: Option<Facts>,
}

/// What a reachable tailscaled reports of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Is a connection to the control plane open? A hint, never a verdict.
    pub online: bool,
    /// tailscaled's version.
    pub version: String,
    /// tailscaled's networking mode.
    pub mode: NetworkMode,
    /// The host name the node gave itself.
    pub hostname: String,
    /// When its key expires; none where it never does.
    pub key_expiry: Option<SystemTime>,
    /// Code of its home DERP region; empty where it has none.
    pub home_region: String,
    /// The region's number in the DERP map; none until it was looked up.
    pub home_region_id: Option<u32>,
}

impl Node {
    /// Before the first answer.
    pub fn initial() -> Self {
        Self { state: NodeState::Unreachable, fault: None, facts: None }
    }

    /// tailscaled gave no usable answer.
    pub fn unreachable(fault: Failure) -> Self {
        Self { state: NodeState::Unreachable, fault: Some(fault), facts: None }
    }

    /// Judges an answer.
    pub fn of(status: &Status, wall: SystemTime) -> Self {
        let state = NodeState::of(&status.backend_state);
        let facts = Facts {
            online: status.own.online,
            version: status.version.clone(),
            mode: status.mode,
            hostname: status.own.host_name.clone(),
            key_expiry: status.own.key_expiry,
            home_region: status.own.home_region.clone(),
            home_region_id: None,
        };
        Self { state, fault: fault(state, status, wall), facts: Some(facts) }
    }

    /// Can targets be dialled?
    pub fn is_fine(&self) -> bool {
        self.facts.is_some() && self.fault.is_none()
    }
}

fn fault(state: NodeState, status: &Status, wall: SystemTime) -> Option<Failure> {
    let expired = status.own.key_expiry.is_some_and(|expiry| expiry <= wall);
    let reason = match state {
        NodeState::Running if status.own.addresses.is_empty() => Reason::NodeNoAddress,
        NodeState::Running => return None,
        NodeState::NoState | NodeState::Starting => Reason::NodeStarting,
        NodeState::NeedsLogin if expired => Reason::NodeKeyExpired,
        NodeState::NeedsLogin => Reason::NodeNeedsLogin,
        NodeState::NeedsMachineAuth => Reason::NodeNeedsApproval,
        NodeState::Stopped => Reason::NodeStopped,
        NodeState::Unknown | NodeState::Unreachable => Reason::NodeLocalapiInvalid,
    };
    Some(Failure::new(reason, format_args!("tailscaled is in state {}", status.backend_state)))
}
