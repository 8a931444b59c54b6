//! Why a probe failed, and whose fault that is.
//!
//! The enum is closed: its slug is the metric label, the log field, the JSON value and the code a person looks up in
//! `docs/troubleshooting.md`. What a peer or server said never becomes a slug; it goes into [`Failure::cause`].

use crate::command_hint::{CommandHint, RunIn};
use crate::slug::slug_enum;
use std::fmt;

slug_enum! {
    /// Whose fault a reason is.
    pub enum Scope {
        /// This pod, its configuration or its tailscaled.
        Pod = "pod",
        /// Between the pod and the service, the tailnet's policy included.
        Path = "path",
        /// The far side answered, or is known to be at fault.
        Service = "service",
    }
}

/// Which targets can fail for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliesTo {
    /// Every target.
    Any,
    /// Targets whose protocol is spoken.
    Protocol,
    /// Postgres targets whose URL names a user.
    Postgres,
    /// Valkey targets.
    Valkey,
    /// Targets that are reached through a SOCKS5 proxy.
    Socks,
}

macro_rules! reasons {
    ($($variant:ident $slug:literal $scope:ident $applies_to:ident: $sentence:literal, $step:literal, $run_in:ident $template:literal;)*) => {
        /// Why a probe failed. A slug begins with its stage: `node` (what tailscaled says of itself, before any stage),
        /// `resolve`, `connect` or `protocol`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $sentence] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order in which the rungs are climbed.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name: metric label, log field, JSON value.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// Whose fault it is.
            pub const fn scope(self) -> Scope {
                match self { $(Self::$variant => Scope::$scope,)* }
            }

            /// Which targets can fail for it.
            pub const fn applies_to(self) -> AppliesTo {
                match self { $(Self::$variant => AppliesTo::$applies_to,)* }
            }

            /// What happened, for a person.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// What to do next, for a person.
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$variant => $step,)* }
            }

            /// The next command to type.
            pub const fn command_hint(self) -> CommandHint {
                match self { $(Self::$variant => CommandHint { run_in: RunIn::$run_in, template: $template },)* }
            }
        }
    };
}

