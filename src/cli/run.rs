//! `telltail run`: prepares what the agent is given.

use super::{EXIT_CONFIG, EXIT_INTERNAL, EXIT_START};
use crate::admin;
use crate::agent::{self, MAGIC_DNS, RuntimeEnv, Signal};
use crate::config::{Config, Environment, LogFormat, Source};
use std::io;
use std::path::PathBuf;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// hickory warns of each stray packet in the packet's own words, which whoever sends them could flood the log with.
const SILENCED: &str = "hickory_net=off,hickory_proto=off,hickory_resolver=off";

/// Why the agent is not running (any more): the exit code and a sentence.
pub type Exit = (u8, String);

/// Runs the agent until a signal ends it.
pub async fn run(environment: Environment, file: Option<PathBuf>, pod_uid: String) -> Result<(), Exit> {
    let mut source = Source::new(environment, file);
    let loaded = source.load().map_err(|problems| (EXIT_CONFIG, problems))?;
    let config = loaded.config;
    start_log(&config).map_err(|problem| (EXIT_CONFIG, problem))?;
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let signals = Signals::register().map_err(|error| (EXIT_START, format!("signals: {error}")))?;
    let listener = admin::bind(config.listen).map_err(|error| {
        error!(problem = %error, "Cannot start");
        (EXIT_START, format!("cannot listen: {error}; name another address with TELLTAIL_LISTEN"))
    })?;
    let place = RuntimeEnv { pod_uid, magic_dns: MAGIC_DNS };
    let (sender, receiver) = mpsc::channel(8);
    tokio::select! {
        ended = agent::run(config, source, place, listener, receiver) => ended.map_err(|broken| {
            error!(problem = %broken, "Broken");
            (EXIT_INTERNAL, broken.to_string())
        }),
        () = signals.forward(sender) => Ok(()),
    }
}

fn start_log(config: &Config) -> Result<(), String> {
    let levels = format!("{SILENCED},{}", config.log);
    let levels: Targets = levels.parse().map_err(|error| format!("TELLTAIL_LOG: {error}"))?;
    // Without the module's name, which would be called `target` as a line's own target is.
    let lines = fmt::layer().with_ansi(false).with_target(false);
    let lines = match config.log_format {
        // The module's name would be a second `target` beside the probed one, and readers of JSON take the last.
        LogFormat::Json => lines.with_target(false).json().flatten_event(true).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(levels)).try_init().map_err(|error| error.to_string())
}

struct Signals {
    hangup: Stream,
    interrupt: Stream,
    terminate: Stream,
    /// SIGUSR1 and SIGUSR2 mean nothing here, but would end a process that does not catch them.
    _ignored: [Stream; 2],
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

    /// Ends when nobody listens any more.
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
