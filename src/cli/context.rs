//! What every command gets from its process.

use super::agent_client::AgentClient;
use super::terminal::Terminal;
use super::{EXIT_CONFIG, Exit, FileArgument};
use crate::config::{Config, Environment, Source};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The process's variables and outputs.
#[derive(Debug)]
pub struct CommandContext {
    variables: BTreeMap<OsString, OsString>,
    /// stdout: results.
    pub out: Terminal,
    /// stderr: problems and warnings.
    pub err: Terminal,
}

impl CommandContext {
    /// Takes the variables and outputs of this process.
    pub fn from_process() -> Self {
        let variables: BTreeMap<_, _> = std::env::vars_os().collect();
        // https://no-color.org
        let colour = variables.get(&OsString::from("NO_COLOR")).is_none_or(|value| value.is_empty());
        Self { variables, out: Terminal::stdout(colour), err: Terminal::stderr() }
    }

    /// The value of a variable, if it is set and UTF-8.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(&OsString::from(name))?.to_str().map(str::to_owned)
    }

    /// The variables that configure telltail.
    pub fn environment(&self) -> Environment {
        self.environment_with([])
    }

    /// As [`Self::environment`], with these variables instead of the process's.
    pub fn environment_with<const N: usize>(&self, overrides: [(&str, &str); N]) -> Environment {
        let overrides = overrides.map(|(name, value)| (name.into(), value.into()));
        self.variables.clone().into_iter().chain(overrides).collect()
    }

    /// The configuration; the error names every problem.
    pub fn load(&self, file: FileArgument) -> Result<Config, Exit> {
        load(self.environment(), file.path)
    }

    /// The agent that runs with this configuration.
    pub fn agent(&self, file: FileArgument) -> Result<AgentClient, Exit> {
        Ok(AgentClient::new(self.load(file)?.listen))
    }
}

/// The configuration of this environment and file.
pub(super) fn load(environment: Environment, file: Option<PathBuf>) -> Result<Config, Exit> {
    let loaded = Source::new(environment, file).load().map_err(|problems| Exit::new(EXIT_CONFIG, problems))?;
    Ok(loaded.config)
}
