//! How the values of one type are written: read from text, shown as YAML, described as JSON Schema.

mod address;
mod text;

pub(super) use address::{HostNames, ListenAddress, SocketPath, ViaSyntax};
pub(super) use text::{LogLevels, TargetName};

use super::problem::{did_you_mean, quote_typo, quote_untrusted};
use serde_json::{Value, json};
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How values of one type are written.
pub(super) trait Syntax {
    type Output;

    /// The value, or a sentence that says what it should look like.
    fn parse(&self, text: &str) -> Result<Self::Output, String>;

    /// The value as YAML; none where it is unset.
    fn yaml(&self, value: &Self::Output) -> Option<String>;

    /// The default where the value is unset.
    fn unset(&self) -> String {
        String::new()
    }

    fn schema(&self, doc: &str, default: Option<&Self::Output>) -> Value;
}

/// A duration with its unit, within bounds.
pub(super) struct Durations(pub RangeInclusive<Duration>);

impl Syntax for Durations {
    type Output = Duration;

    fn parse(&self, text: &str) -> Result<Duration, String> {
        const FORM: &str = "write a duration like `10s`, `500ms` or `1m 30s`";
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(format!("the number has no unit: {FORM}"));
        }
        let value = humantime::parse_duration(text).map_err(|_| {
            let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            let known = ["ms", "s", "sec", "seconds", "m", "min", "minutes", "h", "hours"];
            let suggestion = did_you_mean(unit, known);
            format!("{} is not a duration{suggestion}; {FORM}", quote_typo(text, &suggestion, "the value"))
        })?;
        if self.0.contains(&value) {
            return Ok(value);
        }
        let [min, max] = [self.0.start(), self.0.end()].map(|bound| humantime::format_duration(*bound));
        Err(format!("{} is not between {min} and {max}", quote_untrusted(text)))
    }

    fn yaml(&self, value: &Duration) -> Option<String> {
        Some(humantime::format_duration(*value).to_string())
    }

    fn schema(&self, doc: &str, default: Option<&Duration>) -> Value {
        json!({
            "description": format!("{doc} With unit, such as 10s, 500ms or 1m 30s."),
            "type": "string",
            "pattern": "[a-z]$",
            "default": default.and_then(|value| self.yaml(value)),
        })
    }
}

/// A count from 1 to 100.
pub(super) struct Count;

impl Syntax for Count {
    type Output = u32;

    fn parse(&self, text: &str) -> Result<u32, String> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let count = digits.then(|| text.parse().ok()).flatten().filter(|count| (1..=100).contains(count));
        count.ok_or_else(|| "the value is not a whole number from 1 to 100".to_owned())
    }

    fn yaml(&self, value: &u32) -> Option<String> {
        Some(value.to_string())
    }

    fn schema(&self, doc: &str, default: Option<&u32>) -> Value {
        // A quoted number is read as well, so the text is allowed.
        json!({
            "description": doc,
            "oneOf": [
                {"type": "integer", "minimum": 1, "maximum": 100},
                {"type": "string", "pattern": "^0*(?:[1-9][0-9]?|100)$"},
            ],
            "default": default,
        })
    }
}

/// `true` or `false`, as YAML 1.2 has them.
pub(super) struct Boolean;

impl Syntax for Boolean {
    type Output = bool;

    fn parse(&self, text: &str) -> Result<bool, String> {
        keyword(text, &[true, false], |value| if value { "true" } else { "false" })
    }

    fn yaml(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn schema(&self, doc: &str, default: Option<&bool>) -> Value {
        json!({
            "description": doc,
            "type": ["boolean", "string"],
            "enum": [true, false, "true", "false"],
            "default": default,
        })
    }
}

/// One of a closed list: every value, and its slug.
pub(super) struct Keywords<T: 'static>(pub &'static [T], pub fn(T) -> &'static str);

impl<T: Copy> Syntax for Keywords<T> {
    type Output = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        keyword(text, self.0, self.1)
    }

    fn yaml(&self, value: &T) -> Option<String> {
        Some((self.1)(*value).to_owned())
    }

    fn schema(&self, doc: &str, default: Option<&T>) -> Value {
        let words: Vec<_> = self.0.iter().map(|value| (self.1)(*value)).collect();
        json!({"description": doc, "type": "string", "enum": words, "default": default.map(|value| (self.1)(*value))})
    }
}

fn keyword<T: Copy>(text: &str, values: &[T], slug: fn(T) -> &'static str) -> Result<T, String> {
    values.iter().copied().find(|value| slug(*value) == text).ok_or_else(|| {
        let slugs: Vec<&str> = values.iter().map(|value| slug(*value)).collect();
        let suggestion = did_you_mean(text, slugs.iter().copied());
        format!("{} is none of {}{suggestion}", quote_typo(text, &suggestion, "the value"), slugs.join(", "))
    })
}

fn text_schema(doc: &str) -> Value {
    json!({"description": doc, "type": "string", "minLength": 1})
}

/// A double-quoted scalar; whatever is not printable ASCII is escaped, so that no reader folds or refuses it.
pub(super) fn quoted(text: &str) -> String {
    let mut yaml = String::with_capacity(text.len() + 2);
    yaml.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(yaml, "\\{c}"),
            ' '..='~' => write!(yaml, "{c}"),
            c => write!(yaml, "\\U{:08X}", u32::from(c)),
        };
    }
    yaml.push('"');
    yaml
}
