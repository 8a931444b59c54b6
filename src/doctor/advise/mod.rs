//! What a person should know beside the verdicts. No I/O.

mod target;

use super::{Examined, Place};
use crate::advice::{Advice, Advisory};
use crate::config::Via;
use crate::duration::humanize;
use crate::key_expiry_log::WARNED_BEFORE;
use crate::node::Node;
use crate::path::Sample;
use crate::reason::escape;
use crate::tailscale::{IpPrefix, Prefs, Status, Warning, is_at_least};
use crate::transition_log::OLDEST_TESTED;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

/// What is known beside the targets.
pub(super) struct Context<'a> {
    pub place: &'a Place,
    pub status: Option<&'a Status>,
    pub prefs: Option<Prefs>,
    pub warnings: Option<&'a [Warning]>,
    pub at: SystemTime,
}

/// The newest tailscaled that the tests run with (docs/compatibility.md): a later minor release is untested.
const NEWEST_TESTED: (u32, u32) = (1, 102);
/// Where Tailscale's IPv4 addresses are from.
const TAILNET: IpPrefix = IpPrefix { address: IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), bits: 10 };

/// Warnings that say again what the backend state says.
const RESTATED: [&str; 2] = ["wantrunning-false", "login-state"];

/// Everything that is worth saying, in the order of the list.
pub(super) fn advise(node: &Node, targets: &[Examined], known: &Context<'_>) -> Vec<Advisory> {
    let mut advice = Vec::new();
    for one in targets {
        advice.extend(target::name(one, known));
        advice.extend(target::renamed(one, known));
        advice.extend(target::peer_key(one, known.at));
    }
    advice.extend(way(node, targets));
    advice.extend(relays(targets, known));
    advice.extend(of_node(node, known));
    advice.extend(route(known));
    advice.extend(known.status.and_then(|_| socket_write_access(known.place)));
    advice.extend(health(known));
    advice.sort_by_key(|one| one.advice);
    merged(advice)
}

/// One note for all targets that it is about, with what was seen of each.
fn merged(advice: Vec<Advisory>) -> Vec<Advisory> {
    let mut notes: Vec<Advisory> = Vec::new();
    for one in advice {
        match notes.last_mut().filter(|note| note.advice == one.advice) {
            Some(note) => {
                note.targets.extend(one.targets);
                if note.cause != one.cause {
                    note.cause = format!("{}; {}", note.cause, one.cause);
                }
            }
            None => notes.push(one),
        }
    }
    notes
}

fn about(advice: Advice, one: &Examined, cause: impl Display) -> Advisory {
    Advisory { advice, targets: vec![one.target.name.clone()], cause: escape(&cause.to_string()) }
}

fn of_pod(advice: Advice, cause: impl Display) -> Advisory {
    Advisory { advice, targets: Vec::new(), cause: escape(&cause.to_string()) }
}

/// In userspace mode the kernel knows no way to the tailnet.
fn way(node: &Node, targets: &[Examined]) -> Option<Advisory> {
    let userspace = node.is_fine() && node.facts.as_ref().is_some_and(|facts| !facts.tun);
    let without: Vec<_> = targets.iter().filter(|one| !matches!(one.target.via, Via::Socks5(_))).collect();
    (userspace && !without.is_empty()).then(|| Advisory {
        advice: Advice::WorkerWayUntested,
        targets: without.iter().map(|one| one.target.name.clone()).collect(),
        cause: "they are probed through tailscaled's LocalAPI, which no worker uses".to_owned(),
    })
}

