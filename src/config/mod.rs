//! The configuration as the agent uses it: resolved, validated, every default filled in.
//!
//! [`load`] builds it from the environment and an optional file, and reports every problem at once. Nothing here reads
//! a file or the process's environment: callers hand text and a lookup in.

mod advice;
pub mod defaults;
mod environment;
mod host;
mod json_schema;
mod keys;
mod load;
mod percent;
pub mod pods;
mod problem;
mod query;
mod schema;
mod show;
mod source;
mod target;
#[cfg(test)]
mod tests;
mod validate;
mod value;
mod yaml;

pub use environment::Environment;
pub use json_schema::json_schema;
pub use keys::{MAX_TARGETS, Parameter, Setting, TARGETS_VARIABLE};
pub use load::{Loaded, load, needs_restart};
pub use problem::{Place, Problem, Problems};
pub use show::{show, url};
pub use source::Source;
pub use yaml::MAX_FILE_BYTES;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything `telltail run` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What to probe; never empty, names are unique.
    pub targets: Vec<Target>,
    /// tailscaled's socket; none means the two usual places, tried at every connect.
    pub socket: Option<PathBuf>,
    /// Where the HTTP face listens.
    pub listen: Listen,
    /// Consecutive successes that bring a target that was down up again; at least 1.
    pub rise: u32,
    /// Consecutive failures that take a target down; at least 1.
    pub fall: u32,
    /// Which readiness mode `/healthz` answers by.
    pub readiness: Mode,
    /// What `/startupz` waits for.
    pub startup_gate: Gate,
    /// When `/startupz` opens in any case.
    pub startup_release: Duration,
    /// How long the HTTP face goes on after SIGTERM.
    pub drain: Duration,
    /// Log levels, as `tracing_subscriber::filter::Targets` reads them.
    pub log: String,
    /// How a log line is written.
    pub log_format: LogFormat,
    /// Hash of what the configuration was made from, hexadecimal: `telltail_config_info`.
    pub hash: String,
}

/// One service to probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `[a-z0-9_-]{1,63}`, unique: label, path segment, log field.
    pub name: String,
    /// What is spoken.
    pub kind: Kind,
    /// Whose address is asked for.
    pub host: Host,
    /// TCP port.
    pub port: u16,
    /// Postgres only: the user a StartupMessage names, where one was asked for.
    pub user: Option<String>,
    /// Postgres only: the database a StartupMessage names.
    pub database: Option<String>,
    /// Does readiness depend on it?
    pub required: bool,
    /// Time from probe to probe.
    pub interval: Duration,
    /// Longest time for a whole probe; below half the interval.
    pub timeout: Duration,
    /// Way of the connect stage.
    pub via: Via,
    /// How far a probe goes.
    pub depth: Depth,
    /// Which paths are as they should be.
    pub expect: Expect,
}

/// What a target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// PostgreSQL, or a pooler that speaks for it.
    Postgres,
    /// Valkey or Redis.
    Valkey,
    /// Anything: only the connection is made.
    Tcp,
}

impl Kind {
    /// The label value.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Valkey => "valkey",
            Self::Tcp => "tcp",
        }
    }
}

/// The host part of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A MagicDNS name: bare or fully qualified, lower case, without trailing dot.
    Name(String),
    /// A tailnet address; probed only while a peer owns it.
    Ip(IpAddr),
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// Way of the connect stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// tailscaled's LocalAPI in userspace mode, plain TCP in TUN mode.
    Auto,
    /// tailscaled's LocalAPI.
    LocalApi,
    /// The kernel.
    Tcp,
    /// The SOCKS5 proxy at this address, as a worker in userspace mode uses it.
    Socks5(SocketAddr),
}

impl Via {
    /// The way that is really taken, with tailscaled in TUN mode or not.
    pub const fn in_mode(self, tun: bool) -> Self {
        match self {
            Self::Auto if tun => Self::Tcp,
            Self::Auto => Self::LocalApi,
            Self::LocalApi | Self::Tcp | Self::Socks5(_) => self,
        }
    }

    /// Whether a probe takes the path that the worker's own connections take: the kernel's, or its SOCKS5 proxy's. No
    /// worker goes through LocalAPI.
    pub const fn tests_worker_path(self, tun: bool) -> bool {
        match self {
            Self::Socks5(_) | Self::Tcp => true,
            Self::Auto | Self::LocalApi => tun,
        }
    }
}

impl std::fmt::Display for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::LocalApi => f.write_str("localapi"),
            Self::Tcp => f.write_str("tcp"),
            Self::Socks5(address) => write!(f, "socks5://{address}"),
        }
    }
}

/// How far a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The connection is made and closed.
    Tcp,
    /// The service is spoken to.
    Protocol,
}

impl Depth {
    /// The word in configuration and output.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Protocol => "protocol",
        }
    }
}

/// Which paths are as they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Any path.
    Any,
    /// Direct or over a peer relay.
    NoDerp,
    /// Direct only.
    Direct,
}

impl Expect {
    /// The word in configuration and labels.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::NoDerp => "no-derp",
            Self::Direct => "direct",
        }
    }
}

/// How readiness is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Node fine and every required target up.
    Strict,
    /// Ready once every required target was reached; from then on only faults of scope pod count.
    Local,
    /// Never blocks.
    Observe,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Strict, Self::Local, Self::Observe];

    /// The word in configuration and labels.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Local => "local",
            Self::Observe => "observe",
        }
    }
}

/// What the startup gate waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// tailscaled is Running with an address and knows every required target.
    Tailnet,
    /// Every required target is up.
    Targets,
    /// Nothing.
    None,
}

impl Gate {
    /// The word in configuration and output.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Tailnet => "tailnet",
            Self::Targets => "targets",
            Self::None => "none",
        }
    }
}

/// Where the HTTP face listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `[::]:8245`, or `0.0.0.0:8245` where the pod has no IPv6.
    Default,
    /// The address that was asked for.
    At(SocketAddr),
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
