//! Single requests to tailscaled, resolvers and services, and how long each may take.

use super::{DoctorEnv, NameAnswers};
use crate::config::{Host, Target};
use crate::diagnose::{PingEvidence, Timings, refine_timeout};
use crate::node::Node;
use crate::probe::dns::MagicDns;
use crate::probe::path_probe::{PathProbe, probe_path};
use crate::probe::resolve::resolve;
use crate::probe::resolver::Answer;
use crate::probe::{self, Probe, ProbeContext, evidence};
use crate::reason::{Failure, Reason};
use crate::tailscale::{Dialer, MASK, Status, Warning};
use futures_util::future::join_all;
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

pub(super) async fn probe_all(
    targets: &[Target],
    node: &Node,
    status: Option<&Status>,
    dialer: &Dialer,
    dns: &MagicDns,
) -> Vec<Probe> {
    join_all(targets.iter().map(async |target| {
        let first = probe(target, node, status, dialer, dns).await;
        // A path that is changing drops packets for some seconds, which looks like a policy that drops them.
        match &first.outcome {
            Err(failure) if failure.reason.is_timeout() => probe(target, node, status, dialer, dns).await,
            _ => first,
        }
    }))
    .await
}

/// One probe. While the node is at fault nothing is dialled.
async fn probe(target: &Target, node: &Node, status: Option<&Status>, dialer: &Dialer, dns: &MagicDns) -> Probe {
    match (node.fault.clone(), status) {
        (None, Some(status)) => probe::run(target, &mut None, ProbeContext { status, dialer, dns }).await,
        (fault, _) => {
            // A node without a fault has a status.
            let fault = fault.unwrap_or_else(|| Failure::new(Reason::NodeLocalapiInvalid, "no status"));
            Probe { outcome: Err(fault), timings: Timings::default(), elapsed: Duration::ZERO }
        }
    }
}

/// One probe; pings of the layers below TCP refine a timeout.
pub async fn probe_target(
    target: &Target,
    node: &Node,
    status: Option<&Status>,
    dialer: &Dialer,
    dns: &MagicDns,
) -> Probe {
    let mut probe = probe(target, node, status, dialer, dns).await;
    if let Err(failure) = &probe.outcome
        && failure.reason.is_timeout()
        && let Some(Ok(resolved)) = status.map(|status| resolve(status, &target.host))
    {
        let below = evidence::gather(resolved.address, &resolved.peer.addresses, dialer).await;
        probe.outcome = Err(refine_timeout(failure.clone(), below));
    }
    probe
}

/// The path to the target's peer, and pings of the layers below TCP.
pub(super) async fn probe_path_and_ping(
    target: &Target,
    status: Option<&Status>,
    dialer: &Dialer,
) -> (PathProbe, Option<PingEvidence>) {
    let Some(resolved) = status.and_then(|status| resolve(status, &target.host).ok()) else {
        return Default::default();
    };
    let below = evidence::gather(resolved.address, &resolved.peer.addresses, dialer);
    let (path, below) = tokio::join!(probe_path(&resolved, true, true, dialer), below);
    (path, Some(below))
}

/// What resolvers other than the netmap answer for the target's name.
pub(super) async fn look_up_name(
    target: &Target,
    status: Option<&Status>,
    env: &DoctorEnv,
    dns: &MagicDns,
) -> Option<NameAnswers> {
    let Host::Name(host) = &target.host else { return None };
    let status = status?;
    let resolved = resolve(status, &target.host).ok();
    let v6 = resolved.as_ref().is_some_and(|resolved| resolved.address.is_ipv6());
    let magic_dns = async {
        let name = resolved.as_ref().filter(|_| status.tun)?.name.as_ref()?;
        Some(dns.addresses(name, v6).await.map_err(|failure| failure.cause))
    };
    let pod = async {
        let resolver = env.resolver.as_ref()?;
        let no_answer =
            |_| Answer { name: host.clone(), addresses: Err("no answer from the pod's resolver".to_owned()) };
        Some(timeout(LOOKUP_TIMEOUT, resolver.look_up(host, v6)).await.unwrap_or_else(no_answer))
    };
    let (magic_dns, pod) = tokio::join!(magic_dns, pod);
    Some(NameAnswers { magic_dns, pod })
}
