//! The programs that `tests/deploy/build` and `tests/deploy/install` put in place.

use std::path::PathBuf;
use std::process::{Command, Output};
use telltail_testkit::repository;

/// A program that `tests/deploy/build` made.
///
/// # Panics
/// When it is not there, with what to run.
pub fn built(name: &str) -> Command {
    let bin =
        std::env::var_os("TELLTAIL_DEPLOY_BIN").map_or_else(|| repository().join("target/deploy/bin"), PathBuf::from);
    let program = bin.join(name);
    assert!(program.exists(), "{} is missing: run tests/deploy/build", program.display());
    Command::new(program)
}

/// Runs `command` to its end.
///
/// # Panics
/// When it cannot be started.
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs `command` and gives its standard output.
///
/// # Panics
/// When it fails, with all that it wrote.
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = output(command);
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}

/// The debug build of telltail.
///
/// # Panics
/// When it is missing or old, with what to run.
pub fn telltail() -> Command {
    Command::new(telltail_testkit::telltail())
}

/// A program of the Python packages that `tests/deploy/install` brought.
///
/// # Panics
/// When it is not there, with what to run.
pub fn wheel(name: &str) -> Command {
    let program = repository().join("target/deploy/venv/bin").join(name);
    assert!(program.exists(), "{} is missing: run tests/deploy/install", program.display());
    Command::new(program)
}
