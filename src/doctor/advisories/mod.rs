//! Findings that are not failures. No I/O.

mod code;
mod target_advisories;

pub use code::AdvisoryCode;
pub(super) use target_advisories::is_renamed;

use super::{DoctorEnv, TargetReport};
use crate::config::Expect;
use crate::duration::coarse;
use crate::key_expiry_log::WARNED_BEFORE;
use crate::node::Node;
use crate::path::Sample;
use crate::tailscale::{CGNAT, IpPrefix, NEWEST_TESTED, OLDEST_TESTED, Prefs, Status, Warning, is_at_least};
use crate::untrusted::escape;
use std::collections::HashSet;
use std::fmt::Display;
use std::time::SystemTime;

/// An advisory and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory {
    /// What was found.
    pub code: AdvisoryCode,
    /// Names of the targets it is about; empty where it is about the node.
    pub targets: Vec<String>,
    /// What was observed; escaped.
    pub cause: String,
}

/// What advisories are derived from, in addition to the targets.
pub(super) struct AdvisoryContext<'a> {
    pub env: &'a DoctorEnv,
    pub status: Option<&'a Status>,
    pub prefs: Option<Prefs>,
    pub warnings: Option<&'a [Warning]>,
    pub at: SystemTime,
}

/// Warnings that repeat the backend state.
const REDUNDANT_WARNINGS: [&str; 2] = ["wantrunning-false", "login-state"];

/// All advisories, in the order of [`AdvisoryCode`].
pub(super) fn advisories(node: &Node, targets: &[TargetReport], context: &AdvisoryContext<'_>) -> Vec<Advisory> {
    let mut found = Vec::new();
    for target in targets {
        found.extend(target_advisories::name(target, context));
        found.extend(target_advisories::renamed(target, context));
        found.extend(target_advisories::protocol(target));
        found.extend(target_advisories::peer_key(target, context.at));
    }
    found.extend(worker_path(node, targets));
    found.extend(relays(targets, context));
    found.extend(of_node(node, context));
    found.extend(route(context));
    found.extend(context.status.and_then(|_| socket_write_access(context.env)));
    found.extend(health(context));
    found.sort_by_key(|advisory| advisory.code);
    merged(found)
}

/// One advisory for all targets that it is about, with the cause of each.
fn merged(found: Vec<Advisory>) -> Vec<Advisory> {
    let mut merged: Vec<Advisory> = Vec::new();
    for advisory in found {
        match merged.last_mut().filter(|last| last.code == advisory.code) {
            Some(last) => {
                last.targets.extend(advisory.targets);
                if last.cause != advisory.cause {
                    last.cause = format!("{}; {}", last.cause, advisory.cause);
                }
            }
            None => merged.push(advisory),
        }
    }
    merged
}

fn about_target(code: AdvisoryCode, target: &TargetReport, cause: impl Display) -> Advisory {
    Advisory { code, targets: vec![target.target.name.clone()], cause: escape(&cause.to_string()) }
}

fn about_node(code: AdvisoryCode, cause: impl Display) -> Advisory {
    Advisory { code, targets: Vec::new(), cause: escape(&cause.to_string()) }
}

fn worker_path(node: &Node, targets: &[TargetReport]) -> Option<Advisory> {
    let facts = node.facts.as_ref().filter(|_| node.is_fine())?;
    let untested = targets.iter().filter(|target| !target.target.via.tests_worker_path(facts.mode));
    let targets: Vec<_> = untested.map(|target| target.target.name.clone()).collect();
    let cause = format!("{} mode, and via does not name {}", facts.mode.name(), facts.mode.worker_via());
    (!targets.is_empty()).then_some(Advisory { code: AdvisoryCode::WorkerWayUntested, targets, cause })
}

/// If one machine is relayed, its own network is at fault; if all are and no peer is reached directly, it may be this pod's.
fn relays(targets: &[TargetReport], context: &AdvisoryContext<'_>) -> Vec<Advisory> {
    let relayed: Vec<_> =
        targets.iter().filter(|target| target.path.as_ref().and_then(Sample::region).is_some()).collect();
    let machines: HashSet<_> = relayed.iter().filter_map(|target| Some(&target.peer.as_ref()?.name)).collect();
    let is_direct = |target: &TargetReport| matches!(target.path, Some(Sample::Direct | Sample::PeerRelay));
    let peers = context.status.iter().flat_map(|status| &status.peers);
    let any_direct =
        targets.iter().any(is_direct) || peers.into_iter().any(|peer| peer.active && !peer.cur_addr.is_empty());
    if !any_direct && machines.len() > 1 {
        let targets = relayed.iter().map(|target| target.target.name.clone()).collect();
        let cause = format!("{} machines, none of them reached directly", machines.len());
        return vec![Advisory { code: AdvisoryCode::UdpBlocked, targets, cause }];
    }
    let comparison = if any_direct {
        "other machines are reached directly, so the obstacle is at this machine's end"
    } else {
        "no other machine to compare with"
    };
    let advisory = |target: &&TargetReport| {
        let region = target.path.as_ref()?.region()?;
        let expected = target.target.expect == Expect::Any;
        let unexpected = if expected { "" } else { "; the target expects another path" };
        let cause = format_args!("region {}; {comparison}{unexpected}", region.code);
        Some(about_target(AdvisoryCode::PathOverDerp, target, cause))
    };
    relayed.iter().filter_map(advisory).collect()
}

