//! Text with a form of its own: log levels, names of targets.

use super::{Syntax, quoted, text_schema};
use crate::config::NODE_CHECK;
use crate::config::problem::{did_you_mean, quote_typo, quote_untrusted};
use serde_json::{Value, json};

/// Longest name of a target in bytes: a DNS label, so that a host's first label always fits.
const LONGEST_NAME: usize = 63;

/// `info`, or `info,telltail::probe=debug`.
///
/// `tracing_subscriber` takes a misspelt level for the name of a module with everything switched on, so the levels are
/// checked here.
pub struct LogLevels;

impl Syntax for LogLevels {
    type Output = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        for part in text.split(',').map(str::trim) {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
                let suggestion = did_you_mean(level, LEVELS);
                let level = quote_typo(level, &suggestion, "a level");
                return Err(format!("{level} is none of {}{suggestion}", LEVELS.join(", ")));
            }
        }
        match text.parse::<tracing_subscriber::filter::Targets>() {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err("the value is not a list of levels such as `info,telltail::probe=debug`".to_owned()),
        }
    }

    fn yaml(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn schema(&self, doc: &str, default: Option<&String>) -> Value {
        text_schema(&default.map_or_else(|| doc.to_owned(), |levels| format!("{doc} Default {levels}.")))
    }
}

/// `[a-z0-9_-]{1,63}`: label, path segment, log field.
pub struct TargetName;

impl Syntax for TargetName {
    type Output = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        let odd = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'));
        if odd.is_some() || !(1..=LONGEST_NAME).contains(&text.len()) {
            let odd = odd.map(|c| format!(", it has {}", quote_untrusted(&c.to_string()))).unwrap_or_default();
            return Err(format!("the name is not 1 to {LONGEST_NAME} of `a-z`, `0-9`, `_` and `-`{odd}"));
        }
        if text == NODE_CHECK {
            return Err(format!(
                "the name `{NODE_CHECK}` is reserved for the check of this pod's own node: add another `name`"
            ));
        }
        Ok(text.to_owned())
    }

    fn yaml(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn schema(&self, doc: &str, _: Option<&String>) -> Value {
        json!({"description": doc, "type": "string", "pattern": "^[a-z0-9_-]{1,63}$", "not": {"const": NODE_CHECK}})
    }
}
