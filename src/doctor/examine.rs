//! Gathering the evidence: everything that the doctor asks anybody.

use super::advise::{Context, advise};
use super::ask::{aside, look_at, names, probe_all, warnings};
use super::{Agent, Examined, Machine, Names, Report};
use crate::command_hint::PodContext;
use crate::config::{Config, Host, Target};
use crate::diagnose::{Evidence, Named, PingEvidence, diagnose};
use crate::node::Node;
use crate::probe::Probe;
use crate::probe::dns::MagicDns;
use crate::probe::path_probe::PathProbe;
use crate::probe::resolve::{Interest, Resolved, resolve};
use crate::probe::resolver::Resolver;
use crate::tailscale::{LocalApi, Peer, Status};
use futures_util::future::join_all;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// What the doctor is told of the place it runs in.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where MagicDNS answers in TUN mode.
    pub magic_dns: SocketAddr,
    /// The pod's own resolver; none where nobody knows it.
    pub resolver: Option<Resolver>,
    /// The user that telltail runs as.
    pub uid: u32,
    /// Who owns tailscaled's socket; none where it is not there.
    pub socket_owner: Option<u32>,
    /// For the commands.
    pub home: PodContext,
}

/// Climbs the ladder for every target, side by side.
pub async fn examine(config: &Config, place: &Place, agent: Option<Agent>) -> Report {
    let mut local = LocalApi::new(config.socket.clone(), Arc::new(|_, _| {}));
    let interest = Interest::of(config.targets.iter().map(|target| &**target));
    let hosts: Vec<_> = config.targets.iter().map(|target| target.host.to_string()).collect();
    let keep = |peer: &Peer| interest.wants(peer) || says_more(peer, &hosts);
    let at = SystemTime::now();
    let (node, status) = match local.status(true, &keep).await {
        Ok(status) => (Node::of(&status, at), Some(status)),
        Err(failure) => (Node::unreachable(failure), None),
    };
    let dns = MagicDns::new(place.magic_dns);
    let probes = probe_all(&config.targets, &node, status.as_ref(), local.dialer(), &dns);
    let names = join_all(config.targets.iter().map(|target| names(target, status.as_ref(), place, &dns)));
    let dialer = local.dialer().clone();
    let (probes, names, warnings) = tokio::join!(probes, names, warnings(&dialer));
    // The probes have woken the paths, which the first status could not know.
    let fresh = if node.is_fine() { local.status(true, &keep).await.ok() } else { None };
    let looks = join_all(config.targets.iter().map(|target| look_at(target, fresh.as_ref(), &dialer))).await;
    let prefs = if status.is_some() { aside(local.prefs()).await } else { None };

    let mut targets = Vec::new();
    for (((target, probe), names), (look, below)) in config.targets.iter().zip(probes).zip(names).zip(looks) {
        let found = Found { probe, below, look, names };
        targets.push(examined(target, &node, status.as_ref(), found, at));
    }
    let context =
        Context { place, status: fresh.as_ref().or(status.as_ref()), prefs, warnings: warnings.as_deref(), at };
    let advice = advise(&node, &targets, &context);
    let status = status.unwrap_or_default();
    Report {
        at,
        node,
        addresses: status.own.addresses,
        suffix: status.suffix,
        prefs,
        warnings,
        targets,
        advice,
        home: place.home.clone(),
        agent,
    }
}

/// What was found of one target.
struct Found {
    probe: Probe,
    below: Option<PingEvidence>,
    look: PathProbe,
    names: Option<Names>,
}

/// Peers that are no target's, but by which one can judge: of nearly the same name, reached directly, or routers.
fn says_more(peer: &Peer, hosts: &[String]) -> bool {
    let label = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let begins_alike = |host: &String| label(&peer.dns_name).starts_with(&label(host));
    let routes_a_net = peer.routes.iter().any(|route| !route.is_single());
    hosts.iter().any(begins_alike) || routes_a_net || (peer.active && !peer.cur_addr.is_empty())
}

fn examined(target: &Target, node: &Node, status: Option<&Status>, found: Found, at: SystemTime) -> Examined {
    let resolved = status.filter(|_| node.is_fine()).and_then(|status| resolve_even_expired(status, &target.host));
    let machine = resolved.map(machine);
    let tun = status.is_some_and(|status| status.tun);
    let via = target.via.in_mode(tun).to_string();
    let Found { probe, below, look, names } = found;
    let diagnosis = diagnose(&Evidence {
        node,
        peer: machine.as_ref().map(|machine| Named {
            machine: &machine.name,
            address: machine.address,
            key_expiry: machine.key_expiry,
        }),
        outcome: probe.outcome.as_ref().map(|detail| detail.slug()),
        timings: probe.timings,
        via: &via,
        path: look.sample.as_ref(),
        round_trip: look.round_trip.flatten(),
        below,
        wall: at,
    });
    let round_trip = look.round_trip.flatten();
    Examined {
        target: target.clone(),
        via,
        peer: machine,
        path: look.sample,
        round_trip,
        timings: probe.timings,
        names,
        diagnosis,
    }
}

/// A machine whose key has expired is in the netmap all the same.
fn resolve_even_expired<'a>(status: &'a Status, host: &Host) -> Option<Resolved<'a>> {
    if let Ok(resolved) = resolve(status, host) {
        return Some(resolved);
    }
    let full = match (host, &status.suffix) {
        (Host::Name(name), Some(suffix)) if !name.contains('.') => format!("{name}.{suffix}"),
        (Host::Name(name), _) => name.clone(),
        (Host::Ip(_), _) => return None,
    };
    let peer = status.peers.iter().find(|peer| peer.dns_name == full)?;
    let address = *peer.addresses.first()?;
    Some(Resolved { address, addresses: peer.addresses.clone(), name: Some(full), peer })
}

fn machine(resolved: Resolved<'_>) -> Machine {
    let peer = resolved.peer;
    Machine {
        name: peer.dns_name.clone(),
        address: resolved.address,
        addresses: resolved.addresses,
        online: peer.online,
        key_expiry: peer.key_expiry,
    }
}
