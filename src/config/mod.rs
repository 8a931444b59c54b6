//! The configuration as the agent uses it: resolved, validated, every default filled in.
//!
//! [`load`] builds it from the environment and an optional file, and reports every problem at once. Nothing here reads
//! a file or the process's environment: callers hand text and a lookup in.

mod environment;
mod help;
mod host;
mod json_schema;
mod kind;
mod load;
mod problem;
mod raw;
mod reload;
mod settings;
mod settings_macro;
mod show;
mod source;
mod syntax;
mod target_url;
#[cfg(test)]
mod tests;
mod url_query;
mod validate;
mod warnings;
mod yaml;

pub use environment::Environment;
pub use help::help;
pub use host::{Host, first_label};
pub use json_schema::json_schema;
pub use kind::Kind;
pub use load::{Loaded, load};
pub use problem::{Problem, Problems, SourceLocation};
pub use reload::{carry_over, needs_restart};
pub use settings::{Config, MAX_TARGETS, TARGETS_VARIABLE, Target};
pub use show::{show, url};
pub use source::{ReloadError, Source};
pub use warnings::LONG_INTERVAL;
pub use yaml::MAX_FILE_BYTES;

use crate::network_mode::NetworkMode;
use crate::slug::slug_enum;
use std::net::SocketAddr;

/// The port of the HTTP server: T-A-I-L on a phone keypad.
pub const DEFAULT_PORT: u16 = 8245;

/// The name of the check of this pod's own node in `/healthz?verbose`, which no target may have.
pub const NODE_CHECK: &str = "node";

/// How a probe connects.
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
    /// The connection method in effect with tailscaled in this mode.
    pub const fn effective(self, mode: NetworkMode) -> Self {
        match self {
            Self::Auto => match mode {
                NetworkMode::Tun => Self::Tcp,
                NetworkMode::Userspace => Self::LocalApi,
            },
            Self::LocalApi | Self::Tcp | Self::Socks5(_) => self,
        }
    }

    /// Does a probe prove that the worker's own connections work?
    pub const fn tests_worker_path(self, mode: NetworkMode) -> bool {
        match self {
            Self::Socks5(_) => true,
            // No worker dials through the LocalAPI.
            Self::LocalApi => false,
            // In userspace mode the kernel has no route into the tailnet, so no worker connects without a proxy.
            Self::Auto | Self::Tcp => matches!(mode, NetworkMode::Tun),
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

slug_enum! {
    /// How far a probe goes.
    pub enum Depth {
        /// The connection is made and closed.
        Tcp = "tcp",
        /// The server answers in its protocol.
        Protocol = "protocol",
    }
}

slug_enum! {
    /// The expected paths.
    pub enum Expect {
        /// Any path.
        Any = "any",
        /// Direct or over a peer relay.
        NoDerp = "no-derp",
        /// Direct only.
        Direct = "direct",
    }
}

slug_enum! {
    /// How readiness is decided.
    pub enum Mode {
        /// Node fine and every required target up.
        Strict = "strict",
        /// Ready once every required target was reached; from then on only faults of scope pod count.
        Local = "local",
        /// Never blocks.
        Observe = "observe",
    }
}

slug_enum! {
    /// What the startup gate waits for.
    pub enum Gate {
        /// tailscaled is Running with an address and knows every required target.
        Tailnet = "tailnet",
        /// Every required target is up.
        Targets = "targets",
        /// Nothing.
        None = "none",
    }
}

slug_enum! {
    /// Who gets the pages that name addresses and causes.
    pub enum PageAccess {
        /// Everyone who can connect.
        All = "all",
        /// Connections from this pod.
        Loopback = "loopback",
    }
}

slug_enum! {
    /// How a log line is written.
    pub enum LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

/// Where the HTTP server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Port [`DEFAULT_PORT`] of `[::]`, or of `0.0.0.0` where the pod has no IPv6.
    Default,
    /// The configured address.
    At(SocketAddr),
}
