//! The sources put together.

use super::keys::Setting;
use super::problem::Problems;
use super::{Config, Environment, advice, environment, schema, validate, yaml};
use std::path::Path;

/// A configuration that holds, and what a person should think twice about.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Sentences without full stop.
    pub warnings: Vec<String>,
}

/// Makes the configuration from the environment and, if there is one, the file: its path, for messages, and its content.
///
/// The environment's values override the file's. `TS_SOCKET` is looked at where neither names a socket.
///
/// # Errors
/// Everything that is wrong, at once; of YAML syntax errors only the first.
pub fn load(environment: &Environment, file: Option<(&Path, &[u8])>) -> Result<Loaded, Problems> {
    let (mut problems, mut warnings) = (Problems::default(), Vec::new());
    let mut raw = environment::read(environment, &mut problems, &mut warnings);
    if let Some((path, bytes)) = file {
        match yaml::read(&path.to_string_lossy(), bytes, &mut problems) {
            Some(root) => merge(&mut raw, schema::from_file(root, &mut problems), &mut problems),
            None => raw.incomplete = true,
        }
    }
    if !raw.settings.contains_key(&Setting::Socket)
        && let Some(given) = environment::ts_socket(environment, &mut problems)
    {
        raw.settings.insert(Setting::Socket, given);
    }
    match validate::resolve(&raw, &mut problems) {
        Some(config) if problems.as_slice().is_empty() => {
            warnings.extend(advice::warnings(&config));
            Ok(Loaded { config, warnings })
        }
        _ => Err(problems.sorted()),
    }
}

fn merge(environment: &mut schema::Raw, file: schema::Raw, problems: &mut Problems) {
    environment.incomplete |= file.incomplete;
    for (setting, given) in file.settings {
        environment.settings.entry(setting).or_insert(given);
    }
    if let (Some(variable), Some(_)) = (&environment.targets_at, &file.targets_at) {
        problems.add(variable, "the file has `targets` too: keep one of the two");
    } else if file.targets_at.is_some() {
        environment.targets_at = file.targets_at;
        environment.targets = file.targets;
    }
}

/// What differs between two configurations and cannot change in flight, by its keys in the file; empty when a reload
/// suffices. Targets, their timing, `rise`, `fall` and `readiness` change in flight.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        (Setting::Socket, old.socket != new.socket),
        (Setting::Listen, old.listen != new.listen),
        (Setting::StartupGate, old.startup_gate != new.startup_gate),
        (Setting::StartupRelease, old.startup_release != new.startup_release),
        (Setting::Drain, old.drain != new.drain),
        (Setting::Log, old.log != new.log),
        (Setting::LogFormat, old.log_format != new.log_format),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(setting, _)| setting.key())
    .collect()
}