reasons! {
    NodeSocketMissing "node_socket_missing" Pod Any:
        "tailscaled's socket does not exist.",
        "See whether the tailscale container runs, and whether both containers mount the same folder and agree on TS_SOCKET (containerboot's default is /tmp/tailscaled.sock).",
        Log "";
    NodeSocketRefused "node_socket_refused" Pod Any:
        "tailscaled's socket exists, but nobody listens on it: the file is left over or is no socket.",
        "See whether the tailscale container runs; if it restarted and this stays, mount the folder of the socket, not the file.",
        Log "";
    NodeSocketForbidden "node_socket_forbidden" Pod Any:
        "tailscaled's socket or its LocalAPI refuses this user.",
        "See the mode of the socket file (tailscaled makes it 0666) and the uid telltail runs as.",
        Sidecar "ls -ln {socket}";
    NodeLocalapiTimeout "node_localapi_timeout" Pod Any:
        "tailscaled accepts connections but does not answer in time.",
        "See whether tailscaled is still starting, is starved of CPU or is stuck; restart the tailscale container if this lasts.",
        Log "";
    NodeLocalapiInvalid "node_localapi_invalid" Pod Any:
        "What answers on tailscaled's socket is no answer of its LocalAPI, or none that this telltail understands.",
        "Read the cause: see that the socket belongs to tailscaled and that its version is one that telltail was tested with.",
        Sidecar "tailscale version";
    NodeStarting "node_starting" Pod Any:
        "tailscaled is starting and has not reached the control plane yet.",
        "Wait a minute; if it lasts, see whether the pod can reach the control plane over TCP 443 and read the log of the tailscale container.",
        Log "";
    NodeNeedsLogin "node_needs_login" Pod Any:
        "tailscaled is not logged in.",
        "See whether the auth key is missing, used up or expired, and give the tailscale container a fresh one.",
        Log "";
    NodeNeedsApproval "node_needs_approval" Pod Any:
        "This node waits for an administrator's approval.",
        "Approve the machine in the admin console, or use a pre-approved auth key.",
        Sidecar "tailscale status";
    NodeStopped "node_stopped" Pod Any:
        "tailscaled was told to stop: somebody ran `tailscale down`.",
        "Run `tailscale up` in the tailscale container, or restart it.",
        Sidecar "tailscale up";
    NodeKeyExpired "node_key_expired" Pod Any:
        "This node's own key has expired.",
        "Log the node in again with a fresh auth key; tag the node so that its key does not expire.",
        Sidecar "tailscale status --peers=false --json";
    NodeNoAddress "node_no_address" Pod Any:
        "tailscaled runs but has no tailnet address.",
        "See whether the node is approved and whether the tailnet's address pool has addresses left.",
        Sidecar "tailscale status";

    ResolveNotInNetmap "resolve_not_in_netmap" Path Any:
        "No node or service that this node may see carries the target's name or address.",
        "See whether the machine was removed or renamed (`tailscale status` in the tailscale container), and whether the policy lets this node see it.",
        Sidecar "tailscale status";
    ResolveServiceUnsupported "resolve_service_unsupported" Pod Any:
        "The name belongs to no node, and this tailscaled is too old to tell the names of Tailscale Services.",
        "Use tailscaled 1.100 or newer, or name a node instead of a Tailscale Service.",
        Sidecar "tailscale version";
    ResolveRefused "resolve_refused" Pod Any:
        "The target is this very node, or lies behind a subnet router, neither of which telltail probes.",
        "Name the node of the tailnet, or the Tailscale Service, that runs the service: a probe of oneself proves nothing.",
        Sidecar "tailscale status";
    ResolvePeerExpired "resolve_peer_expired" Service Any:
        "The key of the target's node has expired, so nobody can reach it.",
        "Log the target's machine in again, or switch key expiry off for it.",
        Machine "tailscale status";
    ResolveDnsFailed "resolve_dns_failed" Pod Any:
        "MagicDNS (100.100.100.100) did not give the target's address, although tailscaled knows it.",
        "See whether MagicDNS is enabled for the tailnet and whether the pod's network lets packets reach 100.100.100.100.",
        Sidecar "tailscale dns query {fqdn}";
    ResolveDnsMismatch "resolve_dns_mismatch" Pod Any:
        "MagicDNS gives addresses for the target that are not those of its node.",
        "See whether something else answers for 100.100.100.100 in this pod, or whether the name was moved a moment ago.",
        Sidecar "tailscale dns query {fqdn}";

    ConnectRefused "connect_refused" Service Any:
        "The target's machine answers, but nothing listens on the port.",
        "See whether the service runs and listens on this port and address.",
        Machine "ss -ltn sport = :{port}";
    ConnectTimeout "connect_timeout" Path Any:
        "The connection attempt got no answer in time.",
        "See whether the tailnet's policy allows this port, whether the machine is up, and whether packets pass (`tailscale ping`).",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ConnectTunnelDead "connect_tunnel_dead" Path Any:
        "No packet comes back from the target's machine: the tunnel to it is dead.",
        "See whether the machine is up and its tailscaled runs, and whether UDP or TCP 443 passes between the two networks (`tailscale ping`).",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ConnectDropped "connect_dropped" Path Any:
        "The tunnel to the target's machine works, but its TCP port is silent: the tailnet's policy or a firewall there drops the connection.",
        "See whether the tailnet's policy lets this node reach this port, and whether a firewall on the machine drops it.",
        Sidecar "tailscale ping --icmp --c=3 --timeout=2s {host}";
    ConnectUnreachable "connect_unreachable" Path Any:
        "There is no route to the target.",
        "Read the cause; in userspace mode use `via=auto` or name the SOCKS5 proxy of the tailscale container.",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ConnectNotRouted "connect_not_routed" Path Any:
        "tailscaled says that the target's address is not reached over the tailnet.",
        "See whether the machine is still part of the tailnet and whether this node may see it.",
        Sidecar "tailscale status";
    ConnectFailed "connect_failed" Path Any:
        "The connection could not be made.",
        "Read the cause; compare with `tailscale ping` from the tailscale container.",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ConnectSocksUnreachable "connect_socks_unreachable" Pod Socks:
        "The SOCKS5 proxy that the worker uses does not answer: the worker cannot reach the tailnet.",
        "See that the tailscale container sets TS_SOCKS5_SERVER to the address named by `via`.",
        Sidecar "printenv TS_SOCKS5_SERVER";
    ConnectSocksInvalid "connect_socks_invalid" Pod Socks:
        "What listens at the SOCKS5 proxy's address does not speak SOCKS5 without a password.",
        "See which program owns the port named by `via`.",
        Sidecar "printenv TS_SOCKS5_SERVER";
    ConnectSocksFailed "connect_socks_failed" Path Socks:
        "The SOCKS5 proxy could not connect and does not say why, and tailscaled itself does not either.",
        "Read the cause: where tailscaled itself connects, the proxy is at fault; compare with `via=localapi`.",
        Agent "check '{url}?via=localapi'";

    ProtocolTimeout "protocol_timeout" Service Protocol:
        "The connection stands, but the service did not answer in time.",
        "See whether the service is stuck, overloaded or stopped, or whether a proxy without a backend accepted the connection.",
        Machine "{ask}";
    ProtocolTunnelDead "protocol_tunnel_dead" Path Protocol:
        "The connection stands, but no packet comes back from the target's machine any more: the tunnel to it is dead.",
        "See whether the machine is up and its tailscaled runs, and whether UDP or TCP 443 passes between the two networks (`tailscale ping`).",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ProtocolMtu "protocol_mtu" Path Protocol:
        "Small packets reach the target's machine, full-size ones do not: something on the path drops large packets.",
        "Compare `tailscale ping` with `tailscale ping --size 1312`, and find the hop whose MTU is too small or which drops fragments.",
        Sidecar "tailscale ping --size=1312 --c=3 --timeout=2s {host}";
    ProtocolClosed "protocol_closed" Service Protocol:
        "The connection was closed before the service had answered.",
        "See whether a proxy without a backend accepted the connection, and read the service's log.",
        Machine "{ask}";
    ProtocolGarbage "protocol_garbage" Service Protocol:
        "What answers on the port does not speak the target's protocol.",
        "See whether another service took the port, or whether the port wants TLS.",
        Machine "ss -ltnp sport = :{port}";
    ProtocolRejected "protocol_rejected" Service Protocol:
        "The service answered with an error.",
        "Read the cause, which quotes the service.",
        Machine "{ask}";
    ProtocolStarting "protocol_starting" Service Postgres:
        "PostgreSQL is starting up or recovering and takes no connections yet.",
        "Wait; if it lasts, read PostgreSQL's log.",
        Machine "{ask}";
    ProtocolShuttingDown "protocol_shutting_down" Service Postgres:
        "PostgreSQL is shutting down.",
        "See who stopped it, and whether a failover is under way.",
        Machine "{ask}";
    ProtocolFull "protocol_full" Service Protocol:
        "The service lives, but takes no more connections.",
        "See who holds the connections, and raise max_connections or maxclients if they are all needed.",
        Machine "{ask}";
    ProtocolLoading "protocol_loading" Service Valkey:
        "Valkey is loading its data set into memory.",
        "Wait; if it lasts, read Valkey's log.",
        Machine "{ask}";
}

