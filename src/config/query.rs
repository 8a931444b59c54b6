//! The parameters of a target's URL.

use super::keys::Parameter;
use super::percent::{BAD_PERCENT, decoded};
use super::problem::{did_you_mean, shown};

/// What to say where a URL holds a password, without repeating anything of it.
pub(super) const PASSWORD: &str = "the URL holds a password: telltail needs none and keeps none, remove it";

/// `name=value&…`, each name at most once; what is wrong goes to `faults`.
pub(super) fn parse(query: &str, faults: &mut Vec<String>) -> Vec<(Parameter, String)> {
    let mut parameters: Vec<(Parameter, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').map_or((pair, None), |(key, value)| (key, Some(value)));
        let Some(parameter) = Parameter::by_key(key) else {
            faults.push(unknown(key));
            continue;
        };
        let value = match value.map(decoded) {
            None => Err(format!("`{key}` has no value: write `{key}=…`")),
            Some(None) => Err(format!("`{key}`: {BAD_PERCENT}")),
            Some(Some(_)) if parameters.iter().any(|(known, _)| *known == parameter) => {
                Err(format!("`{key}` is written twice"))
            }
            Some(Some(value)) if value.is_empty() => Err(format!("`{key}` has no value: write `{key}=…`")),
            Some(Some(value)) => Ok(value),
        };
        match value {
            Ok(value) => parameters.push((parameter, value)),
            Err(sentence) => faults.push(sentence),
        }
    }
    parameters
}

fn unknown(key: &str) -> String {
    let lower = key.to_ascii_lowercase();
    if lower.starts_with("ssl") || lower.starts_with("tls") {
        return format!(
            "{}: TLS is not spoken yet (Postgres answers the probe before TLS begins): remove it",
            shown(key)
        );
    }
    if lower.starts_with("pass") {
        return PASSWORD.to_owned();
    }
    let meant = did_you_mean(key, Parameter::keys());
    let known: Vec<&str> = Parameter::keys().collect();
    let listed = if meant.is_empty() { format!("; known are {}", known.join(", ")) } else { meant };
    format!("unknown parameter {}{listed}", shown(key))
}
