//! Findings that are not failures: a closed list like [`crate::reason`]'s.

use crate::command_hint::CommandHint;
use crate::slug::slug_enum;

macro_rules! advisories {
    ($($variant:ident $slug:literal: $sentence:literal, $step:literal, $run_in:ident $template:literal;)*) => {
        slug_enum! {
            /// What the doctor reports in addition to failures, the most urgent first.
            pub enum AdvisoryCode {
                $(#[doc = $sentence] $variant = $slug,)*
            }
        }

        impl AdvisoryCode {
            /// What was found, in a sentence.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// What to do next, in a sentence.
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$variant => $step,)* }
            }

            /// The command to run next.
            pub const fn command_hint(self) -> CommandHint {
                match self { $(Self::$variant => CommandHint::$run_in($template),)* }
            }
        }
    };
}

advisories! {
    NameShadowed "name_shadowed":
        "The pod's resolver returns an address for this name that is not the target's: the worker connects to something else.",
        "Give the worker the full MagicDNS name with a trailing dot, or rename the cluster's Service that has the same name.",
        Sidecar "getent hosts {host}";
    PeerRenamed "peer_renamed":
        "No machine answers under the target's name, and one that calls itself so, or has the name with a number, is online. It may be the same machine, renamed, or joined again while the old entry kept the name.",
        "If it is the same machine, give it the target's name in the admin console (remove the old entry first, if there is one), or name the target as the tailnet does. If it is another machine, such as a replica, ignore this.",
        Sidecar "tailscale status";
    UdpBlocked "udp_blocked":
        "Every machine is reached through DERP relays: UDP is blocked on the way out of this pod, or into the network that the machines share.",
        "If the command shows `UDP: false`, a NetworkPolicy or the cluster's NAT blocks it here. Otherwise check the machines' network. Connections work, but slowly.",
        Sidecar "tailscale netcheck";
    PathOverDerp "path_over_derp":
        "This machine is reached through a DERP relay instead of directly: connections work, but slowly.",
        "Check that UDP passes between the two networks; if other machines are reached directly, check this machine's network.",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ControlUnreachable "control_unreachable":
        "tailscaled has no connection to the control plane: existing connections continue, but its netmap may be stale.",
        "Check that the pod reaches the control plane over TCP 443, and that the admin console still lists this machine.",
        Sidecar "tailscale netcheck";
    OwnKeyExpires "own_key_expires":
        "This node's own key expires soon.",
        "Log the node in again, or tag it so that its key does not expire.",
        Sidecar "tailscale status --peers=false --json";
    PeerKeyExpires "peer_key_expires":
        "The key of the target's machine expires soon.",
        "Log that machine in again, or disable key expiry for it.",
        Sidecar "tailscale status --json";
    HealthWarning "health_warning":
        "tailscaled reports a health warning.",
        "Read the warning's full text at the end of its status.",
        Sidecar "tailscale status";
    NameNotResolved "name_not_resolved":
        "The worker cannot resolve this name: the pod's resolver does not know it or does not answer.",
        "Enable accept-dns (TS_ACCEPT_DNS=true), let the worker's proxy resolve names (socks5h), or give the worker the address.",
        Sidecar "cat /etc/resolv.conf";
    WorkerWayUntested "worker_way_untested":
        "No worker connects as these targets are probed: in userspace mode it needs a proxy, in TUN mode the kernel connects it. The worker's path is not tested.",
        "In userspace mode set TS_SOCKS5_SERVER in the tailscale container, configure the worker to use it, and name it for the target with via=socks5://HOST:PORT. In TUN mode remove `via`.",
        Sidecar "printenv TS_SOCKS5_SERVER";
    ProtocolUntested "protocol_untested":
        "The service asks for TLS, which telltail does not speak: only its port is tested, for each question costs it a line in its log.",
        "Name a user in the target's URL, if the service takes logins without TLS, or set `depth=tcp`, which says what is tested.",
        Agent "check '{url}?depth=tcp'";
    RouteOverlapsTailnet "route_overlaps_tailnet":
        "This node accepts a subnet route that covers tailnet addresses: packets to a machine that is gone reach the subnet router instead, and pings succeed.",
        "Withdraw the route from its router, or disable accept-routes on this node.",
        Sidecar "tailscale debug prefs";
    SocketMayWrite "socket_may_write":
        "telltail has more access to tailscaled's socket than it needs: it could log this node out.",
        "Run telltail as a user of its own (65532) that is neither root nor tailscaled's user.",
        Sidecar "ls -ln {socket}";
    VersionUntested "version_untested":
        "telltail was not tested with this version of tailscaled.",
        "Use a version that docs/compatibility.md lists.",
        Sidecar "tailscale version";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use std::collections::HashSet;

    #[test]
    fn a_slug_is_unique_among_reasons_too() {
        let reasons = Reason::ALL.iter().map(|reason| reason.slug());
        let slugs: Vec<_> = AdvisoryCode::ALL.iter().map(|code| code.slug()).chain(reasons).collect();
        assert_eq!(slugs.iter().collect::<HashSet<_>>().len(), slugs.len());
        assert!(slugs.iter().all(|slug| slug.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
