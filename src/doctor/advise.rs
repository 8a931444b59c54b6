//! What a person should know beside the verdicts. No I/O.

use super::{Examined, Names, Place};
use crate::advice::{Advice, Advised};
use crate::config::Via;
use crate::diagnose::rough;
use crate::expiry::WARNED_BEFORE;
use crate::node::Node;
use crate::path::Sample;
use crate::reason::escape;
use crate::report::OLDEST_TESTED;
use crate::tailscale::{Peer, Prefs, Route, Status, Warning, is_at_least};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

/// What is known beside the targets.
pub(super) struct Circumstances<'a> {
    pub place: &'a Place,
    pub status: Option<&'a Status>,
    pub prefs: Option<Prefs>,
    pub warnings: Option<&'a [Warning]>,
    pub at: SystemTime,
}

/// The newest tailscaled that the tests run with (docs/compatibility.md): a later minor release is untested.
const NEWEST_TESTED: (u32, u32) = (1, 102);
/// Where Tailscale's IPv4 addresses are from.
const TAILNET: Route = Route { address: IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), bits: 10 };

/// Warnings that say again what the backend state says.
const RESTATED: [&str; 2] = ["wantrunning-false", "login-state"];

/// Everything that is worth saying, in the order of the list.
pub(super) fn advise(node: &Node, targets: &[Examined], known: &Circumstances<'_>) -> Vec<Advised> {
    let mut advice = Vec::new();
    for one in targets {
        advice.extend(name(one, known));
        advice.extend(renamed(one, known));
        advice.extend(peer_key(one, known.at));
    }
    advice.extend(way(node, targets));
    advice.extend(relays(targets, known));
    advice.extend(of_node(node, known));
    advice.extend(route(known));
    advice.extend(rights(known.place));
    advice.extend(health(known));
    advice.sort_by_key(|one| one.advice);
    merged(advice)
}

