//! The settings as the help of the commands shows them.

use super::declare::Setting;
use super::environment::CONFIG_VARIABLE;
use super::settings::{TARGETS_VARIABLE, target_defaults, variable};
use super::{Config, Kind, Target};
use std::fmt::Write;

/// Lines that are longer break before the default.
const WIDTH: usize = 100;

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
    let own = Config::SETTINGS.iter().map(|setting| line(setting, &config));
    let inherited = target_defaults().map(|setting| line(setting, &target));
    text.extend(own.chain(inherited));
    text.push_str("\nParameters of a target's URL:\n");
    for setting in Target::SETTINGS {
        let _ = writeln!(text, "  {:<26}{}{}", setting.key, setting.sentence(), values(setting));
    }
    text
}

fn line<T>(setting: &Setting<T>, defaults: &T) -> String {
    let mut line = format!("  {:<26}{}{}", variable(setting.key), setting.sentence(), values(setting));
    let default = (setting.yaml)(defaults).map(|yaml| yaml.trim_matches('"').to_owned());
    let default = default.unwrap_or_else(|| (setting.unset)().to_owned());
    if line.len() + default.len() > WIDTH {
        let _ = write!(line, "\n{:<27}", "");
    }
    let _ = writeln!(line, " [{default}]");
    line
}

/// ": strict, local, observe", where the values are a closed list.
fn values<T>(setting: &Setting<T>) -> String {
    let schema = (setting.schema)(setting.doc, None);
    let words: Vec<_> = schema["enum"].as_array().into_iter().flatten().filter_map(|word| word.as_str()).collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_is_short_enough_and_has_values_and_defaults() {
        let text = help();
        assert!(text.contains("\n  TELLTAIL_RISE             Consecutive successes that bring"), "{text}");
        assert!(text.contains("decided: strict, local, observe [strict]\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH + 20), "{text}");
    }
}
