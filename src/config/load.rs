//! Environment and file together.

use super::problem::Problems;
use super::raw::{self, RawConfig};
use super::{Config, Environment, environment, validate, warnings, yaml};
use std::path::Path;

/// The setting that `TS_SOCKET` stands in for.
const SOCKET: &str = "socket";

/// A valid configuration, and what in it is probably not wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Sentences without full stop.
    pub warnings: Vec<String>,
}

/// Makes the configuration from the environment and, if there is one, the file: its path, for messages, and its content.
///
/// The environment's values override the file's. `TS_SOCKET` is read where neither names a socket.
///
/// # Errors
/// Everything that is wrong, at once; of YAML syntax errors only the first.
pub fn load(environment: &Environment, file: Option<(&Path, &[u8])>) -> Result<Loaded, Problems> {
    let (mut problems, mut warnings) = (Problems::default(), Vec::new());
    let mut raw = environment::read(environment, &mut problems, &mut warnings);
    if let Some((path, bytes)) = file {
        match yaml::read(&path.to_string_lossy(), bytes, &mut problems) {
            Some(root) => merge(&mut raw, raw::from_file(root, &mut problems), &mut problems),
            None => raw.incomplete = true,
        }
    }
    if !raw.settings.contains_key(SOCKET)
        && let Some(path) = environment::ts_socket(environment, &mut problems)
    {
        raw.settings.insert(SOCKET, path);
    }
    match validate::resolve(&raw, &mut problems) {
        Some(config) if problems.as_slice().is_empty() => {
            warnings.extend(warnings::of(&config));
            Ok(Loaded { config, warnings })
        }
        _ => Err(problems.sorted()),
    }
}

fn merge(environment: &mut RawConfig, file: RawConfig, problems: &mut Problems) {
    environment.incomplete |= file.incomplete;
    for (setting, value) in file.settings {
        environment.settings.entry(setting).or_insert(value);
    }
    if let (Some(variable), Some(_)) = (&environment.targets_at, &file.targets_at) {
        problems.add(variable, "the file has `targets` too: keep one of the two");
    } else if file.targets_at.is_some() {
        environment.targets_at = file.targets_at;
        environment.targets = file.targets;
    }
}