/// One note for all targets that it is about, with what was seen of each.
fn merged(advice: Vec<Advised>) -> Vec<Advised> {
    let mut notes: Vec<Advised> = Vec::new();
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

fn about(advice: Advice, one: &Examined, cause: impl Display) -> Advised {
    Advised { advice, targets: vec![one.target.name.clone()], cause: escape(&cause.to_string()) }
}

fn of_pod(advice: Advice, cause: impl Display) -> Advised {
    Advised { advice, targets: Vec::new(), cause: escape(&cause.to_string()) }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// What the worker itself would be told: a proxy that is named resolves for it.
fn name(one: &Examined, known: &Circumstances<'_>) -> Option<Advised> {
    let Names { pod, .. } = one.names.as_ref()?;
    let (machine, answer) = (one.peer.as_ref()?, pod.as_ref()?);
    match &answer.addresses {
        Ok(addresses) if addresses.iter().any(|address| !machine.addresses.contains(address)) => {
            let (given, meant) = (list(addresses), list(&machine.addresses));
            let cause = format_args!("the pod's resolver answers {} with {given}; the target is {meant}", answer.name);
            Some(about(Advice::NameShadowed, one, cause))
        }
        Ok(_) => None,
        Err(_) if matches!(one.target.via, Via::Socks5(_)) => None,
        Err(seen) => {
            let why = match known.prefs.map(|prefs| prefs.accept_dns) {
                Some(false) => "; accept-dns is off",
                Some(true) => "; accept-dns is on, but this resolv.conf does not name 100.100.100.100",
                None => "",
            };
            Some(about(Advice::NameNotResolved, one, format_args!("{}: {seen}{why}", one.target.host)))
        }
    }
}

/// A machine that joined anew gets the old one's name with a number, for the name still belongs to the old entry.
fn renamed(one: &Examined, known: &Circumstances<'_>) -> Option<Advised> {
    let failed = one.diagnosis.verdict.is_err();
    if !failed || one.peer.as_ref().is_some_and(|machine| machine.online) {
        return None;
    }
    let host = one.target.host.to_string();
    let label = host.split('.').next()?;
    let numbered = |peer: &&Peer| {
        let name = peer.dns_name.split('.').next().unwrap_or_default();
        let number = name.strip_prefix(label).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let twin = known.status?.peers.iter().find(|peer| peer.online && numbered(peer))?;
    let state = if one.peer.is_some() { "is offline" } else { "is not in the netmap" };
    Some(about(Advice::PeerRenamed, one, format_args!("{host} {state}, and {} is online", twin.dns_name)))
}

fn peer_key(one: &Examined, at: SystemTime) -> Option<Advised> {
    let left = one.peer.as_ref()?.key_expiry?.duration_since(at).ok().filter(|left| *left <= WARNED_BEFORE)?;
    Some(about(Advice::PeerKeyExpires, one, format_args!("it is valid for {} more", rough(left))))
}

/// In userspace mode the kernel knows no way to the tailnet.
fn way(node: &Node, targets: &[Examined]) -> Option<Advised> {
    let userspace = node.is_fine() && node.facts.as_ref().is_some_and(|facts| !facts.tun);
    let without: Vec<_> = targets.iter().filter(|one| !matches!(one.target.via, Via::Socks5(_))).collect();
    (userspace && !without.is_empty()).then(|| Advised {
        advice: Advice::WorkerWayUntested,
        targets: without.iter().map(|one| one.target.name.clone()).collect(),
        cause: "they are probed through tailscaled's LocalAPI, which no worker uses".to_owned(),
    })
}

/// One machine behind a relay has its own trouble; where all are, and nobody is reached directly, it is this pod's.
fn relays(targets: &[Examined], known: &Circumstances<'_>) -> Vec<Advised> {
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
        return vec![Advised { advice: Advice::UdpBlocked, targets, cause }];
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

fn of_node(node: &Node, known: &Circumstances<'_>) -> Vec<Advised> {
    let Some(facts) = &node.facts else { return Vec::new() };
    let mut advice = Vec::new();
    if node.is_fine() && !facts.online {
        let cause =
            "tailscaled says that it is offline; where its machine was removed from the tailnet it says so, too";
        advice.push(of_pod(Advice::ControlUnreachable, cause));
    }
    let left = facts.key_expiry.and_then(|expiry| expiry.duration_since(known.at).ok());
    if let Some(left) = left.filter(|left| *left <= WARNED_BEFORE) {
        advice.push(of_pod(Advice::OwnKeyExpires, format_args!("it is valid for {} more", rough(left))));
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
fn route(known: &Circumstances<'_>) -> Option<Advised> {
    let status = known.status.filter(|_| known.prefs.is_some_and(|prefs| prefs.accept_routes))?;
    let overlaps = |route: &Route| {
        let inside = TAILNET.contains(route.address) || route.contains(TAILNET.address);
        route.bits > 0 && !route.is_single() && inside
    };
    let (peer, route) =
        status.peers.iter().find_map(|peer| Some((peer, peer.routes.iter().copied().find(overlaps)?)))?;
    let cause = format_args!("{}/{} through {}", route.address, route.bits, peer.dns_name);
    Some(of_pod(Advice::RouteOverlapsTailnet, cause))
}

/// tailscaled lets root change it, and the user that it runs as itself.
fn rights(place: &Place) -> Option<Advised> {
    let cause = match (place.uid, place.socket_owner) {
        (0, _) => "telltail runs as root".to_owned(),
        (uid, Some(owner)) if uid == owner => format!("telltail and tailscaled run as the same user, uid {uid}"),
        _ => return None,
    };
    Some(of_pod(Advice::SocketMayWrite, cause))
}

fn health(known: &Circumstances<'_>) -> Option<Advised> {
    let news = known.warnings?.iter().filter(|one| !RESTATED.contains(&one.code.as_str()));
    let words: Vec<_> = news.map(|one| format!("{} ({})", one.code, one.severity.slug())).collect();
    (!words.is_empty()).then(|| of_pod(Advice::HealthWarning, words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::next::Home;

    #[test]
    fn whoever_could_change_the_node_is_told_so() {
        let place = |uid, socket_owner| Place {
            magic_dns: ([127, 0, 0, 1], 53).into(),
            resolver: None,
            uid,
            socket_owner,
            home: Home::default(),
        };
        for (uid, owner, told) in [
            (0, Some(0), true),
            (0, None, true),
            (1000, Some(1000), true),
            (65532, Some(0), false),
            (65532, Some(65533), false),
            (65532, None, false),
        ] {
            assert_eq!(rights(&place(uid, owner)).is_some(), told, "{uid} {owner:?}");
        }
    }
}
