//! The `telltail` binary: arguments in, exit code out.

use clap::Parser;
use clap::error::ErrorKind;
use std::process::ExitCode;
use telltail::cli::{Cli, Command, CommandContext, EXIT_INTERNAL, EXIT_USAGE, Exit, hold_signals, release_signals};

fn main() -> ExitCode {
    hold_signals();
    let mut context = CommandContext::from_process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let requested = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let terminal = if error.use_stderr() { &mut context.err } else { &mut context.out };
            // Without a readable stdout or stderr there is nowhere to report this.
            let _ = terminal.print(&error.render().to_string());
            return if requested { ExitCode::SUCCESS } else { EXIT_USAGE.into() };
        }
    };
    if !matches!(cli.command, Command::Run(_)) {
        release_signals();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(|error| Exit::new(EXIT_INTERNAL, format!("cannot start the runtime: {error}")))
        .and_then(|runtime| runtime.block_on(cli.command.run(&mut context)));
    match result {
        Ok(code) => code.into(),
        Err(exit) => {
            let _ = context.err.print(&format!("telltail: {exit}\n"));
            exit.code.into()
        }
    }
}
