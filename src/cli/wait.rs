//! `telltail wait`: for scripts and init containers.

use super::run::Exit;
use super::{EXIT_INTERNAL, EXIT_USAGE, ask};
use crate::document::Document;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// For what and how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Patience {
    /// Longest time to wait, like 90s or 2m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Wait for this target to be up instead of for readiness
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
}

/// Time between two questions: nobody notices half a second, and the agent answers from memory.
const EVERY: Duration = Duration::from_millis(500);

/// Asks the agent at `agent` until it is as wished: 0, or 1 with a sentence if it was not in time. No agent that answers
/// is waited for as well: it may still be starting.
pub async fn run(agent: SocketAddr, patience: Patience, out: &mut dyn Write) -> Result<u8, Exit> {
    let too_long = || (EXIT_USAGE, "--timeout is longer than any clock goes".to_owned());
    let deadline = Instant::now().checked_add(patience.timeout).ok_or_else(too_long)?;
    loop {
        let seen = match ask::status(agent).await {
            Ok((_, document)) => look(&document, patience.target.as_deref())?,
            Err(problem) => Err(format!("{agent}: {problem}")),
        };
        let now = Instant::now();
        match seen {
            Ok(sentence) => {
                writeln!(out, "{sentence}").map_err(|error| (EXIT_INTERNAL, error.to_string()))?;
                return Ok(0);
            }
            Err(sentence) if now >= deadline => {
                let waited = humantime::format_duration(patience.timeout);
                return Err((1, format!("waited {waited} in vain: {sentence}")));
            }
            Err(_) => sleep(EVERY.min(deadline - now)).await,
        }
    }
}

/// As wished, or not yet: with the sentence that says so.
fn look(document: &Document, target: Option<&str>) -> Result<Result<String, String>, Exit> {
    let verdict = document.verdict.clone();
    let Some(name) = target else {
        return Ok(if document.ready { Ok(verdict) } else { Err(verdict) });
    };
    let target = document.targets.iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| (EXIT_USAGE, format!("the agent knows no target {name}")))?;
    let sentence = format!("{name} is {}", target.state);
    let why = target.failure.as_ref().map(|failure| format!("{sentence}: {}: {}", failure.reason, failure.cause));
    Ok(if target.state == "up" { Ok(sentence) } else { Err(why.unwrap_or(sentence)) })
}
