//! One-shot requests to tailscaled and probes of targets, and how long each may take.

use crate::config::Target;
use crate::diagnose::{PingEvidence, Testimony, refine_timeout};
use crate::node::Node;
use crate::peer::PathProbe;
use crate::probe::path_probe::{PingPolicy, probe_path};
use crate::probe::resolve::{Resolution, resolve};
use crate::probe::{self, ProbeContext, ProbeMemory, ping_evidence, witness};
use crate::probe_result::ProbeResult;
use crate::reason::{Failure, Reason};
use crate::tailscale::{Dialer, KeepPeer, LocalApi, MASK, Status, Warning};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// Longest time for a request that only adds advisories.
const OPTIONAL_TIMEOUT: Duration = Duration::from_secs(2);

/// A probe, and the pings that refined its timeout; none unless it timed out.
pub(super) type RefinedProbe = (ProbeResult, Option<PingEvidence>);

pub(super) async fn optional<T>(request: impl Future<Output = Result<T, Failure>>) -> Option<T> {
    timeout(OPTIONAL_TIMEOUT, request).await.ok()?.ok()
}

/// The local tailscaled, with its status where it answers.
pub(super) async fn read_node(local: &mut LocalApi, keep: KeepPeer<'_>, at: SystemTime) -> (Node, Option<Status>) {
    match local.status(true, keep).await {
        Ok(status) => (Node::of(&status, at), Some(status)),
        Err(failure) => (Node::unreachable(failure), None),
    }
}

/// The first message of the IPN bus has every warning.
pub(super) async fn warnings(dialer: &Dialer) -> Option<Vec<Warning>> {
    let first = async { dialer.watch(MASK).await?.next().await };
    optional(first).await??.health
}

/// The target in the netmap, or the fault of the node that prevents dialling.
pub(super) fn resolution(target: &Target, node: &Node, status: Option<&Status>) -> Resolution {
    match (node.fault.clone(), status) {
        (None, Some(status)) => resolve(status, &target.host),
        // A node without a fault has a status.
        (fault, _) => {
            Resolution::NotFound(fault.unwrap_or_else(|| Failure::new(Reason::NodeLocalapiInvalid, "no status")))
        }
    }
}

/// Probes a target, a second time if the first times out; if both do, pings of the layers below TCP refine the reason.
pub(super) async fn probe_target(
    target: &Target,
    resolution: &Resolution,
    status: Option<&Status>,
    context: ProbeContext<'_>,
) -> RefinedProbe {
    let mut result = probe::run(target, resolution, &mut ProbeMemory::default(), context).await;
    // A path that is changing drops packets for some seconds, which looks like a policy that drops them.
    if timeout_of(&result).is_some() {
        result = probe::run(target, resolution, &mut ProbeMemory::default(), context).await;
    }
    let (Some(failure), Ok(resolved)) = (timeout_of(&result), resolution.dialable()) else { return (result, None) };
    let witnesses = status.map(|status| witness::choose(status, &resolved.peer)).unwrap_or_default();
    let testimony = ping_evidence::ask(&witnesses, context.dialer);
    let pings = ping_evidence::gather(&resolved.peer, testimony, context.dialer).await;
    let outcome = Err(refine_timeout(failure.clone(), &pings));
    (ProbeResult { outcome, ..result }, Some(pings))
}

fn timeout_of(result: &ProbeResult) -> Option<&Failure> {
    result.outcome.as_ref().err().filter(|failure| failure.reason.is_timeout())
}

/// The path to the target's peer, and pings of the layers below TCP where the probe has sent none.
pub(super) async fn probe_path_and_ping(
    target: &Target,
    status: Option<&Status>,
    sent: Option<PingEvidence>,
    dialer: &Dialer,
) -> (PathProbe, Option<PingEvidence>) {
    let resolution = status.map(|status| resolve(status, &target.host));
    let Some(Ok(resolved)) = resolution.as_ref().map(Resolution::dialable) else { return (PathProbe::default(), sent) };
    let pings = async {
        match sent {
            Some(pings) => pings,
            None => ping_evidence::gather(&resolved.peer, async { Testimony::NotAsked }, dialer).await,
        }
    };
    let policy = PingPolicy { round_trip: true, wake: false };
    let (path, pings) = tokio::join!(probe_path(resolved, policy, dialer), pings);
    (path, Some(pings))
}
