//! What is not, or not yet, why a target fails, but what a person should know: a closed list like [`crate::reason`]'s.

use crate::command_hint::{CommandHint, RunIn};

macro_rules! advices {
    ($($variant:ident $slug:literal: $sentence:literal, $step:literal, $at:ident $words:literal;)*) => {
        /// What the doctor finds beside failures, the most pressing first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Advice {
            $(#[doc = $sentence] $variant,)*
        }

        impl Advice {
            /// Every advice.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// What was found, for a person.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// What to do next, for a person.
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$variant => $step,)* }
            }

            /// The next command to type.
            pub const fn command_hint(self) -> CommandHint {
                match self { $(Self::$variant => CommandHint { at: RunIn::$at, words: $words },)* }
            }
        }
    };
}

advices! {
    NameShadowed "name_shadowed":
        "The pod's own resolver answers this name with an address that is not the target's: your worker talks to something else.",
        "Give the worker the full MagicDNS name with a trailing dot, or rename the cluster's Service that has the same name.",
        Sidecar "getent hosts {host}";
    PeerRenamed "peer_renamed":
        "The target's machine is not online, and one with nearly the same name is: perhaps the same machine, which rejoined the tailnet while its name still belongs to the old entry.",
        "If it is the same machine, remove the old entry in the admin console and give its name to the new one. If it is another machine, such as a replica, ignore this.",
        Sidecar "tailscale status";
    UdpBlocked "udp_blocked":
        "Every machine is reached through DERP relays: UDP does not leave this pod, or does not enter the network that they share.",
        "If the command prints `UDP: false`, a NetworkPolicy or the cluster's NAT blocks UDP here; otherwise check the targets' network. Connections work meanwhile, but slowly.",
        Sidecar "tailscale netcheck";
    PathOverDerp "path_over_derp":
        "This machine is reached through a DERP relay, not directly: it works, but slowly.",
        "Check whether UDP passes between the two networks. If other machines are reached directly, check this machine's network.",
        Sidecar "tailscale ping --c=3 --timeout=2s {host}";
    ControlUnreachable "control_unreachable":
        "tailscaled has no connection to the control plane: connections continue, but its netmap may be out of date.",
        "Check whether the pod reaches the control plane on TCP 443, and whether the node is still listed in the admin console.",
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
        "Read the warning.",
        Sidecar "tailscale status";
    NameNotResolved "name_not_resolved":
        "Your worker cannot resolve this name: the pod's own resolver does not know it.",
        "Enable accept-dns (TS_ACCEPT_DNS=true), let the worker's proxy resolve (socks5h), or give the worker the address.",
        Sidecar "cat /etc/resolv.conf";
    WorkerWayUntested "worker_way_untested":
        "In userspace mode a worker reaches the tailnet only through a proxy, and the target names none: the worker's own path is not tested.",
        "Set TS_SOCKS5_SERVER in the tailscale container, let the worker use it, and set via=socks5://HOST:PORT for the target.",
        Sidecar "printenv TS_SOCKS5_SERVER";
    RouteOverlapsTailnet "route_overlaps_tailnet":
        "This node accepts a subnet route that covers tailnet addresses: packets to a machine that is gone reach a router instead, and pings succeed.",
        "Withdraw the route from its router, or disable accept-routes on this node.",
        Sidecar "tailscale debug prefs";
    SocketMayWrite "socket_may_write":
        "telltail has more permissions on tailscaled's socket than it needs: it could log this node out.",
        "Run telltail as its own user (65532), which is neither root nor the user that tailscaled runs as.",
        Sidecar "ls -ln {socket}";
    VersionUntested "version_untested":
        "telltail is not tested with this version of tailscaled.",
        "Use a version listed in docs/compatibility.md.",
        Sidecar "tailscale version";
}

/// An advice with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory {
    /// Which.
    pub advice: Advice,
    /// Names of the targets it is about; none where it is about the node.
    pub targets: Vec<String>,
    /// What was seen; escaped.
    pub cause: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use std::collections::HashSet;

    #[test]
    fn a_slug_is_unique_among_reasons_too() {
        let reasons = Reason::ALL.iter().map(|reason| reason.slug());
        let slugs: Vec<_> = Advice::ALL.iter().map(|advice| advice.slug()).chain(reasons).collect();
        assert_eq!(slugs.iter().collect::<HashSet<_>>().len(), slugs.len());
        assert!(slugs.iter().all(|slug| slug.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
