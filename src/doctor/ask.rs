//! The single questions, and how long each may take.

use super::{Names, Place};
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

/// Longest time for what is only good to know.
const ASIDE: Duration = Duration::from_secs(2);
/// Longest time for all names that the search list makes of one; a server that is silent takes a second for each.
const NAMES: Duration = Duration::from_secs(3);

pub(super) async fn aside<T>(question: impl Future<Output = Result<T, Failure>>) -> Option<T> {
    timeout(ASIDE, question).await.ok()?.ok()
}

/// The news begin with all warnings there are.
pub(super) async fn warnings(dialer: &Dialer) -> Option<Vec<Warning>> {
    let first = async { dialer.watch(MASK).await?.next().await };
    aside(first).await??.health
}

pub(super) async fn probe_all(
    targets: &[std::sync::Arc<Target>],
    node: &Node,
    status: Option<&Status>,
    dialer: &Dialer,
    dns: &MagicDns,
) -> Vec<Probe> {
    join_all(targets.iter().map(async |target| {
        let first = probe(target, node, status, dialer, dns).await;
        // A path that is just changing is silent for some seconds, and would be taken for a policy that drops.
        match &first.outcome {
            Err(failure) if failure.reason.is_timeout() => probe(target, node, status, dialer, dns).await,
            _ => first,
        }
    }))
    .await
}

/// One probe; while the node is at fault nothing is dialled.
async fn probe(target: &Target, node: &Node, status: Option<&Status>, dialer: &Dialer, dns: &MagicDns) -> Probe {
    match (node.fault.clone(), status) {
        (None, Some(status)) => probe::run(target, &mut None, ProbeContext { status, dialer, dns }).await,
        (fault, _) => {
            // A node that is not at fault has told its status.
            let fault = fault.unwrap_or_else(|| Failure::new(Reason::NodeLocalapiInvalid, "no status"));
            Probe { outcome: Err(fault), timings: Timings::default(), elapsed: Duration::ZERO }
        }
    }
}

/// One probe, and its silence named by what the layers below answer.
pub async fn probed(target: &Target, node: &Node, status: Option<&Status>, dialer: &Dialer, dns: &MagicDns) -> Probe {
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

/// The path to the target's machine, and what the layers below TCP say of it.
pub(super) async fn look_at(
    target: &Target,
    status: Option<&Status>,
    dialer: &Dialer,
) -> (PathProbe, Option<PingEvidence>) {
    let Some(resolved) = status.and_then(|status| resolve(status, &target.host).ok()) else {
        return Default::default();
    };
    let below = evidence::gather(resolved.address, &resolved.peer.addresses, dialer);
    let (look, below) = tokio::join!(probe_path(&resolved, true, true, dialer), below);
    (look, Some(below))
}

/// What the target's name stands for outside of the netmap.
pub(super) async fn names(target: &Target, status: Option<&Status>, place: &Place, dns: &MagicDns) -> Option<Names> {
    let Host::Name(host) = &target.host else { return None };
    let status = status?;
    let resolved = resolve(status, &target.host).ok();
    let v6 = resolved.as_ref().is_some_and(|resolved| resolved.address.is_ipv6());
    let magic_dns = async {
        let name = resolved.as_ref().filter(|_| status.tun)?.name.as_ref()?;
        Some(dns.addresses(name, v6).await.map_err(|failure| failure.cause))
    };
    let pod = async {
        let resolver = place.resolver.as_ref()?;
        let silent = |_| Answer { name: host.clone(), addresses: Err("no answer from the pod's resolver".to_owned()) };
        Some(timeout(NAMES, resolver.look_up(host, v6)).await.unwrap_or_else(silent))
    };
    let (magic_dns, pod) = tokio::join!(magic_dns, pod);
    Some(Names { magic_dns, pod })
}
