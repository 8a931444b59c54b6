//! Validation: defaults, rules, and a problem for everything that breaks one.

mod target_builder;

use super::problem::{Problems, SourceLocation};
use super::raw::RawConfig;
use super::settings::{MAX_TARGETS, TARGETS_VARIABLE, target_defaults};
use super::settings_macro::{Setting, SettingKind};
use super::{Config, Kind, Target, show};
use std::collections::BTreeMap;
use std::sync::Arc;
use target_builder::TargetBuilder;

/// The configuration, or at least one problem. Only without any problem is it valid.
pub(super) fn resolve(raw: &RawConfig, problems: &mut Problems) -> Option<Config> {
    let defaults = TargetDefaults::read(raw, problems);
    let targets = targets(raw, &defaults, problems);
    let mut config = Config::with_defaults(targets.unwrap_or_default(), String::new());
    for setting in Config::SETTINGS {
        read(setting, &mut config, raw, problems);
    }
    config.hash = show::hash(&config);
    (!config.targets.is_empty()).then_some(config)
}

/// Reads a setting where it is written; `false` where it is wrong.
fn read<T>(setting: &Setting<T>, into: &mut T, raw: &RawConfig, problems: &mut Problems) -> bool {
    let Some(value) = raw.settings.get(setting.key) else { return true };
    // A variable's name says what it is about.
    let about = match value.location {
        SourceLocation::Variable(_) => String::new(),
        SourceLocation::File { .. } => format!("`{}`: ", setting.key),
    };
    problems.ok_or_report(&value.location, &about, (setting.parse_into)(into, &value.text)).is_some()
}

/// The settings that are defaults of all targets.
struct TargetDefaults<'a> {
    raw: &'a RawConfig,
    values: Target,
    /// Keys with a wrong value, so that its consequences are not reported too.
    wrong: Vec<&'static str>,
}

impl<'a> TargetDefaults<'a> {
    fn read(raw: &'a RawConfig, problems: &mut Problems) -> Self {
        let mut values = Target::without_url(Kind::Tcp);
        let wrong = target_defaults().filter(|setting| !read(setting, &mut values, raw, problems));
        let wrong = wrong.map(|setting| setting.key).collect();
        Self { raw, values, wrong }
    }

    fn apply_to(&self, target: &mut Target) {
        for setting in Target::SETTINGS.iter().filter(|setting| setting.kind == SettingKind::TargetDefault) {
            (setting.copy)(target, &self.values);
        }
    }
}

fn targets(raw: &RawConfig, defaults: &TargetDefaults, problems: &mut Problems) -> Option<Vec<Arc<Target>>> {
    let unwritten = SourceLocation::Variable(TARGETS_VARIABLE.to_owned());
    let location = raw.targets_at.as_ref().unwrap_or(&unwritten);
    if raw.targets.is_empty() && !raw.incomplete {
        problems.add(location, "there are no targets: name at least one, such as `postgres://db:5432`");
    }
    if raw.targets.len() > MAX_TARGETS {
        problems.add(location, format!("there are {} targets, at most {MAX_TARGETS} are allowed", raw.targets.len()));
    }
    let mut names = BTreeMap::new();
    let each = raw.targets.iter().take(MAX_TARGETS);
    let targets: Vec<_> =
        each.map(|raw| TargetBuilder::new(raw, problems).build(defaults, &mut names).map(Arc::new)).collect();
    targets.into_iter().collect()
}
