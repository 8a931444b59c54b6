//! Why a probe failed, and who is at fault.
//!
//! The enum is closed: its slug is the metric label, the log field, the JSON value and the code in
//! `docs/troubleshooting.md`. Text from a peer or server never becomes a slug; it goes into [`Failure::cause`].

use crate::command_hint::CommandHint;
use crate::slug::slug_enum;
use crate::untrusted::escape;
use std::fmt;

slug_enum! {
    /// Whose fault a reason is.
    pub enum Scope {
        /// This pod, its configuration or its tailscaled.
        Pod = "pod",
        /// Between the pod and the service, the tailnet's policy included.
        Path = "path",
        /// The service or its machine: it answered, or is known to be at fault.
        Service = "service",
    }
}

slug_enum! {
    /// The stage of a probe in which it fails. A reason's slug begins with its stage.
    pub enum Stage {
        /// What tailscaled says of itself, before any stage: nothing is dialled.
        Node = "node",
        /// Name to address.
        Resolve = "resolve",
        /// Address to connection.
        Connect = "connect",
        /// Request to reply.
        Protocol = "protocol",
    }
}

/// Which targets can fail for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliesTo {
    /// None: the probe is aborted instead.
    NoTarget,
    /// Every target.
    Any,
    /// Targets that are probed with their own protocol.
    Protocol,
    /// Postgres targets whose URL names a user.
    Postgres,
    /// Valkey targets.
    Valkey,
    /// Targets that are reached through a SOCKS5 proxy.
    Socks,
}

macro_rules! reasons {
    ($([$stage:ident] $($variant:ident $slug:literal $scope:ident $applies_to:ident: $sentence:literal, $step:literal, $run_in:ident $($template:literal)?;)*)*) => {
        /// Why a probe failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $sentence] $variant,)*)*
        }

        impl Reason {
            /// Every reason, in the order of the checks.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];

            /// The stable name: metric label, log field, JSON value.
            pub const fn slug(self) -> &'static str {
                match self { $($(Self::$variant => $slug,)*)* }
            }

            /// The stage that failed.
            pub const fn stage(self) -> Stage {
                match self { $($(Self::$variant => Stage::$stage,)*)* }
            }

            /// Whose fault it is.
            pub const fn scope(self) -> Scope {
                match self { $($(Self::$variant => Scope::$scope,)*)* }
            }

            /// Which targets can fail for it.
            pub const fn applies_to(self) -> AppliesTo {
                match self { $($(Self::$variant => AppliesTo::$applies_to,)*)* }
            }

            /// What happened, for a person.
            pub const fn sentence(self) -> &'static str {
                match self { $($(Self::$variant => $sentence,)*)* }
            }

            /// What to do next, for a person.
            pub const fn next_step(self) -> &'static str {
                match self { $($(Self::$variant => $step,)*)* }
            }

            /// The next command to type.
            pub const fn command_hint(self) -> CommandHint {
                match self { $($(Self::$variant => CommandHint::$run_in $(($template))?,)*)* }
            }
        }
    };
}