fn of_node(node: &Node, context: &AdvisoryContext<'_>) -> Vec<Advisory> {
    let Some(facts) = &node.facts else { return Vec::new() };
    let mut found = Vec::new();
    if node.is_fine() && !facts.online {
        let cause =
            "tailscaled reports that it is offline, as it also does after its machine was removed from the tailnet";
        found.push(about_node(AdvisoryCode::ControlUnreachable, cause));
    }
    let left = facts.key_expiry.and_then(|expiry| expiry.duration_since(context.at).ok());
    if let Some(left) = left.filter(|left| *left <= WARNED_BEFORE) {
        found.push(about_node(AdvisoryCode::OwnKeyExpires, format_args!("valid for {} more", coarse(left))));
    }
    let (major, minor) = NEWEST_TESTED;
    if !is_at_least(&facts.version, OLDEST_TESTED) || is_at_least(&facts.version, (major, minor + 1)) {
        let (oldest_major, oldest_minor) = OLDEST_TESTED;
        let cause = format_args!("{} runs; tested are {oldest_major}.{oldest_minor} to {major}.{minor}", facts.version);
        found.push(about_node(AdvisoryCode::VersionUntested, cause));
    }
    found
}

/// An accepted route that covers tailnet addresses other than its router's own or a Tailscale Service's.
fn route(context: &AdvisoryContext<'_>) -> Option<Advisory> {
    let status = context.status.filter(|_| context.prefs.is_some_and(|prefs| prefs.accept_routes))?;
    let overlaps = |route: &IpPrefix| {
        let inside = CGNAT.contains(route.address) || route.contains(CGNAT.address);
        !route.is_default_route() && !route.is_single() && inside
    };
    let (peer, route) =
        status.peers.iter().find_map(|peer| Some((peer, peer.routes.iter().copied().find(overlaps)?)))?;
    let cause = format_args!("{}/{} through {}", route.address, route.bits, peer.dns_name);
    Some(about_node(AdvisoryCode::RouteOverlapsTailnet, cause))
}

/// tailscaled grants write access to root and to its own user.
fn socket_write_access(env: &DoctorEnv) -> Option<Advisory> {
    let cause = match (env.uid, env.socket_owner) {
        (0, _) => "telltail runs as root".to_owned(),
        (uid, Some(owner)) if uid == owner => format!("telltail and tailscaled run as the same user, uid {uid}"),
        _ => return None,
    };
    Some(about_node(AdvisoryCode::SocketMayWrite, cause))
}

fn health(context: &AdvisoryContext<'_>) -> Option<Advisory> {
    let warnings = context.warnings?.iter().filter(|warning| !REDUNDANT_WARNINGS.contains(&warning.code.as_str()));
    let codes: Vec<_> = warnings.map(|warning| format!("{} ({})", warning.code, warning.severity.slug())).collect();
    (!codes.is_empty()).then(|| about_node(AdvisoryCode::HealthWarning, codes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_hint::PodContext;
    use crate::config::Via;
    use crate::network_mode::NetworkMode;
    use crate::probe::dns::MagicDns;

    #[test]
    fn the_localapi_is_no_workers_path_and_in_userspace_mode_only_a_proxy_is() {
        let proxy = Via::Socks5(([127, 0, 0, 1], 1055).into());
        let untested = |mode| [Via::Auto, Via::LocalApi, Via::Tcp, proxy].map(|via| !via.tests_worker_path(mode));
        assert_eq!(untested(NetworkMode::Userspace), [true, true, true, false], "userspace");
        assert_eq!(untested(NetworkMode::Tun), [false, true, false, false], "TUN");
    }

    #[test]
    fn write_access_to_the_socket_is_reported() {
        let env = |uid, socket_owner| DoctorEnv {
            magic_dns: MagicDns::at(([127, 0, 0, 1], 53).into()),
            resolver: None,
            uid,
            socket_owner,
            pod: PodContext::default(),
        };
        for (uid, owner, reported) in [
            (0, Some(0), true),
            (0, None, true),
            (1000, Some(1000), true),
            (65532, Some(0), false),
            (65532, Some(65533), false),
            (65532, None, false),
        ] {
            assert_eq!(socket_write_access(&env(uid, owner)).is_some(), reported, "{uid} {owner:?}");
        }
    }
}
