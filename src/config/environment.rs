//! Configuration from environment variables.

use super::problem::{Problems, SourceLocation, did_you_mean, quote_untrusted};
use super::raw::{Located, RawConfig, RawTarget};
use super::settings::{TARGETS_VARIABLE, setting_keys, variable};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

const PREFIX: &str = "TELLTAIL_";
/// Names the file where `--config` does not, so that a command run in the pod finds the agent's configuration.
pub(super) const CONFIG_VARIABLE: &str = "TELLTAIL_CONFIG";
/// Tailscale's own container reads its socket from here.
pub(super) const TS_SOCKET: &str = "TS_SOCKET";

/// telltail's environment variables, taken from `std::env::vars_os()` or from a test's list; the rest is not kept.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let ours = |(name, value): (K, V)| {
            let name = name.into().into_string().ok()?;
            (name.starts_with(PREFIX) || name == TS_SOCKET).then(|| (name, value.into()))
        };
        Self(variables.into_iter().filter_map(ours).collect())
    }
}

impl Environment {
    /// The file that `TELLTAIL_CONFIG` names; none where it is unset or empty.
    pub fn file(&self) -> Option<PathBuf> {
        self.0.get(CONFIG_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
    }
}

/// The environment's values, and a warning for each variable that looks like ours and is not.
///
/// An empty variable counts as unset: templates write those.
pub(super) fn read(environment: &Environment, problems: &mut Problems, warnings: &mut Vec<String>) -> RawConfig {
    let mut raw = RawConfig::default();
    for (name, value) in environment.0.iter().filter(|(name, _)| *name != CONFIG_VARIABLE) {
        let setting = setting_keys().find(|key| variable(key) == *name);
        let ours = setting.is_some() || name == TARGETS_VARIABLE;
        if !ours {
            warnings.extend(warning(name, value.to_str().unwrap_or_default()));
            continue;
        }
        let location = SourceLocation::Variable(name.clone());
        let Some(text) = value.to_str().map(str::trim) else {
            problems.add(&location, "the value is not UTF-8");
            continue;
        };
        if text.is_empty() {
            continue;
        }
        match setting {
            Some(setting) => {
                raw.settings.insert(setting, Located { location, text: text.to_owned() });
            }
            None => {
                raw.targets = targets(text, &location);
                raw.targets_at = Some(location);
            }
        }
    }
    raw
}

/// `TS_SOCKET`, the last resort for the socket's path.
pub(super) fn ts_socket(environment: &Environment, problems: &mut Problems) -> Option<Located> {
    let location = SourceLocation::Variable(TS_SOCKET.to_owned());
    let value = environment.0.get(TS_SOCKET)?;
    let Some(text) = value.to_str() else {
        problems.add(&location, "the value is not UTF-8");
        return None;
    };
    (!text.trim().is_empty()).then(|| Located { location, text: text.trim().to_owned() })
}

fn targets(text: &str, location: &SourceLocation) -> Vec<RawTarget> {
    let mut urls: Vec<String> = Vec::new();
    for word in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty()) {
        // `u:a,b@db` is one URL whose password has a comma. It is put together again, so that it is refused as such and
        // no part of it is taken for something that may be repeated.
        let last_url_index = urls.iter().rposition(|url| url.contains("://"));
        match last_url_index.filter(|_| word.contains('@') && !word.contains("://")) {
            Some(last_url_index) => {
                let parts = urls.split_off(last_url_index);
                urls.push(format!("{},{word}", parts.join(",")));
            }
            None => urls.push(word.to_owned()),
        }
    }
    let target = |(index, text)| RawTarget {
        number: index + 1,
        url: Located { location: location.clone(), text },
        options: BTreeMap::new(),
    };
    urls.into_iter().enumerate().map(target).collect()
}

fn warning(name: &str, value: &str) -> Option<String> {
    if name == TS_SOCKET || is_service_link(name, value) {
        return None;
    }
    let others = [TARGETS_VARIABLE, CONFIG_VARIABLE].map(str::to_owned);
    let known: Vec<String> = setting_keys().map(variable).chain(others).collect();
    let suggestion = did_you_mean(name, known.iter().map(String::as_str));
    Some(format!("the variable {} is unknown and ignored{suggestion}", quote_untrusted(name)))
}

/// Kubernetes puts variables into each pod for each Service of its namespace. Those of a Service called `telltail` or
/// `telltail-…` begin like ours: `TELLTAIL_SERVICE_HOST`, `TELLTAIL_PORT`, `TELLTAIL_METRICS_PORT_80_TCP_ADDR`.
fn is_service_link(name: &str, value: &str) -> bool {
    let (stem, end) = name.split_once("_SERVICE_").unwrap_or((name, ""));
    if !end.is_empty() && stem.starts_with("TELLTAIL") {
        return end == "HOST" || end == "PORT" || end.starts_with("PORT_");
    }
    let url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let port = name.match_indices("_PORT_").any(|(at, found)| {
        let mut words = name.get(at + found.len()..).unwrap_or_default().split('_');
        let number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
        number && words.next().is_some_and(|word| ["TCP", "UDP", "SCTP"].contains(&word))
    });
    port || (name.ends_with("_PORT") && url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(variables: &[(&str, &str)]) -> Vec<String> {
        let (mut problems, mut warnings) = (Problems::default(), Vec::new());
        let environment = variables.iter().copied().collect();
        read(&environment, &mut problems, &mut warnings);
        warnings
    }

    #[test]
    fn service_links_are_silent() {
        let links = [
            ("TELLTAIL_SERVICE_HOST", "10.0.0.1"),
            ("TELLTAIL_SERVICE_PORT", "8245"),
            ("TELLTAIL_SERVICE_PORT_HTTP", "8245"),
            ("TELLTAIL_PORT", "tcp://10.0.0.1:8245"),
            ("TELLTAIL_PORT_8245_TCP", "tcp://10.0.0.1:8245"),
            ("TELLTAIL_PORT_8245_TCP_ADDR", "10.0.0.1"),
            ("TELLTAIL_METRICS_SERVICE_HOST", "10.0.0.1"),
            ("TELLTAIL_METRICS_PORT", "tcp://10.0.0.1:80"),
            ("TELLTAIL_METRICS_PORT_80_TCP_PROTO", "tcp"),
            ("PATH", "/bin"),
        ];
        assert_eq!(warnings(&links), Vec::<String>::new());
    }

    #[test]
    fn what_looks_like_ours_and_is_not_warns() {
        let odd = warnings(&[("TELLTAIL_TARGET", "x"), ("TELLTAIL_PORT", "8245"), ("TELLTAIL_CONFIG", "/f")]);
        assert_eq!(odd.len(), 2, "{odd:?}");
        assert!(odd.iter().any(|one| one.contains("did you mean `TELLTAIL_TARGETS`?")), "{odd:?}");
    }
}