reasons! {
    [Node]
    NodeSocketMissing "node_socket_missing" Pod Any:
        "tailscaled's socket does not exist.",
        "Read the log of the tailscale container. `tstun.New(\"tailscale0\")`: the runtime gives it no /dev/net/tun or no NET_ADMIN, so set TS_USERSPACE=true or give it both. Another last line: it ends before it is up, for example for a state directory or Secret that it may not write. No log: it was not started, and `kubectl describe pod` says why. A log that goes on: check whether both containers mount the same directory and set the same TS_SOCKET (containerboot's default is /tmp/tailscaled.sock).",
        Log;
    NodeSocketRefused "node_socket_refused" Pod Any:
        "tailscaled's socket exists, but nothing listens on it: the file is stale or not a socket.",
        "Check whether the tailscale container runs. If it restarted and this persists, mount the socket's directory, not the file.",
        Log;
    NodeSocketForbidden "node_socket_forbidden" Pod Any:
        "tailscaled's socket or LocalAPI denies access to this user.",
        "Check the mode of the socket (tailscaled creates it with 0666) and the uid that telltail runs as.",
        Sidecar "ls -ln {socket}";
    NodeLocalapiTimeout "node_localapi_timeout" Pod Any:
        "tailscaled accepts connections but does not answer in time.",
        "Check whether tailscaled is still starting, short of CPU or stuck. If this persists, restart the tailscale container.",
        Log;
    NodeLocalapiInvalid "node_localapi_invalid" Pod Any:
        "The answer on tailscaled's socket is not a LocalAPI response, or not one that this version of telltail understands.",
        "Read the cause. Check that the socket belongs to tailscaled and that telltail is tested with its version.",
        Sidecar "tailscale version";
    NodeOutOfResources "node_out_of_resources" Pod NoTarget:
        "telltail itself has no file descriptor, local port or memory left, so it cannot tell anything of the target.",
        "Read the cause. `Too many open files`: compare process_open_fds with process_max_fds in /metrics, and raise the container's limit of open files. `Too many open files in system`, `No buffer space available` or `Cannot allocate memory`: the machine is short of them, or the pod of memory. `Cannot assign requested address` or `Address in use`: a container of this pod has used the local ports up; find which, or widen net.ipv4.ip_local_port_range.",
        Sidecar "cat /proc/net/sockstat /proc/sys/net/ipv4/ip_local_port_range";
    NodeStarting "node_starting" Pod Any:
        "tailscaled is starting and has not reached the control plane yet.",
        "Wait a minute. If this persists, check whether the pod can reach the control plane on TCP 443, and read the log of the tailscale container.",
        Log;
    NodeControlUnreachable "node_control_unreachable" Pod Any:
        "tailscaled cannot log in, because the control plane does not answer, or not as one.",
        "Read the cause. Check whether the control plane is down for everybody, and whether this pod resolves its name, reaches it and trusts its certificate. Leave the auth key as it is: it was not looked at.",
        Log;
    NodeNeedsLogin "node_needs_login" Pod Any:
        "tailscaled is not logged in.",
        "If the cause quotes a login error, the control plane refused the auth key, which is wrong, used up or expired: give the tailscale container a new one. If not, either the auth key is missing or the control plane does not answer: the log of the tailscale container tells which.",
        Log;
    NodeNeedsApproval "node_needs_approval" Pod Any:
        "This node needs an administrator's approval.",
        "Approve the machine in the admin console, or use a pre-approved auth key.",
        Sidecar "tailscale status";
    NodeStopped "node_stopped" Pod Any:
        "tailscaled is stopped: somebody ran `tailscale down`.",
        "Run `tailscale up` in the tailscale container. A restart does not undo it where the state is kept, unless the container runs `tailscale up` at every start (TS_AUTH_ONCE=false).",
        Sidecar "tailscale up";
    NodeKeyExpired "node_key_expired" Pod Any:
        "This node's own key has expired.",
        "Log the node in again with a new auth key. Tag the node so that its key does not expire.",
        Sidecar "tailscale status --peers=false --json";
    NodeNoAddress "node_no_address" Pod Any:
        "tailscaled runs but has no tailnet address.",
        "Check whether the node is approved and whether the tailnet's IP pool has free addresses.",
        Sidecar "tailscale status";

    [Resolve]
    ResolveNotInNetmap "resolve_not_in_netmap" Path Any:
        "No node or Tailscale Service that this node may see has the target's name or address.",
        "Check whether the machine was removed or renamed (`tailscale status` in the tailscale container), and whether the policy lets this node see it.",
        Sidecar "tailscale status";
    ResolveServiceUnsupported "resolve_service_unsupported" Pod Any:
        "The name belongs to no node, and this tailscaled is too old to list the names of Tailscale Services.",
        "Use tailscaled 1.100 or newer, or name a node instead of a Tailscale Service.",
        Sidecar "tailscale version";
    ResolveRefused "resolve_refused" Pod Any:
        "The target is this node itself or is behind a subnet router (a 4via6 name is); telltail probes neither.",
        "Set the target to the tailnet node or the Tailscale Service that runs the service. A probe of this node itself proves nothing.",
        Sidecar "tailscale status";
    ResolvePeerExpired "resolve_peer_expired" Service Any:
        "The key of the target's node has expired, so no node can reach it.",
        "Log the target's machine in again, or disable key expiry for it.",
        Machine "tailscale status";
    ResolveDnsFailed "resolve_dns_failed" Pod Any:
        "MagicDNS (100.100.100.100) did not resolve the target, although tailscaled knows its address.",
        "Check whether MagicDNS is enabled for the tailnet and whether the pod can reach 100.100.100.100.",
        Sidecar "tailscale dns query {fqdn}";
    ResolveDnsMismatch "resolve_dns_mismatch" Pod Any:
        "MagicDNS returned addresses that do not belong to the target's node.",
        "Check whether something else answers on 100.100.100.100 in this pod, or whether the name was moved just now.",
        Sidecar "tailscale dns query {fqdn}";

    [Connect]
    ConnectRefused "connect_refused" Service Any:
        "The target's machine answers, but nothing listens on the port.",
        "Check whether the service runs and listens on this port and address.",
        Machine "ss -ltn sport = :{port}";
    ConnectTimeout "connect_timeout" Path Any:
        "The connection attempt got no answer in time.",
        "Check whether the tailnet's policy allows this port, whether the machine is up, and whether packets reach it (`tailscale ping`).",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ConnectTunnelDead "connect_tunnel_dead" Path Any:
        "No packet comes back from the target's machine: the tunnel to it is dead.",
        "Check whether the machine is up and its tailscaled runs, and whether UDP or TCP 443 passes between the two networks (`tailscale ping`).",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ConnectIsolated "connect_isolated" Path Any:
        "No packet comes back from the target's machine, nor from the other peers that were asked. Either this node is cut off (it was removed from the tailnet without being told, or its network lets nothing through), or those machines are down.",
        "Run `tailscale status` on another machine of the tailnet. If this node is not listed, it was removed: give the tailscale container a valid auth key and restart it. If it is listed, check whether those machines are up, and whether UDP or TCP 443 passes out of this pod.",
        Machine "tailscale status";
    ConnectDropped "connect_dropped" Path Any:
        "The tunnel to the target's machine works, but its TCP port does not answer: the tailnet's policy or a firewall there drops the connection.",
        "Check whether the tailnet's policy lets this node reach this port, and whether a firewall on the machine drops the connection.",
        Sidecar "tailscale ping --icmp --c=3 --timeout=2s {host}";
    ConnectUnreachable "connect_unreachable" Path Any:
        "There is no route to the target.",
        "Read the cause. In userspace mode use `via=auto`, or set `via` to the SOCKS5 proxy of the tailscale container.",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ConnectNotRouted "connect_not_routed" Path Any:
        "tailscaled does not route the target's address over the tailnet.",
        "Check whether the machine is still in the tailnet and whether this node may see it.",
        Sidecar "tailscale status";
    ConnectFailed "connect_failed" Path Any:
        "The connection failed.",
        "Read the cause, and compare with `tailscale ping` in the tailscale container.",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ConnectSocksUnreachable "connect_socks_unreachable" Pod Socks:
        "The worker's SOCKS5 proxy does not answer: the worker cannot reach the tailnet.",
        "Check that the tailscale container sets TS_SOCKS5_SERVER to the address in `via`.",
        Sidecar "printenv TS_SOCKS5_SERVER";
    ConnectSocksInvalid "connect_socks_invalid" Pod Socks:
        "The server at the SOCKS5 proxy's address does not speak SOCKS5, or requires a password.",
        "Check which program listens on the port in `via`.",
        Sidecar "printenv TS_SOCKS5_SERVER";
    ConnectSocksFailed "connect_socks_failed" Path Socks:
        "The SOCKS5 proxy could not connect, and neither the proxy nor tailscaled says why.",
        "Read the cause: if tailscaled itself connects, the proxy does not know the name (give the worker the full name, or the address) or is at fault.",
        Agent "check '{url}?via=localapi'";
    ConnectSocksElsewhere "connect_socks_elsewhere" Path Socks:
        "The SOCKS5 proxy connected, but not over the tailnet: it found the target's name elsewhere, or it is not this node's.",
        "Give the worker the full name as `tailscale status --json` shows it, or the address, and check that `via` is this pod's tailscale container.",
        Agent "check '{url}?via=localapi'";

    [Protocol]
    ProtocolTimeout "protocol_timeout" Service Protocol:
        "The connection was made, but the service did not answer in time.",
        "Check whether the service is stuck, overloaded or stopped, or whether a proxy without a backend accepted the connection.",
        Machine "{local_check}";
    ProtocolTunnelDead "protocol_tunnel_dead" Path Protocol:
        "The connection was made, but no packet comes back from the target's machine any more: the tunnel to it is dead.",
        "Check whether the machine is up and its tailscaled runs, and whether UDP or TCP 443 passes between the two networks (`tailscale ping`).",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ProtocolMtu "protocol_mtu" Path Protocol:
        "Small packets reach the target's machine, full-size packets do not: something on the path drops large packets.",
        "Compare `tailscale ping` with `tailscale ping --size 1312`, and find the hop whose MTU is too small or that drops fragments.",
        Sidecar "tailscale ping --size=1312 --c=3 --timeout=2s {host}";
    ProtocolClosed "protocol_closed" Service Protocol:
        "The connection was closed before the service answered.",
        "Check whether a proxy without a backend accepted the connection, and read the service's log.",
        Machine "{local_check}";
    ProtocolGarbage "protocol_garbage" Service Protocol:
        "The server on this port does not speak the target's protocol.",
        "Check whether another service uses the port.",
        Machine "ss -ltnp sport = :{port}";
    ProtocolTls "protocol_tls" Service Protocol:
        "The port expects TLS, which telltail does not speak.",
        "Set the target to a port without TLS, or to `depth=tcp`, which tests the connection alone.",
        Agent "check '{url}?depth=tcp'";
    ProtocolRejected "protocol_rejected" Service Protocol:
        "The service answered with an error.",
        "Read the cause, which quotes the service.",
        Machine "{local_check}";
    ProtocolStarting "protocol_starting" Service Postgres:
        "PostgreSQL is starting up or recovering and accepts no connections yet.",
        "Wait. If this persists, read PostgreSQL's log.",
        Machine "{local_check}";
    ProtocolShuttingDown "protocol_shutting_down" Service Postgres:
        "PostgreSQL is shutting down.",
        "Check who stopped it, and whether a failover is in progress.",
        Machine "{local_check}";
    ProtocolFull "protocol_full" Service Protocol:
        "The service runs, but accepts no more connections.",
        "Check who holds the connections, and raise max_connections or maxclients if all are needed.",
        Machine "{local_check}";
    ProtocolLoading "protocol_loading" Service Valkey:
        "Valkey is loading its data set into memory.",
        "Wait. If this persists, read Valkey's log.",
        Machine "{local_check}";
}

