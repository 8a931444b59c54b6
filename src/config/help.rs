//! The settings as the help of the commands shows them.

use super::environment::{CONFIG_VARIABLE, TS_SOCKET};
use super::settings::{TARGETS_VARIABLE, target_defaults, variable};
use super::settings_macro::Setting;
use super::{Config, Kind, Target};
use std::fmt::Write;

/// Every variable with its doc, values and default, and the parameters of a target's URL.
pub fn help() -> String {
    let mut text = format!(
        "Environment (each variable overrides the key of the same name in the file):
  {CONFIG_VARIABLE:<26}The file, where --config names none
  {TARGETS_VARIABLE:<26}What to probe: URLs separated by commas or spaces, such as
  {:<26}postgres://db:5432,valkey://cache:6379?required=false
",
        ""
    );
    let (config, target) = (Config::with_defaults(Vec::new(), String::new()), Target::without_url(Kind::Postgres));
    text.extend(Config::SETTINGS.iter().map(|setting| line(setting, &config)));
    let _ = writeln!(text, "  {TS_SOCKET:<26}tailscaled's socket, where nothing else sets it");
    text.push_str("\nDefaults of all targets:\n");
    text.extend(target_defaults().map(|setting| line(setting, &target)));
    text.push_str("\nParameters of a target's URL:\n");
    text.extend(Target::SETTINGS.iter().map(|setting| format!("  {:<26}{}\n", setting.key, about(setting))));
    text
}

fn line<T>(setting: &Setting<T>, defaults: &T) -> String {
    let default = (setting.yaml)(defaults).map(|yaml| yaml.trim_matches('"').to_owned());
    let default = default.unwrap_or_else(setting.unset);
    format!("  {:<26}{} [{default}]\n", variable(setting.key), about(setting))
}

/// The doc, with the values where they are a closed list.
fn about<T>(setting: &Setting<T>) -> String {
    let doc = setting.doc.trim().trim_end_matches('.');
    let schema = (setting.schema)(doc, None);
    let words: Vec<_> = schema["enum"].as_array().into_iter().flatten().filter_map(|word| word.as_str()).collect();
    match doc.split_once(". ") {
        _ if words.is_empty() => doc.to_owned(),
        Some((first, rest)) => format!("{first}: {}. {rest}", words.join(", ")),
        None => format!("{doc}: {}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_has_values_and_defaults() {
        let text = help();
        assert!(text.contains("\n  TELLTAIL_RISE             Consecutive successes after which"), "{text}");
        assert!(text.contains("decided: strict, local, observe [strict]\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 140), "{text}");
    }
}
