//! The agent: builds the parts, owns every task, drains.

use crate::admin::{self, App, ConnectionEvent, Limits, Route};
use crate::bus_watch;
use crate::config::{Config, Source};
use crate::descriptor_budget::DescriptorBudget;
use crate::metrics::{Build, Metrics, descriptor_limit, open_descriptors};
use crate::probe::dns::MagicDns;
use crate::prober::{LocalApiBackend, Prober};
use crate::state::State;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// Signals to a running agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Read the configuration again (SIGHUP).
    Reload,
    /// Drain and end (SIGTERM, SIGINT); the second time: end at once.
    Shutdown,
}

/// The environment that the agent runs in.
#[derive(Clone, Debug)]
pub struct RuntimeEnv {
    /// Spreads the rounds of many pods; the pod's uid or name.
    pub pod_uid: String,
    /// The pod's name, under which its pages may be read.
    pub pod_name: Option<String>,
    /// Where MagicDNS answers in TUN mode.
    pub magic_dns: MagicDns,
    /// Lines that the log has dropped: see [`LogQueue`](crate::log_queue::LogQueue).
    pub dropped_lines: Arc<AtomicU64>,
}

pub use crate::probe::dns::MAGIC_DNS;

/// A part of the agent ended unexpectedly, or could not be built.
#[derive(Debug)]
pub struct AgentError(String);

impl std::fmt::Display for AgentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AgentError {}

/// Runs until a signal ends it. `listener` is bound already, so that a taken port fails before anything starts.
pub async fn run(
    config: Config,
    source: Source,
    env: RuntimeEnv,
    listener: TcpListener,
    mut signals: mpsc::Receiver<Signal>,
) -> Result<(), AgentError> {
    let config = Arc::new(config);
    let drain = config.drain;
    let metrics = Metrics::new(Registry::new(), Build::THIS, env.dropped_lines)
        .map_err(|error| AgentError(format!("the metrics could not be made: {error}")))?;
    let metrics = Arc::new(metrics);
    let state = Arc::new(State::new(Arc::clone(&config), Instant::now(), SystemTime::now()));
    let address = listener.local_addr().map_err(|error| AgentError(format!("the listener has no address: {error}")))?;
    let names: Vec<_> = config.targets.iter().map(|target| target.name.as_str()).collect();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        %address,
        targets = ?names,
        readiness = config.readiness.slug(),
        hash = config.hash,
        "Started"
    );

    let budget = descriptor_budget(config.targets.len());
    let reload = Arc::new(Notify::new());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut tasks = JoinSet::new();
    let router = admin::router(pages(&state, &metrics, env.pod_name));
    let connection_metrics = Arc::clone(&metrics);
    let observe = Arc::new(move |event| match event {
        ConnectionEvent::Refused(code) => connection_metrics.http(Route::Other.slug(), code.as_u16()),
        ConnectionEvent::OutOfResources => connection_metrics.out_of_resources(),
        ConnectionEvent::Evicted => tracing::debug!("Evicted a connection"),
    });
    let limits = Limits { connections: budget.connections, ..Limits::DEFAULT };
    tasks.spawn(part("the HTTP server", admin::serve(listener, router, limits, observe)));
    let localapi_metrics = Arc::clone(&metrics);
    let observe = Arc::new(move |call, answer| localapi_metrics.localapi(call, answer));
    let backend = LocalApiBackend::new(config.socket.clone(), env.magic_dns, budget.keeps_connections, observe);
    let wake = Arc::new(Notify::new());
    let bus_watch = bus_watch::run(backend.dialer(), Arc::clone(&state), Arc::clone(&wake), env.pod_uid.clone());
    tasks.spawn(part("the IPN bus watch", bus_watch));
    let prober = Prober::new(Arc::clone(&state), metrics, config, source, backend, &env.pod_uid)
        .with_turn_sockets(budget.turn_sockets);
    let prober = tasks.spawn(part("the prober", prober.run(Arc::clone(&reload), wake, stopped)));

    loop {
        tokio::select! {
            ended = tasks.join_next() => return Err(unexpected_exit(ended)),
            signal = signals.recv() => match signal {
                Some(Signal::Reload) => reload.notify_one(),
                Some(Signal::Shutdown) | None => break,
            },
        }
    }

    state.drain();
    stop.send_replace(true);
    drain_until_done(drain, &mut tasks, prober.id(), &mut signals).await?;
    info!("Stopped");
    Ok(())
}

/// The file descriptors of this process, shared out. Where `/proc` cannot be read there is no limit to keep to.
fn descriptor_budget(targets: usize) -> DescriptorBudget {
    let limit = descriptor_limit().unwrap_or(usize::MAX);
    let budget = DescriptorBudget::new(limit, open_descriptors().unwrap_or_default(), Limits::DEFAULT.connections);
    if !budget.is_ample(targets) {
        warn!(
            limit,
            connections = budget.connections,
            "The limit of open files is low: probes may wait for each other"
        );
    }
    budget
}

/// A part of the agent, which gives its name when it ends. Boxed, for each type of future that is spawned adds some 4 kB to the
/// binary.
fn part<T: 'static>(
    name: &'static str,
    run: impl Future<Output = T> + Send + 'static,
) -> BoxFuture<'static, &'static str> {
    run.map(move |_| name).boxed()
}

/// While draining only the prober may end.
async fn drain_until_done(
    drain: Duration,
    tasks: &mut JoinSet<&'static str>,
    prober: tokio::task::Id,
    signals: &mut mpsc::Receiver<Signal>,
) -> Result<(), AgentError> {
    info!(drain = %humantime::format_duration(drain), "Draining");
    let drained = sleep(drain);
    tokio::pin!(drained);
    loop {
        tokio::select! {
            () = &mut drained => return Ok(()),
            ended = tasks.join_next_with_id() => match ended {
                Some(Ok((id, _))) if id == prober => {}
                other => return Err(unexpected_exit(other.map(|ended| ended.map(|(_, name)| name)))),
            },
            signal = signals.recv() => match signal {
                Some(Signal::Shutdown) | None => return Ok(()),
                Some(Signal::Reload) => {}
            },
        }
    }
}

fn pages(state: &Arc<State>, metrics: &Arc<Metrics>, pod_name: Option<String>) -> App {
    let (page, counter) = (Arc::clone(metrics), Arc::clone(metrics));
    App {
        state: Arc::clone(state),
        pod_name,
        metrics: Arc::new(move |snapshot| page.render(snapshot)),
        observe: Arc::new(move |route, code| counter.http(route.slug(), code.as_u16())),
    }
}

fn unexpected_exit(ended: Option<Result<&'static str, tokio::task::JoinError>>) -> AgentError {
    match ended {
        Some(Ok(name)) => AgentError(format!("{name} ended unexpectedly")),
        Some(Err(error)) => AgentError(format!("a task failed: {error}")),
        None => AgentError("all tasks ended".to_owned()),
    }
}
