//! What a person should know of one target.

use super::super::{Examined, Names};
use super::{Context, about};
use crate::advice::{Advice, Advisory};
use crate::config::Via;
use crate::duration::humanize;
use crate::key_expiry_log::WARNED_BEFORE;
use crate::tailscale::Peer;
use std::net::IpAddr;
use std::time::SystemTime;

/// What the worker itself would be told: a proxy that is named resolves for it.
pub(super) fn name(one: &Examined, known: &Context<'_>) -> Option<Advisory> {
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
                Some(true) if !asks_tailscaled(known) => {
                    "; accept-dns is on, but this resolv.conf does not name 100.100.100.100"
                }
                Some(true) | None => "",
            };
            Some(about(Advice::NameNotResolved, one, format_args!("{}: {seen}{why}", one.target.host)))
        }
    }
}

fn asks_tailscaled(known: &Context<'_>) -> bool {
    let resolver = known.place.resolver.as_ref();
    resolver.is_some_and(|resolver| resolver.servers().contains(&known.place.magic_dns.ip()))
}

/// A machine that joined anew gets the old one's name with a number, for the name still belongs to the old entry.
pub(super) fn renamed(one: &Examined, known: &Context<'_>) -> Option<Advisory> {
    // Where the node is at fault nobody was looked up.
    let failed = one.diagnosis.verdict.as_ref().is_err_and(|failure| !failure.reason.is_node_fault());
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

pub(super) fn peer_key(one: &Examined, at: SystemTime) -> Option<Advisory> {
    let left = one.peer.as_ref()?.key_expiry?.duration_since(at).ok().filter(|left| *left <= WARNED_BEFORE)?;
    Some(about(Advice::PeerKeyExpires, one, format_args!("it is valid for {} more", humanize(left))))
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}
