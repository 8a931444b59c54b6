//! A configuration before validation: keys and texts with their locations, from the file or the environment.

use super::problem::{Problems, SourceLocation, did_you_mean, quote_untrusted};
use super::settings::{TARGETS, URL, parameter_keys, setting_keys};
use super::yaml::{YamlNode, YamlValue};
use std::collections::BTreeMap;

/// A value and its location.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub location: SourceLocation,
    pub text: String,
}

/// A target before validation.
#[derive(Debug)]
pub(super) struct RawTarget {
    /// Counted from 1.
    pub number: usize,
    pub url: Located,
    /// Keys beside `url`; the parameters of the URL are still in it.
    pub options: BTreeMap<&'static str, Located>,
}

/// The content of one source.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub settings: BTreeMap<&'static str, Located>,
    /// Where the targets are written, if at all.
    pub targets_at: Option<SourceLocation>,
    pub targets: Vec<RawTarget>,
    /// A part could not be read, and may contain the missing keys.
    pub incomplete: bool,
}

/// The file's content by its keys.
pub(super) fn from_file(root: YamlNode, problems: &mut Problems) -> RawConfig {
    let mut raw = RawConfig::default();
    let YamlValue::Map(entries) = root.value else {
        let noun = root.value.noun();
        problems.add(&root.location, format!("the file is {noun}, not a mapping of keys such as `targets:`"));
        raw.incomplete = true;
        return raw;
    };
    let known: Vec<&str> = [TARGETS].into_iter().chain(setting_keys()).collect();
    for (key, location, node) in entries {
        if key == TARGETS {
            if raw.targets_at.is_some() {
                problems.add(&location, twice(TARGETS));
            } else {
                let before = problems.as_slice().len();
                raw.targets = targets(node, problems);
                raw.targets_at = Some(location);
                raw.incomplete = problems.as_slice().len() > before;
            }
        } else if let Some(setting) = setting_keys().find(|setting| *setting == key) {
            let value = scalar(&key, node, problems);
            if value.and_then(|value| raw.settings.insert(setting, value)).is_some() {
                problems.add(&location, twice(&key));
            }
        } else {
            problems.add(&location, unknown_key(&key, &known));
        }
    }
    raw
}

fn targets(node: YamlNode, problems: &mut Problems) -> Vec<RawTarget> {
    let YamlValue::List(items) = node.value else {
        problems.add(&node.location, format!("`targets` is {}, not a list of URLs", node.value.noun()));
        return Vec::new();
    };
    items.into_iter().enumerate().filter_map(|(index, item)| target(index + 1, item, problems)).collect()
}

fn target(number: usize, item: YamlNode, problems: &mut Problems) -> Option<RawTarget> {
    let entries = match item.value {
        YamlValue::Text(text) => {
            return Some(RawTarget {
                number,
                url: Located { location: item.location, text },
                options: BTreeMap::new(),
            });
        }
        YamlValue::Map(entries) => entries,
        YamlValue::Null | YamlValue::List(_) => {
            let noun = item.value.noun();
            problems.add(&item.location, format!("target {number} is {noun}, not a URL or a mapping with `url:`"));
            return None;
        }
    };
    let known: Vec<&str> = [URL].into_iter().chain(parameter_keys()).collect();
    let (mut url, mut url_seen, mut options) = (None, false, BTreeMap::new());
    for (key, location, node) in entries {
        if key == URL {
            if url_seen {
                problems.add(&location, format!("target {number}: {}", twice(URL)));
            }
            url = scalar(URL, node, problems).or(url);
            url_seen = true;
        } else if let Some(parameter) = parameter_keys().find(|parameter| *parameter == key) {
            let value = scalar(&key, node, problems);
            if value.and_then(|value| options.insert(parameter, value)).is_some() {
                problems.add(&location, format!("target {number}: {}", twice(&key)));
            }
        } else {
            problems.add(&location, format!("target {number}: {}", unknown_key(&key, &known)));
        }
    }
    if !url_seen {
        problems.add(&item.location, format!("target {number} has no `url`"));
    }
    url.map(|url| RawTarget { number, url, options })
}

fn scalar(key: &str, node: YamlNode, problems: &mut Problems) -> Option<Located> {
    match node.value {
        YamlValue::Text(text) => Some(Located { location: node.location, text }),
        YamlValue::Null => {
            problems.add(&node.location, format!("`{key}` has no value: give it one or leave the key out"));
            None
        }
        YamlValue::List(_) | YamlValue::Map(_) => {
            problems.add(&node.location, format!("`{key}` is {}, not a single value", node.value.noun()));
            None
        }
    }
}

fn twice(key: &str) -> String {
    format!("`{key}` is written twice")
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let meant = did_you_mean(key, known.iter().copied());
    match meant.as_str() {
        "" => format!("unknown key; known are {}", known.join(", ")),
        typo => format!("unknown key {}{typo}", quote_untrusted(key)),
    }
}
