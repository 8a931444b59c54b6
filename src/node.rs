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
    let login_error = status.login_error.as_deref();
    let reason = match state {
        NodeState::Running if status.own.addresses.is_empty() => Reason::NodeNoAddress,
        NodeState::Running => return None,
        NodeState::NeedsLogin if expired => Reason::NodeKeyExpired,
        NodeState::NoState | NodeState::Starting | NodeState::NeedsLogin
            if login_error.is_some_and(is_control_unreachable) =>
        {
            Reason::NodeControlUnreachable
        }
        NodeState::NoState | NodeState::Starting if login_error.is_none() => Reason::NodeStarting,
        NodeState::NoState | NodeState::Starting | NodeState::NeedsLogin => Reason::NodeNeedsLogin,
        NodeState::NeedsMachineAuth => Reason::NodeNeedsApproval,
        NodeState::Stopped => Reason::NodeStopped,
        NodeState::Unknown | NodeState::Unreachable => Reason::NodeLocalapiInvalid,
    };
    let told = login_error.map(|error| format!("; last login error: {error}")).unwrap_or_default();
    Some(Failure::new(reason, format_args!("tailscaled is in state {}{told}", status.backend_state)))
}

/// How login errors begin in which the control plane had no say (`doLogin` and `loadServerPubKeys` in
/// `control/controlclient/direct.go`, 1.80.3 to 1.102.5). Those about JSON are of another server's page in its place. Any other
/// text is the control plane's own.
const CONTROL_UNREACHABLE: &[&str] = &[
    "fetch control key",
    "create control key request",
    "multiple errors: invalid character",
    "invalid character",
    "unexpected end of JSON input",
    "control server is too old",
    "getNoiseClient",
    "register request: ",
    "node registration rate limited",
    "context deadline exceeded",
];

/// Does a login error say that the control plane does not answer, or not as one, so that a new auth key would not help?
fn is_control_unreachable(error: &str) -> bool {
    if let Some(answer) = error.strip_prefix("register request: http ") {
        // A headscale that does not know a key may answer 500 and say so.
        let about_key = ["authkey", "auth key", "preauth"].iter().any(|word| answer.contains(word));
        return answer.starts_with("429") || !answer.starts_with('4') && !about_key;
    }
    CONTROL_UNREACHABLE.iter().any(|beginning| error.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(state: &str, login_error: &str) -> Option<Reason> {
        let login_error = (!login_error.is_empty()).then(|| login_error.to_owned());
        let status = Status { backend_state: state.to_owned(), login_error, ..Status::default() };
        Node::of(&status, SystemTime::UNIX_EPOCH).fault.map(|fault| fault.reason)
    }

    /// Seen at a real tailscaled, or quoted in issues of tailscale and headscale.
    #[test]
    fn a_login_error_tells_a_control_plane_that_does_not_answer_from_a_key_that_it_refuses() {
        for error in [
            "fetch control key: Get \"https://REDACTED\": dial tcp 10.9.9.1:8080: connect: connection refused",
            "fetch control key: Get \"https://REDACTED\": connection attempts aborted by context: context deadline exceeded",
            "fetch control key: Get \"https://REDACTED\": failed to resolve \"control.example.net\": no DNS fallback",
            "fetch control key: Get \"https://REDACTED\": x509: certificate signed by unknown authority",
            "fetch control key: Get \"https://REDACTED\": tls: first record does not look like a TLS handshake",
            "fetch control key: Get \"https://REDACTED\": read tcp 10.9.9.1:57172->10.9.9.1:8080: read: connection reset by peer",
            "fetch control key: 502 Bad Gateway",
            "fetch control key: 404 Not Found",
            "invalid character '<' looking for beginning of value key hex has the wrong size, got 19 want 64",
            "multiple errors: invalid character '<' looking for beginning of value key hex has the wrong size",
            "register request: Post \"https://REDACTED\": connection attempts aborted by context: context deadline exceeded",
            "register request: http 503: upstream connect error",
            "register request: http 429: slow down",
            "node registration rate limited; will retry after 10s",
        ] {
            for state in ["NeedsLogin", "NoState", "Starting"] {
                assert_eq!(reason(state, error), Some(Reason::NodeControlUnreachable), "{state} {error}");
            }
        }
        for error in [
            "invalid authkey",
            "authkey expired",
            "authkey already used",
            "invalid pre auth key",
            "invalid key: API key does not exist",
            "invalid key: API key kE7PfU6CNTRL not valid",
            "invalid key: unable to validate API key",
            "register request: http 401: invalid pre auth key",
            "register request: http 500: Internal Server Error: invalid pre auth key",
        ] {
            for state in ["NeedsLogin", "NoState"] {
                assert_eq!(reason(state, error), Some(Reason::NodeNeedsLogin), "{state} {error}");
            }
        }
        let silent = ["NeedsLogin", "NoState", "Starting"].map(|state| reason(state, ""));
        assert_eq!(silent, [Reason::NodeNeedsLogin, Reason::NodeStarting, Reason::NodeStarting].map(Some));
        assert_eq!(reason("Stopped", "fetch control key: 502 Bad Gateway"), Some(Reason::NodeStopped));
    }

    #[test]
    fn an_expired_key_stays_expired_while_the_control_plane_is_away() {
        let mut status = Status { backend_state: "NeedsLogin".to_owned(), ..Status::default() };
        status.login_error = Some("fetch control key: 502 Bad Gateway".to_owned());
        status.own.key_expiry = Some(SystemTime::UNIX_EPOCH);
        let fault = Node::of(&status, SystemTime::UNIX_EPOCH).fault;
        assert_eq!(fault.map(|fault| fault.reason), Some(Reason::NodeKeyExpired));
    }
}
