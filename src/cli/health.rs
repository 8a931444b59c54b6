//! `telltail health`: readiness of the running agent, for container health checks without an HTTP client.

use super::config::VARIABLES;
use super::{CommandContext, Exit, FileArgument};

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
        context.out.print(match (self.verbose, ready) {
            (true, _) => &page,
            (false, true) => "ready\n",
            (false, false) => "not ready; see --verbose\n",
        })?;
        Ok(u8::from(!ready))
    }
}
