//! Runs every check and gathers the evidence.

use super::advisories::{AdvisoryContext, advisories, is_renamed};
use super::names::{NameAnswers, look_up_name};
use super::probes::{optional, probe_path_and_ping, probe_target, read_node, resolution, warnings};
use super::{DoctorReport, RunningAgent, TargetReport};
use crate::command_hint::PodContext;
use crate::config::{Config, Target, first_label};
use crate::diagnose::{Evidence, PingEvidence, diagnose};
use crate::network_mode::NetworkMode;
use crate::node::Node;
use crate::peer::PathProbe;
use crate::peer::TargetPeer;
use crate::probe::ProbeContext;
use crate::probe::dns::MagicDns;
use crate::probe::peer_filter::PeerFilter;
use crate::probe::resolver::Resolver;
use crate::probe_result::ProbeResult;
use crate::tailscale::{LocalApi, Peer, Status};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::SystemTime;

/// The environment that the doctor runs in.
#[derive(Clone, Debug)]
pub struct DoctorEnv {
    /// Where MagicDNS answers in TUN mode.
    pub magic_dns: MagicDns,
    /// The pod's own resolver; none where it is not to be asked.
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
    let filter = PeerFilter::of(config.targets.iter().map(|target| &**target));
    let hosts: Vec<_> = config.targets.iter().map(|target| target.host.to_string()).collect();
    let keep = |status: &Status, peer: &Peer| filter.matches(status, peer) || is_relevant(peer, &hosts);
    let at = SystemTime::now();
    let (node, status) = read_node(&mut local, &keep, at).await;
    let dialer = local.dialer().clone();
    let mode = status.as_ref().map(|status| status.mode).unwrap_or_default();
    let resolve = |target: &Arc<Target>| resolution(target, &node, status.as_ref());
    let resolutions: Vec<_> = config.targets.iter().map(resolve).collect();
    let context = ProbeContext { mode, dialer: &dialer, dns: &env.magic_dns, decides: true, keeps_connections: true };
    let probes = config.targets.iter().zip(&resolutions);
    let probes =
        join_all(probes.map(|(target, resolution)| probe_target(target, resolution, status.as_ref(), context)));
    let names = config.targets.iter().zip(&resolutions);
    let names = names.map(|(target, resolution)| look_up_name(target, resolution, status.as_ref(), env));
    let names = join_all(names);
    let (probes, names, warnings) = tokio::join!(probes, names, warnings(&dialer));
    // The probes have activated the paths, which the first status could not know.
    let fresh = if node.is_fine() { local.status(true, &keep).await.ok() } else { None };
    let paths = config.targets.iter().zip(&probes);
    let paths = paths.map(|(target, (_, pings))| probe_path_and_ping(target, fresh.as_ref(), pings.clone(), &dialer));
    let paths = join_all(paths).await;
    let prefs = if status.is_some() { optional(local.prefs()).await } else { None };

    let mut targets = Vec::new();
    let evidence = resolutions.iter().zip(probes).zip(names).zip(paths);
    for (target, (((resolution, (probe, _)), names), (path, pings))) in config.targets.iter().zip(evidence) {
        let evidence = TargetEvidence { peer: resolution.peer().cloned(), probe, pings, path, names };
        targets.push(target_report(target, &node, mode, evidence, at));
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
    peer: Option<TargetPeer>,
    probe: ProbeResult,
    pings: Option<PingEvidence>,
    path: PathProbe,
    names: Option<NameAnswers>,
}

/// Peers without a target that advisories need: a renamed machine, reached directly, or subnet routers.
fn is_relevant(peer: &Peer, hosts: &[String]) -> bool {
    let renamed = |host: &String| is_renamed(peer, first_label(host));
    let routes_a_net = peer.routes.iter().any(|route| !route.is_single() && !route.is_default_route());
    hosts.iter().any(renamed) || routes_a_net || (peer.active && !peer.cur_addr.is_empty())
}

fn target_report(
    target: &Arc<Target>,
    node: &Node,
    mode: NetworkMode,
    evidence: TargetEvidence,
    at: SystemTime,
) -> TargetReport {
    let via = target.via.effective(mode).to_string();
    let TargetEvidence { peer, probe, pings, path, names } = evidence;
    let round_trip = path.round_trip.measured();
    let diagnosis = diagnose(&Evidence {
        node,
        peer: peer.as_ref(),
        outcome: probe.outcome.as_ref().map(|detail| detail.slug()),
        timings: probe.timings,
        via: &via,
        path: path.sample.as_ref(),
        round_trip,
        pings: pings.as_ref(),
        wall: at,
    });
    TargetReport {
        target: Arc::clone(target),
        depth: probe.outcome.as_ref().map_or(target.depth, |detail| detail.depth(target.depth)),
        via,
        peer,
        path: path.sample,
        round_trip,
        timings: probe.timings,
        names,
        diagnosis,
    }
}
