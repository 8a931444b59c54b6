//! Single requests to tailscaled, resolvers and services, and how long each may take.

use super::{DoctorEnv, NameAnswers};
use crate::config::{Host, Target};
use crate::diagnose::{PingEvidence, refine_timeout};
use crate::network_mode::NetworkMode;
use crate::node::Node;
use crate::peer::PathProbe;
use crate::probe::dns::MagicDns;
use crate::probe::path_probe::{PingPolicy, probe_path};
use crate::probe::resolve::{Resolution, resolve};
use crate::probe::resolver::LookupResult;
use crate::probe::{self, ProbeContext, ping_evidence};
use crate::probe_result::ProbeResult;
use crate::reason::{Failure, Reason};
use crate::tailscale::{Dialer, MASK, Status, Warning};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Longest time for a request that only adds advisories.
const OPTIONAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time for all names that the search list makes of one; a server that does not answer takes a second for each.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn optional<T>(request: impl Future<Output = Result<T, Failure>>) -> Option<T> {
    timeout(OPTIONAL_TIMEOUT, request).await.ok()?.ok()
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

pub(super) async fn probe_all(
    targets: &[Arc<Target>],
    resolutions: &[Resolution],
    context: ProbeContext<'_>,
) -> Vec<ProbeResult> {
    join_all(targets.iter().zip(resolutions).map(async |(target, resolution)| {
        let first = probe::run(target, resolution, &mut None, context).await;
        // A path that is changing drops packets for some seconds, which looks like a policy that drops them.
        match &first.outcome {
            Err(failure) if failure.reason.is_timeout() => probe::run(target, resolution, &mut None, context).await,
            _ => first,
        }
    }))
    .await
}

/// One probe; pings of the layers below TCP refine a timeout.
pub async fn probe_target(
    target: &Target,
    node: &Node,
    status: Option<&Status>,
    dialer: &Dialer,
    dns: &MagicDns,
) -> ProbeResult {
    let resolution = resolution(target, node, status);
    let context = ProbeContext { mode: status.map(|status| status.mode).unwrap_or_default(), dialer, dns };
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

/// The path to the target's peer, and pings of the layers below TCP.
pub(super) async fn probe_path_and_ping(
    target: &Target,
    status: Option<&Status>,
    dialer: &Dialer,
) -> (PathProbe, Option<PingEvidence>) {
    let resolution = status.map(|status| resolve(status, &target.host));
    let Some(Ok(resolved)) = resolution.as_ref().map(Resolution::dialable) else { return Default::default() };
    let pings = ping_evidence::gather(&resolved.peer, dialer);
    let (path, pings) = tokio::join!(probe_path(resolved, PingPolicy::Always, dialer), pings);
    (path, Some(pings))
}

/// What resolvers other than the netmap answer for the target's name.
pub(super) async fn look_up_name(
    target: &Target,
    resolution: &Resolution,
    status: Option<&Status>,
    env: &DoctorEnv,
    dns: &MagicDns,
) -> Option<NameAnswers> {
    let Host::Name(host) = &target.host else { return None };
    let status = status?;
    let resolved = resolution.dialable().ok();
    let v6 = resolved.is_some_and(|resolved| resolved.peer.address.is_ipv6());
    let magic_dns = async {
        let fqdn = resolved.filter(|_| status.mode == NetworkMode::Tun)?.fqdn.as_ref()?;
        Some(dns.addresses(fqdn, v6).await.map_err(|failure| failure.cause))
    };
    let pod = async {
        let resolver = env.resolver.as_ref()?;
        let no_answer =
            |_| LookupResult { name: host.clone(), addresses: Err("no answer from the pod's resolver".to_owned()) };
        Some(timeout(LOOKUP_TIMEOUT, resolver.look_up(host, v6)).await.unwrap_or_else(no_answer))
    };
    let (magic_dns, pod) = tokio::join!(magic_dns, pod);
    Some(NameAnswers { magic_dns, pod })
}
