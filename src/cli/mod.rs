//! The command line: one file per subcommand.

mod ask;
pub mod check;
pub mod config;
pub mod doctor;
pub mod health;
pub mod run;
pub mod status;
pub mod wait;

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
    /// Find out whose fault it is: climb the ladder from tailscaled to each service's answer, now
    ///
    /// Needs no running agent. Exit status: 0 all targets are up, 1 a required one is down, 2 only optional ones are, 3 the
    /// doctor could not run.
    #[command(after_help = config::VARIABLES)]
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Write everything that belongs to a ticket to FILE, or to stdout if it is `-`, without what others need not see
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        bundle: Option<PathBuf>,
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
    /// Show what the running agent knows: verdict, targets, node and the last changes
    ///
    /// Exit status: 0 ready, 1 not ready or no answer.
    #[command(after_help = config::VARIABLES)]
    Status {
        /// What to print
        #[command(flatten)]
        form: status::Form,
        /// Where the configuration is
        #[command(flatten)]
        file: FileArgument,
    },
    /// Wait until the running agent is ready, or one target is up
    ///
    /// Exit status: 0 it is, 1 it was not in time; 64 no target has that name.
    #[command(after_help = config::VARIABLES)]
    Wait {
        /// For what and how long
        #[command(flatten)]
        patience: wait::Patience,
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
