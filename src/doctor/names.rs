//! What resolvers answer for a target's name.

use super::DoctorEnv;
use crate::config::{Host, Target};
use crate::network_mode::NetworkMode;
use crate::probe::resolve::Resolution;
use crate::probe::resolver::LookupResult;
use crate::tailscale::Status;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;

/// What each resolver answers for a target's name.
#[derive(Clone, Debug, PartialEq)]
pub struct NameAnswers {
    /// MagicDNS; none in userspace mode, where nothing in the pod can reach it.
    pub magic_dns: Option<Result<Vec<IpAddr>, String>>,
    /// The pod's own resolver; none where it is not to be asked.
    pub pod: Option<LookupResult>,
}

/// Longest time for all names that the search list makes of one name; a server that does not answer takes a second for each.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Queries the resolvers; none where the target is an address, or tailscaled does not answer.
pub(super) async fn look_up_name(
    target: &Target,
    resolution: &Resolution,
    status: Option<&Status>,
    env: &DoctorEnv,
) -> Option<NameAnswers> {
    let Host::Name(host) = &target.host else { return None };
    let status = status?;
    let resolved = resolution.dialable().ok();
    let v6 = resolved.is_some_and(|resolved| resolved.peer.address.is_ipv6());
    let magic_dns = async {
        let resolved = resolved.filter(|_| status.mode == NetworkMode::Tun)?;
        let answer = env.magic_dns.addresses(resolved.fqdn.as_ref()?, v6, resolved.own_ipv4()).await;
        Some(answer.map_err(|failure| failure.cause))
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
