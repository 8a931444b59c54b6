//! Advisories about one target.

use super::super::{NameAnswers, TargetReport};
use super::{Advisory, AdvisoryCode, AdvisoryContext, about_target};
use crate::config::{Via, first_label};
use crate::duration::coarse;
use crate::key_expiry_log::WARNED_BEFORE;
use crate::probe_result::Detail;
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

/// A machine that joins again while its old entry still has the name gets another, and an administrator may rename it.
pub(super) fn renamed(target: &TargetReport, context: &AdvisoryContext<'_>) -> Option<Advisory> {
    // While the node is at fault no peer is looked up.
    let failed = target.diagnosis.verdict.as_ref().is_err_and(|failure| !failure.reason.is_node_fault());
    if !failed || target.peer.as_ref().is_some_and(|peer| peer.online) {
        return None;
    }
    let host = target.target.host.to_string();
    let label = first_label(&host);
    let renamed_peer = context.status?.peers.iter().find(|peer| peer.online && is_renamed(peer, label))?;
    let state = if target.peer.is_some() { "is offline" } else { "is not in the netmap" };
    Some(about_target(
        AdvisoryCode::PeerRenamed,
        target,
        format_args!("{host} {state}, and {} is online", renamed_peer.dns_name),
    ))
}

/// Does the peer's machine call itself `label`, or did its name get a number behind it, while the tailnet calls it otherwise?
/// Tailscale appends a number, headscale random letters.
pub(in crate::doctor) fn is_renamed(peer: &Peer, label: &str) -> bool {
    let name = first_label(&peer.dns_name);
    let number = name.strip_prefix(label).and_then(|rest| rest.strip_prefix('-'));
    let numbered = number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    name != label && (numbered || first_label(&peer.host_name).eq_ignore_ascii_case(label))
}

/// A service that asks for TLS is up as far as its port shows.
pub(super) fn protocol(target: &TargetReport) -> Option<Advisory> {
    let tls_only = target.diagnosis.verdict.as_deref() == Ok(Detail::TlsOnly.slug());
    tls_only.then(|| about_target(AdvisoryCode::ProtocolUntested, target, "it answers \"S\": proven is depth tcp"))
}

pub(super) fn peer_key(target: &TargetReport, at: SystemTime) -> Option<Advisory> {
    let left = target.peer.as_ref()?.key_expiry?.duration_since(at).ok().filter(|left| *left <= WARNED_BEFORE)?;
    Some(about_target(AdvisoryCode::PeerKeyExpires, target, format_args!("valid for {} more", coarse(left))))
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_machine_is_known_by_what_it_calls_itself() {
        for (dns_name, host_name, expected) in [
            ("db-1.tail1.ts.net", "db", true),
            ("db-12.tail1.ts.net", "", true),
            ("db-k7qzx2ab.example.com", "db", true),
            ("primary.tail1.ts.net", "DB", true),
            ("primary.tail1.ts.net", "db.internal.example.com", true),
            ("dbx.tail1.ts.net", "dbx", false),
            ("db-x.tail1.ts.net", "db-x", false),
            ("db-.tail1.ts.net", "", false),
            ("db.tail1.ts.net", "db", false),
        ] {
            let peer = Peer { dns_name: dns_name.to_owned(), host_name: host_name.to_owned(), ..Peer::default() };
            assert_eq!(is_renamed(&peer, "db"), expected, "{dns_name} {host_name}");
        }
    }
}
