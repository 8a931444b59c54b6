//! `telltail status`: what the running agent knows, for people.

use super::config::VARIABLES;
use super::{CommandContext, Exit, FileArgument, status_text};
use std::time::Duration;
use tokio::time::sleep;

/// Show the running agent's verdict, targets, node and last changes
///
/// Exit status: 0 ready, 1 not ready or no answer.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub struct StatusArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    file: FileArgument,
}

/// What to print, and how often.
#[derive(Clone, Copy, Debug, clap::Args)]
struct OutputArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Refresh every two seconds until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

/// Time between two refreshes. Probes run less often.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

impl StatusArgs {
    /// Prints the agent's status document.
    pub async fn run(self, context: &mut CommandContext) -> Result<u8, Exit> {
        let OutputArgs { json, watch } = self.output;
        let agent = context.agent(self.file)?;
        loop {
            let (text, ready) = match agent.status().await {
                // In valid JSON these stand between values only, and a terminal is not shown them.
                Ok((body, document)) if json => (body.replace(['\r', '\t'], " "), document.ready),
                Ok((_, document)) => (status_text::render(&document, context.out.palette()), document.ready),
                Err(error) if watch => (format!("telltail: {error}\n"), false),
                Err(error) => return Err(Exit::new(1, error)),
            };
            if !watch {
                context.out.print(&text)?;
                return Ok(u8::from(!ready));
            }
            context.out.redraw(&text)?;
            sleep(REFRESH_INTERVAL).await;
        }
    }
}
