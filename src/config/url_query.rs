//! The parameters of a target's URL.

use super::problem::{did_you_mean, quote_untrusted};
use super::settings::parameter_keys;
use super::target_url::decoded;

/// The problem where a URL contains a password; nothing of it is repeated.
pub(super) const PASSWORD: &str = "the URL contains a password: telltail needs none, remove it";

/// `name=value&…`, each name at most once; what is wrong goes to `errors`.
pub(super) fn parse(query: &str, errors: &mut Vec<String>) -> Vec<(&'static str, String)> {
    let mut parameters: Vec<(&'static str, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').map_or((pair, None), |(key, value)| (key, Some(value)));
        let Some(parameter) = parameter_keys().find(|parameter| *parameter == key) else {
            errors.push(unknown(key));
            continue;
        };
        let value = match value.map(decoded) {
            None => Err(format!("`{key}` has no value: write `{key}=…`")),
            Some(Err(sentence)) => Err(format!("`{key}`: {sentence}")),
            Some(Ok(_)) if parameters.iter().any(|(known, _)| *known == parameter) => {
                Err(format!("`{key}` is written twice"))
            }
            Some(Ok(value)) if value.is_empty() => Err(format!("`{key}` has no value: write `{key}=…`")),
            Some(Ok(value)) => Ok(value),
        };
        match value {
            Ok(value) => parameters.push((parameter, value)),
            Err(sentence) => errors.push(sentence),
        }
    }
    parameters
}

fn unknown(key: &str) -> String {
    let lower = key.to_ascii_lowercase();
    if lower.starts_with("ssl") || lower.starts_with("tls") {
        return format!(
            "{}: TLS is not supported yet (Postgres answers the probe before TLS begins): remove it",
            quote_untrusted(key)
        );
    }
    if lower.starts_with("pass") {
        return PASSWORD.to_owned();
    }
    let suggestion = did_you_mean(key, parameter_keys());
    let known: Vec<&str> = parameter_keys().collect();
    match suggestion.as_str() {
        "" => format!("unknown parameter; known are {}", known.join(", ")),
        typo => format!("unknown parameter {}{typo}", quote_untrusted(key)),
    }
}
