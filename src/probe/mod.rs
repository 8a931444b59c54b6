//! One probe: resolve, connect, protocol.

pub mod connect;
pub mod dns;
pub mod evidence;
pub mod path_probe;
pub mod postgres;
pub mod resolve;
pub mod resolver;
pub mod socks5;
pub mod valkey;
mod wire;

pub use crate::diagnose::Timings;

use crate::config::{Depth, Kind, Target};
use crate::reason::{Failure, Reason};
use crate::slug::slug_enum;
use crate::tailscale::{Dialer, Status};
use connect::Stream;
use dns::MagicDns;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What a probe needs of its round.
#[derive(Clone, Copy)]
pub struct ProbeContext<'a> {
    /// tailscaled's answer in this round.
    pub status: &'a Status,
    /// For dialling.
    pub dialer: &'a Dialer,
    /// For TUN mode.
    pub dns: &'a MagicDns,
}

slug_enum! {
    /// What a service that lives has shown of itself, and no more than that.
    pub enum Detail {
        /// Something accepts connections; nothing was spoken.
        Connected = "connected",
        /// Something that speaks the protocol answers; whether it would take a worker was not asked.
        Answering = "answering",
        /// It takes work: Valkey said PONG, or Postgres let the user in without a password. A pooler that has seen its backend
        /// once says so from memory.
        Accepting = "accepting",
        /// It would go on after a password, which telltail has not got.
        AuthRequired = "auth_required",
        /// Postgres does not let this user in, whatever the password.
        AuthRejected = "auth_rejected",
        /// Postgres has no such database.
        NoDatabase = "no_database",
    }
}

/// What came of a probe.
#[derive(Debug)]
pub struct Probe {
    /// What was proven, or why it failed.
    pub outcome: Result<Detail, Failure>,
    /// Duration of each stage that succeeded.
    pub timings: Timings,
    /// Duration of the whole.
    pub elapsed: Duration,
}

/// A connection to Valkey that is kept from probe to probe, so that a healthy probe costs no handshake.
pub struct PooledConnection {
    stream: Box<dyn Stream>,
    address: SocketAddr,
    since: Instant,
}

/// Longest life of a held connection: each pod dials at least once a minute, or it would not notice that new connections
/// are refused.
pub(crate) const HELD_FOR: Duration = Duration::from_secs(60);

/// Where a probe stands when its time is over.
#[derive(Default)]
struct Progress {
    timings: Timings,
    stage: Stage,
}

#[derive(Clone, Copy, Default)]
enum Stage {
    #[default]
    Resolve,
    Connect,
    Protocol,
}

/// Runs one probe within the target's timeout.
pub async fn run(target: &Target, held: &mut Option<PooledConnection>, context: ProbeContext<'_>) -> Probe {
    let started = Instant::now();
    let mut progress = Progress::default();
    let outcome = match timeout(target.timeout, stages(target, held, context, &mut progress)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(timed_out(target, progress.stage)),
    };
    if outcome.is_err() {
        *held = None;
    }
    Probe { outcome, timings: progress.timings, elapsed: started.elapsed() }
}

async fn stages(
    target: &Target,
    held: &mut Option<PooledConnection>,
    context: ProbeContext<'_>,
    progress: &mut Progress,
) -> Result<Detail, Failure> {
    let started = Instant::now();
    let address = SocketAddr::new(resolve_stage(target, context).await?, target.port);
    progress.timings.resolve = Some(started.elapsed());

    // A held connection that has died or gone silent since says nothing about the service: it is replaced, and the new
    // one decides. It has half of the time, or a path that fails would look like a service that does not answer.
    if let Some(still) = held.take_if(|held| held.address == address && held.since.elapsed() < HELD_FOR)
        && let Ok(Some(detail)) = timeout(target.timeout / 2, ask_held(still, held, progress)).await
    {
        return Ok(detail);
    }

    progress.stage = Stage::Connect;
    let started = Instant::now();
    let mut stream = connect::connect(target.via, context.status.tun, context.dialer, address, target.timeout).await?;
    progress.timings.connect = Some(started.elapsed());
    if target.depth == Depth::Tcp {
        return Ok(Detail::Connected);
    }

    progress.stage = Stage::Protocol;
    let started = Instant::now();
    let detail = match target.kind {
        Kind::Postgres => {
            let (user, database) = (target.user.as_deref(), target.database.as_deref());
            postgres::speak(&mut stream, user, database).await?
        }
        Kind::Valkey => {
            let detail = valkey::ping(&mut stream).await?;
            // The new connection is asked before the old one goes.
            *held = Some(PooledConnection { stream, address, since: started });
            detail
        }
        Kind::Tcp => Detail::Connected,
    };
    progress.timings.protocol = Some(started.elapsed());
    Ok(detail)
}

/// What a held connection's server answers; none if the connection is of no use any more.
async fn ask_held(
    mut still: PooledConnection,
    held: &mut Option<PooledConnection>,
    progress: &mut Progress,
) -> Option<Detail> {
    progress.stage = Stage::Protocol;
    let started = Instant::now();
    let detail = valkey::ping(&mut still.stream).await.ok()?;
    progress.timings.protocol = Some(started.elapsed());
    *held = Some(still);
    Some(detail)
}

async fn resolve_stage(target: &Target, context: ProbeContext<'_>) -> Result<std::net::IpAddr, Failure> {
    let resolved = resolve::resolve(context.status, &target.host)?;
    if let Some(name) = resolved.name.filter(|_| context.status.tun) {
        let answers = context.dns.addresses(&name, resolved.address.is_ipv6()).await?;
        if answers.is_empty() || answers.iter().any(|answer| !resolved.addresses.contains(answer)) {
            let cause = format_args!("MagicDNS gives {answers:?} for {name}, the netmap {:?}", resolved.addresses);
            return Err(Failure::new(Reason::ResolveDnsMismatch, cause));
        }
    }
    Ok(resolved.address)
}

fn timed_out(target: &Target, stage: Stage) -> Failure {
    let (reason, what) = match stage {
        Stage::Resolve => (Reason::ResolveDnsFailed, "no answer from MagicDNS"),
        Stage::Connect => (Reason::ConnectTimeout, "no connection"),
        Stage::Protocol => (Reason::ProtocolTimeout, "connected, but no answer"),
    };
    Failure::new(reason, format_args!("{what} within {}", humantime::format_duration(target.timeout)))
}
