//! The command line: one file per subcommand.

pub mod check;
pub mod config;
pub mod health;
pub mod run;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// The configuration is wrong (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;
/// The agent cannot start, for example because its port is taken (`EX_OSERR`).
pub const EXIT_START: u8 = 71;
/// Something went wrong inside (`EX_SOFTWARE`).
pub const EXIT_INTERNAL: u8 = 70;
/// The command line is wrong (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// telltail tells, from inside a pod, whether its services answer over the tailnet, how fast, and if not, whose fault
/// it is.
///
/// Everything can be set by environment variables; TELLTAIL_TARGETS alone is a whole configuration, for example
/// TELLTAIL_TARGETS="postgres://stackeye-db-prd:5432,valkey://stackeye-valkey-prd:6379".
#[derive(Debug, Parser)]
#[command(name = "telltail", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Probe the targets and serve /healthz and /metrics until a signal ends it
    ///
    /// SIGTERM and SIGINT drain and end it, a second one ends it at once; SIGHUP reads the configuration anew.
    #[command(after_help = config::VARIABLES)]
    Run(FileArgument),
    /// Probe one target now, stage by stage
    ///
    /// Exit status: 0 accepting, 1 rejecting, 2 no response, 3 no attempt was made.
    #[command(after_help = config::VARIABLES)]
    Check {
        /// A configured target's name, or a URL like postgres://stackeye-db-prd:5432
        target: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Where the configuration is
        #[command(flatten)]
        file: FileArgument,
    },
    /// Ask the running agent whether it is ready
    ///
    /// Exit status: 0 ready, 1 not ready or no answer.
    #[command(after_help = config::VARIABLES)]
    Health {
        /// Print every check, not only whether it is ready
        #[arg(long, short)]
        verbose: bool,
        /// Where the configuration is
        #[command(flatten)]
        file: FileArgument,
    },
    /// Check, show or describe the configuration
    Config(config::ConfigArgs),
}

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub struct FileArgument {
    /// YAML file to read beside the environment [else TELLTAIL_CONFIG]
    #[arg(long = "config", value_name = "FILE")]
    pub path: Option<PathBuf>,
}
