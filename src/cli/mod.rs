//! The command line: each subcommand is an `Args` struct in a file of its own, with `run(self, context)`.

mod agent_client;
mod check;
mod config;
mod context;
mod doctor;
pub mod doctor_text;
mod exit;
mod explain;
mod health;
mod run;
mod status;
mod status_text;
pub mod terminal;
mod wait;

pub use agent_client::AgentClient;
pub use context::CommandContext;
pub use exit::{EXIT_CONFIG, EXIT_INTERNAL, EXIT_START, EXIT_USAGE, Exit, write_error};
pub use run::{hold_signals, release_signals};

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Probes from inside a pod whether its services answer over the tailnet, how fast, and if not, whose fault it is.
///
/// Everything can be set by environment variables; TELLTAIL_TARGETS alone is a complete configuration, for example
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
#[allow(missing_docs, reason = "a doc comment here would replace the help text of the command's own struct")]
pub enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Doctor(doctor::DoctorArgs),
    Health(health::HealthArgs),
    Status(status::StatusArgs),
    Wait(wait::WaitArgs),
    Config(config::ConfigArgs),
}

impl Command {
    /// Runs the command; the exit code.
    pub async fn run(self, context: &mut CommandContext) -> Result<u8, Exit> {
        match self {
            Self::Run(args) => args.run(context).await,
            Self::Check(args) => args.run(context).await,
            Self::Doctor(args) => args.run(context).await,
            Self::Health(args) => args.run(context).await,
            Self::Status(args) => args.run(context).await,
            Self::Wait(args) => args.run(context).await,
            Self::Config(args) => args.run(context),
        }
    }
}

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub struct FileArgument {
    /// YAML file to read in addition to the environment [default: TELLTAIL_CONFIG]
    #[arg(long = "config", value_name = "FILE")]
    pub path: Option<PathBuf>,
}
