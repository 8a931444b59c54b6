//! `telltail run`: the agent, until a signal ends it.

use super::config::VARIABLES;
use super::{CommandContext, EXIT_CONFIG, EXIT_INTERNAL, EXIT_START, Exit, FileArgument};
use crate::admin;
use crate::agent::{self, MAGIC_DNS, RuntimeEnv, Signal};
use crate::config::{Config, LogFormat, Source};
use crate::log_queue::LogQueue;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Probe the targets and serve /healthz and /metrics until a signal ends it
///
/// SIGTERM and SIGINT drain and end it, a second one ends it at once; SIGHUP reloads the configuration.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub struct RunArgs {
    #[command(flatten)]
    file: FileArgument,
}

/// hickory logs every stray packet with its content, so any sender of packets could flood the log.
const SILENCED: &str = "hickory_net=off,hickory_proto=off,hickory_resolver=off";

impl RunArgs {
    /// Runs the agent until a signal ends it.
    pub async fn run(self, context: &mut CommandContext) -> Result<u8, Exit> {
        let signals = Signals::register().map_err(|error| Exit::new(EXIT_START, format!("signals: {error}")))?;
        release_signals();
        let mut source = Source::new(context.environment(), self.file.path);
        let loaded = source.load().map_err(|problems| Exit::new(EXIT_CONFIG, problems))?;
        let config = loaded.config;
        let dropped_lines = Arc::default();
        let _flushed_at_the_end = start_log(&config, &dropped_lines)?;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        let listener = admin::bind(config.listen).map_err(|error| {
            error!(problem = %error, "Cannot start");
            Exit::new(EXIT_START, format!("cannot listen: {error}; name another address with TELLTAIL_LISTEN"))
        })?;
        let pod_name = context.variable(POD_NAME);
        let runtime = RuntimeEnv { pod_uid: pod_uid(context), pod_name, magic_dns: MAGIC_DNS, dropped_lines };
        let (sender, receiver) = mpsc::channel(8);
        tokio::select! {
            ended = agent::run(config, source, runtime, listener, receiver) => ended.map(|()| 0).map_err(|failure| {
                error!(problem = %failure, "Agent failed");
                Exit::new(EXIT_INTERNAL, failure.to_string())
            }),
            () = signals.forward(sender) => Ok(0),
        }
    }
}

/// Has the host name, which in a pod is the pod's name.
const POD_NAME: &str = "HOSTNAME";

/// The downward API's `POD_UID`, else the pod's name.
fn pod_uid(context: &CommandContext) -> String {
    let named = ["POD_UID", POD_NAME].into_iter().find_map(|name| context.variable(name));
    named.unwrap_or_else(|| std::process::id().to_string())
}

/// Starts the log, which goes to stdout until the queue is dropped.
fn start_log(config: &Config, dropped_lines: &Arc<AtomicU64>) -> Result<LogQueue, Exit> {
    let levels: Targets = format!("{SILENCED},{}", config.log)
        .parse()
        .map_err(|error| Exit::new(EXIT_CONFIG, format!("TELLTAIL_LOG: {error}")))?;
    let cannot_start = |error: &dyn Display| Exit::new(EXIT_START, format!("cannot start the log: {error}"));
    // A descriptor of our own, because that of the standard library has a buffer.
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let queue = stdout.and_then(|stdout| LogQueue::start(stdout, Arc::clone(dropped_lines)));
    let queue = queue.map_err(|error| cannot_start(&error))?;
    let writer = queue.writer();
    // The module's name would be a second `target` beside the probed one, and readers of JSON take the last.
    let lines = fmt::layer().with_ansi(false).with_target(false).with_writer(move || writer.clone());
    let lines = match config.log_format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    let started = tracing_subscriber::registry().with(lines.with_filter(levels)).try_init();
    started.map(|()| queue).map_err(|error| cannot_start(&error))
}

/// Holds back what `run` catches, until it does. Before, a signal would end the process, or be lost: on process 1, for
/// which the kernel discards what is not caught, and in the moment in which tokio begins to catch it.
pub fn hold_signals() {
    // It cannot fail with a set that is valid.
    let _ = caught().thread_block();
}

/// Ends [`hold_signals`]: what came meanwhile comes now.
pub fn release_signals() {
    let _ = caught().thread_unblock();
}

fn caught() -> SigSet {
    [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2].into_iter().collect()
}

struct Signals {
    hangup: SignalStream,
    interrupt: SignalStream,
    terminate: SignalStream,
    /// SIGUSR1 and SIGUSR2 mean nothing here, but would end a process that does not catch them.
    _ignored: [SignalStream; 2],
}

impl Signals {
    fn register() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _ignored: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// Ends when the receiver is gone.
    async fn forward(mut self, to: mpsc::Sender<Signal>) {
        loop {
            let signal = tokio::select! {
                _ = self.hangup.recv() => Signal::Reload,
                _ = self.interrupt.recv() => Signal::Shutdown,
                _ = self.terminate.recv() => Signal::Shutdown,
            };
            if to.send(signal).await.is_err() {
                return;
            }
        }
    }
}
