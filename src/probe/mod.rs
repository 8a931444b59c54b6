//! One probe: resolve, connect, protocol.

pub mod connect;
pub mod dns;
mod dns_socket;
pub mod path_probe;
pub mod peer_filter;
pub mod ping_evidence;
pub mod postgres;
mod reply_buffer;
pub mod resolve;
pub mod resolver;
#[cfg(test)]
mod scripted_peer;
pub mod socks5;
mod target_name;
mod tls_hello;
pub mod valkey;
pub mod witness;

use crate::network_mode::NetworkMode;

use crate::config::{Depth, Kind, Target};
use crate::probe_result::{Detail, ProbeResult, Timings};
use crate::reason::{Failure, Reason, Stage};
use crate::tailscale::Dialer;
use connect::Stream;
use dns::MagicDns;
use postgres::inquiry::Inquiry;
use resolve::{Resolution, Resolved};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tls_hello::HelloAnswer;
use tokio::time::{Instant, timeout, timeout_at};

/// What a probe needs beside its target.
#[derive(Clone, Copy)]
pub struct ProbeContext<'a> {
    /// tailscaled's networking mode.
    pub mode: NetworkMode,
    /// For dialling.
    pub dialer: &'a Dialer,
    /// For TUN mode.
    pub dns: &'a MagicDns,
    /// Does a failure take the target down, or keep it down?
    pub decides: bool,
    /// Is there a file descriptor for a connection that is kept until the next probe?
    pub keeps_connections: bool,
}

/// A connection to Valkey that is kept from probe to probe, so that a healthy probe costs no handshake.
struct PooledConnection {
    stream: Box<dyn Stream>,
    address: SocketAddr,
    since: Instant,
}

/// Longest life of a pooled connection: each pod dials at least once a minute, or it would not notice that new
/// connections are refused.
pub(crate) const POOLED_FOR: Duration = Duration::from_secs(60);

/// What a probe leaves to the next one of the same target.
#[derive(Default)]
pub struct ProbeMemory {
    pooled: Option<PooledConnection>,
    hello: Option<HelloAnswer>,
    inquiry: Inquiry,
}

/// How far a probe got before its time was over.
struct Progress {
    deadline: Instant,
    timings: Timings,
    stage: Stage,
}

/// Runs one probe of a target that was resolved, within the target's timeout.
pub async fn run(
    target: &Target,
    resolution: &Resolution,
    memory: &mut ProbeMemory,
    context: ProbeContext<'_>,
) -> ProbeResult {
    let started = Instant::now();
    let deadline = started + target.timeout;
    let mut progress = Progress { deadline, timings: Timings::default(), stage: Stage::Resolve };
    let outcome = timeout_at(deadline, stages(target, resolution, memory, context, &mut progress)).await;
    let outcome = match outcome.unwrap_or_else(|_| Err(timed_out(target, progress.stage))) {
        Ok(detail) => Ok(detail),
        Err(failure) => memory.inquiry.ask_other(failure, target, resolution, context, deadline).await,
    };
    let outcome = match outcome {
        Ok(detail) => {
            memory.hello = None;
            Ok(detail)
        }
        Err(failure) => {
            memory.pooled = None;
            Err(tls_hello::explain_close(failure, &mut memory.hello, target, resolution, context, deadline).await)
        }
    };
    ProbeResult { at: SystemTime::now(), outcome, timings: progress.timings, elapsed: started.elapsed() }
}

async fn stages(
    target: &Target,
    resolution: &Resolution,
    memory: &mut ProbeMemory,
    context: ProbeContext<'_>,
    progress: &mut Progress,
) -> Result<Detail, Failure> {
    let started = Instant::now();
    let resolved = resolution.dialable().map_err(Failure::clone)?;
    check_magic_dns(resolved, context).await?;
    let address = SocketAddr::new(resolved.peer.address, target.port);
    progress.timings.resolve = Some(started.elapsed());
    let pooled = &mut memory.pooled;

    // A dead or silent pooled connection proves nothing about the service: it is replaced, and the new
    // one decides. It has half of the time, or a path that fails would look like a service that does not answer.
    if let Some(connection) = pooled.take_if(|pooled| pooled.address == address && pooled.since.elapsed() < POOLED_FOR)
        && let Ok(Some(detail)) = timeout(target.timeout / 2, reuse(connection, pooled, progress)).await
    {
        return Ok(detail);
    }

    progress.stage = Stage::Connect;
    let started = Instant::now();
    let mut stream = connect::connect(target, resolved, context.mode, context.dialer).await?;
    progress.timings.connect = Some(started.elapsed());
    if target.depth == Depth::Tcp {
        return Ok(Detail::Connected);
    }
    if memory.inquiry.is_over() {
        return Ok(Detail::TlsOnly);
    }

    progress.stage = Stage::Protocol;
    let started = Instant::now();
    let detail = match target.kind {
        Kind::Postgres => match target.user.as_deref() {
            Some(user) => postgres::log_in(&mut stream, user, target.database.as_deref().unwrap_or(user)).await?,
            None => {
                let asked = memory.inquiry.ask_first(&mut stream, target, context.decides, progress.deadline);
                let (detail, answered) = asked.await?;
                progress.timings.protocol = Some(answered.saturating_duration_since(started));
                detail
            }
        },
        Kind::Valkey => valkey::ping(&mut stream).await?,
        Kind::Tcp => Detail::Connected,
    };
    progress.timings.protocol.get_or_insert_with(|| started.elapsed());
    if target.kind.pools_connection() && context.keeps_connections {
        // The new connection is proven before the old one is closed.
        *pooled = Some(PooledConnection { stream, address, since: started });
    }
    Ok(detail)
}

/// Probes over a pooled connection; none if it is of no use any more.
async fn reuse(
    mut connection: PooledConnection,
    pooled: &mut Option<PooledConnection>,
    progress: &mut Progress,
) -> Option<Detail> {
    progress.stage = Stage::Protocol;
    let started = Instant::now();
    let detail = valkey::ping(&mut connection.stream).await.ok()?;
    progress.timings.protocol = Some(started.elapsed());
    *pooled = Some(connection);
    Some(detail)
}

/// In TUN mode MagicDNS, which the worker asks, must agree with the netmap.
async fn check_magic_dns(resolved: &Resolved, context: ProbeContext<'_>) -> Result<(), Failure> {
    let Some(fqdn) = resolved.fqdn.as_ref().filter(|_| context.mode == NetworkMode::Tun) else { return Ok(()) };
    let known = &resolved.peer.addresses;
    let answers = context.dns.addresses(fqdn, resolved.peer.address.is_ipv6(), resolved.own_ipv4()).await?;
    if answers.is_empty() || answers.iter().any(|answer| !known.contains(answer)) {
        let cause = format_args!("MagicDNS gives {answers:?} for {fqdn}, the netmap {known:?}");
        return Err(Failure::new(Reason::ResolveDnsMismatch, cause));
    }
    Ok(())
}

fn timed_out(target: &Target, stage: Stage) -> Failure {
    let (reason, what) = match stage {
        Stage::Node | Stage::Resolve => (Reason::ResolveDnsFailed, "no answer from MagicDNS"),
        Stage::Connect => (Reason::ConnectTimeout, "no connection"),
        Stage::Protocol => (Reason::ProtocolTimeout, "connected, but no answer"),
    };
    Failure::new(reason, format_args!("{what} within {}", humantime::format_duration(target.timeout)))
}
