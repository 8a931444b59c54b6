//! Runs every check and gathers the evidence.

use super::advisories::{AdvisoryContext, advisories};
use super::queries::{look_up_name, optional, probe_all, probe_path_and_ping, warnings};
use super::{DoctorReport, NameAnswers, PeerDetails, RunningAgent, TargetReport};
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

/// The environment that the doctor runs in.
#[derive(Clone, Debug)]
pub struct DoctorEnv {
    /// Where MagicDNS answers in TUN mode.
    pub magic_dns: SocketAddr,
    /// The pod's own resolver; none without a readable resolv.conf.
    pub resolver: Option<Resolver>,
    /// The user that telltail runs as.
    pub uid: u32,
    /// Who owns tailscaled's socket; none where it does not exist.
    pub socket_owner: Option<u32>,
    /// For the next commands.
    pub pod: PodContext,
}

/// Runs every check for every target, all targets concurrently.
pub async fn examine(config: &Config, env: &DoctorEnv, agent: Option<RunningAgent>) -> DoctorReport {
    let mut local = LocalApi::new(config.socket.clone(), Arc::new(|_, _| {}));
    let interest = Interest::of(&config.targets);
    let hosts: Vec<_> = config.targets.iter().map(|target| target.host.to_string()).collect();
    let keep = |peer: &Peer| interest.wants(peer) || is_relevant(peer, &hosts);
    let at = SystemTime::now();
    let (node, status) = match local.status(true, &keep).await {
        Ok(status) => (Node::of(&status, at), Some(status)),
        Err(failure) => (Node::unreachable(failure), None),
    };
    let dns = MagicDns::new(env.magic_dns);
    let probes = probe_all(&config.targets, &node, status.as_ref(), local.dialer(), &dns);
    let names = join_all(config.targets.iter().map(|target| look_up_name(target, status.as_ref(), env, &dns)));
    let dialer = local.dialer().clone();
    let (probes, names, warnings) = tokio::join!(probes, names, warnings(&dialer));
    // The probes have activated the paths, which the first status could not know.
    let fresh = if node.is_fine() { local.status(true, &keep).await.ok() } else { None };
    let paths =
        join_all(config.targets.iter().map(|target| probe_path_and_ping(target, fresh.as_ref(), &dialer))).await;
    let prefs = if status.is_some() { optional(local.prefs()).await } else { None };

    let mut targets = Vec::new();
    for (((target, probe), names), (path, below)) in config.targets.iter().zip(probes).zip(names).zip(paths) {
        let evidence = TargetEvidence { probe, below, path, names };
        targets.push(target_report(target, &node, status.as_ref(), evidence, at));
    }
    let context =
        AdvisoryContext { env, status: fresh.as_ref().or(status.as_ref()), prefs, warnings: warnings.as_deref(), at };
    let advisories = advisories(&node, &targets, &context);
    let status = status.unwrap_or_default();
    DoctorReport {
        at,
        node,
        addresses: status.own.addresses,
        suffix: status.suffix,
        prefs,
        warnings,
        targets,
        advisories,
        pod: env.pod.clone(),
        agent,
    }
}

/// The evidence about one target.
struct TargetEvidence {
    probe: Probe,
    below: Option<PingEvidence>,
    path: PathProbe,
    names: Option<NameAnswers>,
}

/// Peers without a target that advisories need: with nearly the same name, reached directly, or subnet routers.
fn is_relevant(peer: &Peer, hosts: &[String]) -> bool {
    let label = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let begins_alike = |host: &String| label(&peer.dns_name).starts_with(&label(host));
    let routes_a_net = peer.routes.iter().any(|route| !route.is_single());
    hosts.iter().any(begins_alike) || routes_a_net || (peer.active && !peer.cur_addr.is_empty())
}

fn target_report(
    target: &Target,
    node: &Node,
    status: Option<&Status>,
    evidence: TargetEvidence,
    at: SystemTime,
) -> TargetReport {
    let resolved = status.filter(|_| node.is_fine()).and_then(|status| resolve_even_expired(status, &target.host));
    let machine = resolved.map(machine);
    let tun = status.is_some_and(|status| status.tun);
    let via = target.via.in_mode(tun).to_string();
    let TargetEvidence { probe, below, path, names } = evidence;
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
        path: path.sample.as_ref(),
        round_trip: path.round_trip.flatten(),
        below,
        wall: at,
    });
    let round_trip = path.round_trip.flatten();
    TargetReport {
        target: target.clone(),
        via,
        peer: machine,
        path: path.sample,
        round_trip,
        timings: probe.timings,
        names,
        diagnosis,
    }
}

/// A machine whose key has expired is still in the netmap.
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

fn machine(resolved: Resolved<'_>) -> PeerDetails {
    let peer = resolved.peer;
    PeerDetails {
        name: peer.dns_name.clone(),
        address: resolved.address,
        addresses: resolved.addresses,
        online: peer.online,
        key_expiry: peer.key_expiry,
    }
}
