//! `telltail health`: readiness of the running agent, for container health checks without an HTTP client.

use super::config::VARIABLES;
use super::{CommandContext, Exit, FileArgument};
use crate::untrusted::make_visible;

/// Report whether the running agent is ready
///
/// Exit status: 0 ready, 1 not ready or no answer.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub struct HealthArgs {
    /// Print every check
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    file: FileArgument,
}

impl HealthArgs {
    /// Requests `/healthz` from the agent.
    pub async fn run(self, context: &mut CommandContext) -> Result<u8, Exit> {
        let agent = context.agent(self.file)?;
        let (ready, page) = agent.healthz().await.map_err(|error| Exit::new(1, error))?;
        match (self.verbose, ready) {
            // Another program may have written it: not even a colour is its to choose.
            (true, _) => context.out.print(&make_visible(&page))?,
            (false, true) => context.out.print("ready\n")?,
            (false, false) => context.out.print("not ready; see --verbose\n")?,
        }
        Ok(u8::from(!ready))
    }
}
