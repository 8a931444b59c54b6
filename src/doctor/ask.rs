//! The single questions, and how long each may take.

use super::{Names, Place};
use crate::config::{Host, Target};
use crate::diagnose::{PingEvidence, refine_timeout};
use crate::node::Node;
use crate::probe::dns::MagicDns;
use crate::probe::path_probe::{PathProbe, PingPolicy, probe_path};
use crate::probe::resolve::{Resolution, resolve};
use crate::probe::resolver::LookupResult;
use crate::probe::{self, ProbeContext, ProbeResult, ping_evidence};
use crate::reason::{Failure, Reason};
use crate::tailscale::{Dialer, MASK, Status, Warning};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Longest time for what is only good to know.
const ASIDE: Duration = Duration::from_secs(2);
/// Longest time for all names that the search list makes of one; a server that is silent takes a second for each.
const NAMES: Duration = Duration::from_secs(3);

pub(super) async fn aside<T>(question: impl Future<Output = Result<T, Failure>>) -> Option<T> {
    timeout(ASIDE, question).await.ok()?.ok()
}

/// The first notification has all current warnings.
pub(super) async fn warnings(dialer: &Dialer) -> Option<Vec<Warning>> {
    let first = async { dialer.watch(MASK).await?.next().await };
    aside(first).await??.health
}

/// What a target's name stands for, or the fault of the node by which nothing can be dialled.
pub(super) fn resolution(target: &Target, node: &Node, status: Option<&Status>) -> Resolution {
    match (node.fault.clone(), status) {
        (None, Some(status)) => resolve(status, &target.host),
        // A node that is not at fault has told its status.
        (fault, _) => {
            Resolution::NotFound(fault.unwrap_or_else(|| Failure::new(Reason::NodeLocalapiInvalid, "no status")))
        }
    }
}

pub(super) async fn probe_all(
    targets: &[Arc<Target>],
    resolutions: &[Resolution],
    context: ProbeContext<'_>,
) -> Vec<ProbeResult> {
    join_all(targets.iter().zip(resolutions).map(async |(target, resolution)| {
        let first = probe::run(target, resolution, &mut None, context).await;
        // A path that is just changing is silent for some seconds, and would be taken for a policy that drops.
        match &first.outcome {
            Err(failure) if failure.reason.is_timeout() => probe::run(target, resolution, &mut None, context).await,
            _ => first,
        }
    }))
    .await
}

/// One probe, and its timeout refined by pings.
pub async fn probed(
    target: &Target,
    node: &Node,
    status: Option<&Status>,
    dialer: &Dialer,
    dns: &MagicDns,
) -> ProbeResult {
    let resolution = resolution(target, node, status);
    let context = ProbeContext { tun: status.is_some_and(|status| status.tun), dialer, dns };
    let mut result = probe::run(target, &resolution, &mut None, context).await;
    if let Err(failure) = &result.outcome
        && failure.reason.is_timeout()
        && let Ok(resolved) = resolution.dialable()
    {
        let evidence = ping_evidence::gather(&resolved.peer, dialer).await;
        result.outcome = Err(refine_timeout(failure.clone(), evidence));
    }
    result
}

/// The path to the target's machine, and what the layers below TCP say of it.
pub(super) async fn look_at(
    target: &Target,
    status: Option<&Status>,
    dialer: &Dialer,
) -> (PathProbe, Option<PingEvidence>) {
    let resolution = status.map(|status| resolve(status, &target.host));
    let Some(Ok(resolved)) = resolution.as_ref().map(Resolution::dialable) else { return Default::default() };
    let evidence = ping_evidence::gather(&resolved.peer, dialer);
    let (path, evidence) = tokio::join!(probe_path(resolved, PingPolicy::Always, dialer), evidence);
    (path, Some(evidence))
}

/// What the target's name stands for outside of the netmap.
pub(super) async fn names(
    target: &Target,
    resolution: &Resolution,
    status: Option<&Status>,
    place: &Place,
    dns: &MagicDns,
) -> Option<Names> {
    let Host::Name(host) = &target.host else { return None };
    let status = status?;
    let resolved = resolution.dialable().ok();
    let v6 = resolved.is_some_and(|resolved| resolved.peer.address.is_ipv6());
    let magic_dns = async {
        let name = resolved.filter(|_| status.tun)?.fqdn.as_ref()?;
        Some(dns.addresses(name, v6).await.map_err(|failure| failure.cause))
    };
    let pod = async {
        let resolver = place.resolver.as_ref()?;
        let silent =
            |_| LookupResult { name: host.clone(), addresses: Err("no answer from the pod's resolver".to_owned()) };
        Some(timeout(NAMES, resolver.look_up(host, v6)).await.unwrap_or_else(silent))
    };
    let (magic_dns, pod) = tokio::join!(magic_dns, pod);
    Some(Names { magic_dns, pod })
}
