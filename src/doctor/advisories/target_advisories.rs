//! Advisories about one target.

use super::super::{NameAnswers, TargetReport};
use super::{Advisory, AdvisoryCode, AdvisoryContext, about_target};
use crate::config::{Via, first_label};
use crate::duration::coarse;
use crate::key_expiry_log::WARNED_BEFORE;
use crate::tailscale::Peer;
use std::net::IpAddr;
use std::time::SystemTime;

/// The answer that the worker gets from the pod's resolver. It needs none where the proxy is seen to resolve the name.
pub(super) fn name(target: &TargetReport, context: &AdvisoryContext<'_>) -> Option<Advisory> {
    let NameAnswers { pod, .. } = target.names.as_ref()?;
    let (peer, answer) = (target.peer.as_ref()?, pod.as_ref()?);
    match &answer.addresses {
        Ok(addresses) if addresses.iter().any(|address| !peer.addresses.contains(address)) => {
            let (answered, expected) = (list(addresses), list(&peer.addresses));
            let cause =
                format_args!("the pod's resolver answers {} with {answered}; the target is {expected}", answer.name);
            Some(about_target(AdvisoryCode::NameShadowed, target, cause))
        }
        Ok(_) => None,
        Err(_) if matches!(target.target.via, Via::Socks5(_)) && target.timings.connect.is_some() => None,
        Err(error) => {
            let hint = match context.prefs.map(|prefs| prefs.accept_dns) {
                Some(false) => "; accept-dns is off",
                Some(true) if !uses_magic_dns(context) => {
                    "; accept-dns is on, but this resolv.conf does not name 100.100.100.100"
                }
                Some(true) | None => "",
            };
            Some(about_target(
                AdvisoryCode::NameNotResolved,
                target,
                format_args!("{}: {error}{hint}", target.target.host),
            ))
        }
    }
}

fn uses_magic_dns(context: &AdvisoryContext<'_>) -> bool {
    let resolver = context.env.resolver.as_ref();
    resolver.is_some_and(|resolver| resolver.servers().iter().any(|server| context.env.magic_dns.is_at(*server)))
}

/// A machine that joins again gets its old name with a number while the old entry still has the name.
pub(super) fn renamed(target: &TargetReport, context: &AdvisoryContext<'_>) -> Option<Advisory> {
    // While the node is at fault no peer is looked up.
    let failed = target.diagnosis.verdict.as_ref().is_err_and(|failure| !failure.reason.is_node_fault());
    if !failed || target.peer.as_ref().is_some_and(|peer| peer.online) {
        return None;
    }
    let host = target.target.host.to_string();
    let label = first_label(&host);
    let has_numeric_suffix = |peer: &&Peer| {
        let number = first_label(&peer.dns_name).strip_prefix(label).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let renamed_peer = context.status?.peers.iter().find(|peer| peer.online && has_numeric_suffix(peer))?;
    let state = if target.peer.is_some() { "is offline" } else { "is not in the netmap" };
    Some(about_target(
        AdvisoryCode::PeerRenamed,
        target,
        format_args!("{host} {state}, and {} is online", renamed_peer.dns_name),
    ))
}

pub(super) fn peer_key(target: &TargetReport, at: SystemTime) -> Option<Advisory> {
    let left = target.peer.as_ref()?.key_expiry?.duration_since(at).ok().filter(|left| *left <= WARNED_BEFORE)?;
    Some(about_target(AdvisoryCode::PeerKeyExpires, target, format_args!("valid for {} more", coarse(left))))
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}