impl Reason {
    /// Is it the node's fault, so that nothing was dialled?
    pub const fn is_node_fault(self) -> bool {
        matches!(self.stage(), Stage::Node)
    }

    /// Is it telltail's own shortage, which says nothing of node and target, so that the probe is aborted?
    pub const fn is_own_shortage(self) -> bool {
        matches!(self, Self::NodeOutOfResources)
    }

    /// Did the far side not answer at all, so that pings can tell more?
    pub const fn is_timeout(self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::ProtocolTimeout)
    }

    /// Does the server say that it lives and needs time or room, so that a quick retry only adds to its load?
    pub const fn retry_later(self) -> bool {
        matches!(self, Self::ProtocolStarting | Self::ProtocolFull | Self::ProtocolLoading)
    }

    /// Does the netmap know no peer of the target?
    pub const fn names_no_peer(self) -> bool {
        matches!(self, Self::ResolveNotInNetmap | Self::ResolveServiceUnsupported | Self::ResolveRefused)
    }

    /// Is the server up, but rejects the probe?
    pub const fn is_rejection(self) -> bool {
        self.retry_later() || matches!(self, Self::ProtocolShuttingDown | Self::ProtocolRejected)
    }

    /// Does a node never recover from this by itself, so that two rounds are proof enough?
    pub const fn is_persistent(self) -> bool {
        matches!(self, Self::NodeNeedsLogin | Self::NodeStopped | Self::NodeKeyExpired)
    }
}