impl Reason {
    /// Is it the node's fault, so that nothing was dialled?
    pub fn is_node_fault(self) -> bool {
        self <= Self::NodeNoAddress
    }

    /// Does a node in this condition never flicker, so that two rounds are proof enough?
    pub const fn is_persistent(self) -> bool {
        matches!(self, Self::NodeNeedsLogin | Self::NodeStopped | Self::NodeKeyExpired)
    }
}

/// A failed probe: the reason for machines, the cause for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, from the closed list.
    pub reason: Reason,
    /// What was seen, in words that may come from a peer: print it escaped (see [`escape`]).
    pub cause: String,
}

impl Failure {
    /// A failure with its cause; the cause is escaped and cut here, so that no reader can forget it.
    pub fn new(reason: Reason, cause: impl fmt::Display) -> Self {
        Self { reason, cause: escape(&cause.to_string()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.slug(), self.cause)
    }
}

/// Longest text that is quoted from a peer, in characters: enough for a Go error chain, short enough for one log line.
const MAX_QUOTE: usize = 200;

/// Makes text from outside safe for one line of a log, page or terminal: printable ASCII, at most 200 characters.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len().min(MAX_QUOTE));
    for c in text.trim_end().chars() {
        let piece = if c.is_ascii_graphic() || c == ' ' { c.to_string() } else { c.escape_default().to_string() };
        if safe.len() + piece.len() > MAX_QUOTE - 3 {
            safe.push_str("...");
            break;
        }
        safe.push_str(&piece);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_slug_is_unique_and_begins_with_its_stage() {
        let slugs: HashSet<_> = Reason::ALL.iter().map(|reason| reason.slug()).collect();
        assert_eq!(slugs.len(), Reason::ALL.len());
        for slug in slugs {
            let stage = slug.split('_').next();
            assert!(matches!(stage, Some("node" | "resolve" | "connect" | "protocol")), "{slug}");
            assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{slug}");
        }
    }

    #[test]
    fn a_node_reason_is_the_pods_fault_and_a_protocol_reason_never() {
        for reason in Reason::ALL {
            assert_eq!(reason.is_node_fault(), reason.slug().starts_with("node_"), "{reason:?}");
            if reason.is_node_fault() {
                assert_eq!(reason.scope(), Scope::Pod, "{reason:?}");
            }
            if reason.slug().starts_with("protocol_") {
                assert_ne!(reason.scope(), Scope::Pod, "{reason:?}");
            }
        }
    }

    #[test]
    fn a_cause_cannot_forge_a_line_and_stays_short() {
        let failure = Failure::new(Reason::ProtocolRejected, "a\nlevel=INFO \u{1b}[31m\u{202e}b\\\u{0}");
        assert_eq!(failure.cause, r"a\nlevel=INFO \u{1b}[31m\u{202e}b\\u{0}");
        let failure = Failure::new(Reason::ProtocolRejected, "\u{7}".repeat(10_000));
        assert!(failure.cause.len() <= MAX_QUOTE);
        assert!(failure.cause.is_ascii());
    }
}