/// One machine behind a relay has its own trouble; where all are, and nobody is reached directly, it is this pod's.
fn relays(targets: &[Examined], known: &Context<'_>) -> Vec<Advisory> {
    let relayed: Vec<_> = targets.iter().filter(|one| matches!(one.path, Some(Sample::Derp(_)))).collect();
    let machines = |of: &[&Examined]| {
        let mut names: Vec<_> = of.iter().filter_map(|one| one.peer.as_ref().map(|peer| peer.name.clone())).collect();
        names.sort();
        names.dedup();
        names.len()
    };
    let by_udp = |one: &Examined| matches!(one.path, Some(Sample::Direct | Sample::PeerRelay));
    let direct = targets.iter().any(by_udp);
    let others =
        known.status.is_some_and(|status| status.peers.iter().any(|peer| peer.active && !peer.cur_addr.is_empty()));
    let all = machines(&relayed);
    if !direct && !others && all > 1 {
        let targets = relayed.iter().map(|one| one.target.name.clone()).collect();
        let cause = format!("{all} machines, none of them reached directly");
        return vec![Advisory { advice: Advice::UdpBlocked, targets, cause }];
    }
    let compared = if direct || others {
        "other machines are reached directly, so the obstacle is at this one's end"
    } else {
        "no other machine to compare with"
    };
    let one = |one: &&Examined| {
        let Some(Sample::Derp(region)) = &one.path else { return None };
        let expect = one.target.expect;
        let unexpected = if expect == crate::config::Expect::Any { "" } else { "; the target expects another path" };
        Some(about(Advice::PathOverDerp, one, format_args!("region {}; {compared}{unexpected}", region.code)))
    };
    relayed.iter().filter_map(one).collect()
}

fn of_node(node: &Node, known: &Context<'_>) -> Vec<Advisory> {
    let Some(facts) = &node.facts else { return Vec::new() };
    let mut advice = Vec::new();
    if node.is_fine() && !facts.online {
        let cause =
            "tailscaled says that it is offline; where its machine was removed from the tailnet it says so, too";
        advice.push(of_pod(Advice::ControlUnreachable, cause));
    }
    let left = facts.key_expiry.and_then(|expiry| expiry.duration_since(known.at).ok());
    if let Some(left) = left.filter(|left| *left <= WARNED_BEFORE) {
        advice.push(of_pod(Advice::OwnKeyExpires, format_args!("it is valid for {} more", humanize(left))));
    }
    let (major, minor) = NEWEST_TESTED;
    if !is_at_least(&facts.version, OLDEST_TESTED) || is_at_least(&facts.version, (major, minor + 1)) {
        let (old, young) = OLDEST_TESTED;
        let cause = format_args!("{} runs; tested are {old}.{young} to {major}.{minor}", facts.version);
        advice.push(of_pod(Advice::VersionUntested, cause));
    }
    advice
}

/// A route that is accepted and covers tailnet addresses that are not its router's own or a service's.
fn route(known: &Context<'_>) -> Option<Advisory> {
    let status = known.status.filter(|_| known.prefs.is_some_and(|prefs| prefs.accept_routes))?;
    let overlaps = |route: &IpPrefix| {
        let inside = TAILNET.contains(route.address) || route.contains(TAILNET.address);
        route.bits > 0 && !route.is_single() && inside
    };
    let (peer, route) =
        status.peers.iter().find_map(|peer| Some((peer, peer.routes.iter().copied().find(overlaps)?)))?;
    let cause = format_args!("{}/{} through {}", route.address, route.bits, peer.dns_name);
    Some(of_pod(Advice::RouteOverlapsTailnet, cause))
}

/// tailscaled lets root change it, and the user that it runs as itself.
fn socket_write_access(place: &Place) -> Option<Advisory> {
    let cause = match (place.uid, place.socket_owner) {
        (0, _) => "telltail runs as root".to_owned(),
        (uid, Some(owner)) if uid == owner => format!("telltail and tailscaled run as the same user, uid {uid}"),
        _ => return None,
    };
    Some(of_pod(Advice::SocketMayWrite, cause))
}

fn health(known: &Context<'_>) -> Option<Advisory> {
    let news = known.warnings?.iter().filter(|one| !RESTATED.contains(&one.code.as_str()));
    let words: Vec<_> = news.map(|one| format!("{} ({})", one.code, one.severity.slug())).collect();
    (!words.is_empty()).then(|| of_pod(Advice::HealthWarning, words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_hint::PodContext;

    #[test]
    fn whoever_could_change_the_node_is_told_so() {
        let place = |uid, socket_owner| Place {
            magic_dns: ([127, 0, 0, 1], 53).into(),
            resolver: None,
            uid,
            socket_owner,
            home: PodContext::default(),
        };
        for (uid, owner, told) in [
            (0, Some(0), true),
            (0, None, true),
            (1000, Some(1000), true),
            (65532, Some(0), false),
            (65532, Some(65533), false),
            (65532, None, false),
        ] {
            assert_eq!(socket_write_access(&place(uid, owner)).is_some(), told, "{uid} {owner:?}");
        }
    }
}