/// A failed probe: the reason for machines, the cause for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, from the closed list.
    pub reason: Reason,
    /// The evidence. It may quote a peer or server, and is escaped.
    pub cause: String,
}

impl Failure {
    /// Escapes and truncates the cause here, so that no reader can forget to.
    pub fn new(reason: Reason, cause: impl fmt::Display) -> Self {
        Self { reason, cause: escape(&cause.to_string()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.slug(), self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_slug_is_unique_and_begins_with_its_stage() {
        let slugs: HashSet<_> = Reason::ALL.iter().map(|reason| reason.slug()).collect();
        assert_eq!(slugs.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            let slug = reason.slug();
            assert_eq!(slug.split('_').next(), Some(reason.stage().slug()));
            assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{slug}");
        }
    }

    #[test]
    fn a_node_reason_is_the_pods_fault_and_a_protocol_reason_never() {
        for reason in Reason::ALL {
            match reason.stage() {
                Stage::Node => assert_eq!(reason.scope(), Scope::Pod, "{reason:?}"),
                Stage::Protocol => assert_ne!(reason.scope(), Scope::Pod, "{reason:?}"),
                Stage::Resolve | Stage::Connect => {}
            }
        }
    }

    #[test]
    fn a_cause_cannot_forge_a_line_and_stays_short() {
        let failure = Failure::new(Reason::ProtocolRejected, "a\nlevel=INFO \u{1b}[31m\u{202e}b\\\u{0}");
        assert_eq!(failure.cause, r"a\nlevel=INFO \u{1b}[31m\u{202e}b\\u{0}");
        let failure = Failure::new(Reason::ProtocolRejected, "\u{7}".repeat(10_000));
        assert!(failure.cause.len() <= 200);
        assert!(failure.cause.is_ascii());
    }
}
