//! The JSON Schema of the file, for editors and for those who render it.

use super::keys::{MAX_TARGETS, Parameter, Setting, TARGETS, URL};
use serde_json::{Map, Value, json};

/// The schema, draft 2020-12. It knows the shape and the words; rules between values (the timeout below half the
/// interval, unique names) are [`super::load`]'s.
pub fn json_schema() -> Value {
    let mut properties: Map<String, Value> =
        Setting::ALL.iter().map(|setting| (setting.key().to_owned(), of_setting(*setting))).collect();
    properties.insert(TARGETS.to_owned(), targets());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "telltail configuration",
        "description": "The file that `telltail run --config FILE` reads. Variables named TELLTAIL_… override it.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn targets() -> Value {
    let mut properties: Map<String, Value> =
        Parameter::ALL.iter().map(|parameter| (parameter.key().to_owned(), of_parameter(*parameter))).collect();
    properties.insert(URL.to_owned(), url());
    json!({
        "description": "What to probe: a URL with parameters, or a mapping with `url` and the same names as keys.",
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_TARGETS,
        "items": {"oneOf": [
            url(),
            {"type": "object", "required": [URL], "additionalProperties": false, "properties": properties},
        ]},
    })
}

fn url() -> Value {
    json!({
        "description": "postgres://[user@]host[:port][/database], valkey://host[:port] or tcp://host:port. No password.",
        "type": "string",
        "pattern": "^(?:[Pp][Oo][Ss][Tt][Gg][Rr][Ee][Ss](?:[Qq][Ll])?|[Vv][Aa][Ll][Kk][Ee][Yy]|[Rr][Ee][Dd][Ii][Ss]|[Tt][Cc][Pp])://",
    })
}

fn of_setting(setting: Setting) -> Value {
    match setting {
        Setting::Socket => text("tailscaled's socket; without it the two usual places are tried at every connect."),
        Setting::Listen => text("Where the HTTP face listens, as ADDRESS:PORT. Default [::]:8245, or 0.0.0.0:8245."),
        Setting::Interval => duration("Time from probe to probe, for targets that name none.", "10s"),
        Setting::Timeout => duration("Longest time for a whole probe, for targets that name none.", "3s"),
        Setting::Rise => count("Consecutive successes that bring a target that was down up again.", 2),
        Setting::Fall => count("Consecutive failures that take a target down.", 3),
        Setting::Readiness => words("What /healthz answers by.", &["strict", "local", "observe"], "strict"),
        Setting::StartupGate => words("What /startupz waits for.", &["tailnet", "targets", "none"], "tailnet"),
        Setting::StartupRelease => duration("When /startupz opens in any case.", "1m 30s"),
        Setting::Drain => duration("How long the HTTP face goes on after SIGTERM.", "2s"),
        Setting::Via => via("Way of the connect stage, for targets that name none."),
        Setting::Log => text("Log levels, such as info or info,telltail::probe=debug. Default info."),
        Setting::LogFormat => words("How a log line is written.", &["json", "text"], "json"),
    }
}

fn of_parameter(parameter: Parameter) -> Value {
    match parameter {
        Parameter::Name => json!({
            "description": "Name in labels, paths and logs. Default: the first label of the host.",
            "type": "string",
            "pattern": "^[a-z0-9_-]{1,63}$",
            "not": {"const": "node"},
        }),
        Parameter::Required => json!({
            "description": "Does readiness depend on it?", "type": ["boolean", "string"],
            "enum": [true, false, "true", "false"], "default": true,
        }),
        Parameter::Interval => duration("Time from probe to probe.", "10s"),
        Parameter::Timeout => duration("Longest time for a whole probe; below half the interval.", "3s"),
        Parameter::Via => via("Way of the connect stage."),
        Parameter::Depth => json!({
            "description": "How far a probe goes. Default: protocol, and tcp for tcp:// targets.",
            "type": "string",
            "enum": ["tcp", "protocol"],
        }),
        Parameter::Expect => words("Paths that are as they should be.", &["any", "no-derp", "direct"], "any"),
    }
}

fn text(description: &str) -> Value {
    json!({"description": description, "type": "string", "minLength": 1})
}

fn words(description: &str, words: &[&str], default: &str) -> Value {
    json!({"description": description, "type": "string", "enum": words, "default": default})
}

fn count(description: &str, default: u32) -> Value {
    // A quoted number is read as well, so the text is allowed.
    json!({
        "description": description,
        "oneOf": [
            {"type": "integer", "minimum": 1, "maximum": 100},
            {"type": "string", "pattern": "^0*(?:[1-9][0-9]?|100)$"},
        ],
        "default": default,
    })
}

fn duration(description: &str, default: &str) -> Value {
    json!({
        "description": format!("{description} With unit, such as 10s, 500ms or 1m 30s."),
        "type": "string",
        "pattern": "[a-z]$",
        "default": default,
    })
}

fn via(description: &str) -> Value {
    json!({
        "description": description,
        "type": "string",
        "pattern": "^(?:auto|localapi|tcp|socks5://[^@]+:[0-9]+)$",
        "default": "auto",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{defaults, value};

    fn keys(of: &Value) -> Vec<&str> {
        of["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_keys_are_those_that_are_read() {
        let schema = json_schema();
        let mut settings: Vec<&str> = Setting::keys().chain([TARGETS]).collect();
        settings.sort_unstable();
        assert_eq!(keys(&schema), settings);
        let mut parameters: Vec<&str> = Parameter::keys().chain([URL]).collect();
        parameters.sort_unstable();
        assert_eq!(keys(&schema["properties"][TARGETS]["items"]["oneOf"][1]), parameters);
    }

    #[test]
    fn the_defaults_are_those_that_hold() {
        let schema = json_schema();
        let default = |setting: Setting| schema["properties"][setting.key()]["default"].clone();
        for (setting, duration, bounds) in [
            (Setting::Interval, defaults::INTERVAL, defaults::INTERVALS),
            (Setting::Timeout, defaults::TIMEOUT, defaults::TIMEOUTS),
            (Setting::StartupRelease, defaults::STARTUP_RELEASE, defaults::STARTUP_RELEASES),
            (Setting::Drain, defaults::DRAIN, defaults::DRAINS),
        ] {
            assert_eq!(value::duration(default(setting).as_str().unwrap(), &bounds), Ok(duration));
        }
        assert_eq!((default(Setting::Rise), default(Setting::Fall)), (defaults::RISE.into(), defaults::FALL.into()));
        assert_eq!(default(Setting::Readiness), defaults::READINESS.slug());
        assert_eq!(default(Setting::StartupGate), defaults::STARTUP_GATE.slug());
        assert_eq!(value::via(default(Setting::Via).as_str().unwrap()), Ok(defaults::VIA));
        assert_eq!(value::log_format(default(Setting::LogFormat).as_str().unwrap()), Ok(defaults::LOG_FORMAT));
    }

    #[test]
    fn the_words_are_those_that_are_read() {
        let schema = json_schema();
        let words = |key: &str| {
            let words = schema["properties"][key]["enum"].as_array().cloned().unwrap();
            words.into_iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        assert!(words("readiness").iter().all(|word| value::mode(word).is_ok()));
        assert!(words("startup_gate").iter().all(|word| value::gate(word).is_ok()));
        assert!(words("log_format").iter().all(|word| value::log_format(word).is_ok()));
    }
}
