//! `telltail status`: what the running agent knows, for people.

mod table;

use super::run::Exit;
use super::{EXIT_INTERNAL, ask};
use std::io::{IsTerminal, Write, stdout};
use std::net::SocketAddr;
use std::time::Duration;
use table::Paint;
use tokio::time::sleep;

/// What to print.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Form {
    /// Print the JSON document
    #[arg(long)]
    json: bool,
    /// Print it again every two seconds, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

/// Time between two tables: probes come more seldom.
const EVERY: Duration = Duration::from_secs(2);
/// Cursor to the upper left, then clear what follows: nothing flickers as it would if all were cleared first.
const HOME: &str = "\x1b[H\x1b[J";

/// Prints the status of the agent at `agent`: 0 if it is ready, 1 if it is not or does not answer.
pub async fn run(agent: SocketAddr, form: Form, out: &mut dyn Write) -> Result<u8, Exit> {
    let terminal = stdout().is_terminal();
    let paint = Paint { colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    loop {
        let asked = ask::status(agent).await.map_err(|problem| format!("{agent}: {problem}"));
        let (text, ready) = match asked {
            Ok((json, document)) if form.json => (json, document.ready),
            Ok((_, document)) => (table::of(&document, paint), document.ready),
            Err(problem) if form.watch => (format!("telltail: {problem}\n"), false),
            Err(problem) => return Err((1, problem)),
        };
        let before = if form.watch && terminal { HOME } else { "" };
        let written = out.write_all(format!("{before}{text}").as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| (EXIT_INTERNAL, format!("the output could not be written: {error}")))?;
        if !form.watch {
            return Ok(u8::from(!ready));
        }
        sleep(EVERY).await;
    }
}
