//! `telltail wait`: for scripts and init containers.

use super::config::VARIABLES;
use super::{CommandContext, EXIT_USAGE, Exit, FileArgument};
use crate::document::Document;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Wait until the running agent is ready, or one target is up
///
/// Exit status: 0 ready or up, 1 timed out, 64 the agent has no target of that name.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub struct WaitArgs {
    /// Timeout, such as 90s or 2m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Wait until this target is up, instead of for readiness
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    #[command(flatten)]
    file: FileArgument,
}

/// Time between two requests: short for a script, and cheap for an agent that answers from memory.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

impl WaitArgs {
    /// Polls the agent until the condition is met. An agent that does not answer may still be starting.
    pub async fn run(self, context: &mut CommandContext) -> Result<u8, Exit> {
        let agent = context.agent(self.file)?;
        let deadline = Instant::now().checked_add(self.timeout);
        let deadline = deadline.ok_or_else(|| Exit::new(EXIT_USAGE, "--timeout is out of range"))?;
        loop {
            let (met, message) = match agent.status().await {
                Ok((_, document)) => condition(&document, self.target.as_deref())?,
                Err(error) => (false, error),
            };
            if met {
                context.out.print(&format!("{message}\n"))?;
                return Ok(0);
            }
            let now = Instant::now();
            if now >= deadline {
                let timeout = humantime::format_duration(self.timeout);
                return Err(Exit::new(1, format!("timed out after {timeout}: {message}")));
            }
            sleep(POLL_INTERVAL.min(deadline - now)).await;
        }
    }
}

/// Whether the agent is ready or the target is up, and a message about it.
fn condition(document: &Document, target: Option<&str>) -> Result<(bool, String), Exit> {
    let Some(name) = target else { return Ok((document.ready, document.verdict.clone())) };
    let target = document.targets.iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| Exit::new(EXIT_USAGE, format!("the agent has no target {name}")))?;
    let why = target.failure.as_ref().filter(|_| target.state != "up");
    let why = why.map_or_else(String::new, |failure| format!(": {}: {}", failure.reason, failure.cause));
    Ok((target.state == "up", format!("{name} is {}{why}", target.state)))
}
