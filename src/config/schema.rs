//! The shape of what was written: values as text with their places. What the words mean is [`super::validate`]'s.

use super::keys::{Parameter, Setting, TARGETS, URL};
use super::problem::{Place, Problems, did_you_mean, shown};
use super::yaml::{Node, Value};
use std::collections::BTreeMap;

/// A value as it was written.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub place: Place,
    pub text: String,
}

/// A target as it was written.
#[derive(Debug)]
pub(super) struct RawTarget {
    /// Counted from 1.
    pub number: usize,
    pub url: Given,
    /// Keys beside `url`; those of the URL are still in it.
    pub beside: BTreeMap<Parameter, Given>,
}

/// What one source says.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub settings: BTreeMap<Setting, Given>,
    /// Where the targets are written, if at all.
    pub targets_at: Option<Place>,
    pub targets: Vec<RawTarget>,
    /// A part could not be read, so that what is missing may have been in it.
    pub incomplete: bool,
}

/// The file's content by its keys.
pub(super) fn from_file(root: Node, problems: &mut Problems) -> Raw {
    let mut raw = Raw::default();
    let Value::Map(entries) = root.value else {
        let noun = root.value.noun();
        problems.add(&root.place, format!("the file is {noun}, not a mapping of keys such as `targets:`"));
        raw.incomplete = true;
        return raw;
    };
    let known: Vec<&str> = [TARGETS].into_iter().chain(Setting::keys()).collect();
    for (key, place, node) in entries {
        if key == TARGETS {
            if raw.targets_at.is_some() {
                problems.add(&place, twice(TARGETS));
            } else {
                let before = problems.as_slice().len();
                raw.targets = targets(node, problems);
                raw.targets_at = Some(place);
                raw.incomplete = problems.as_slice().len() > before;
            }
        } else if let Some(setting) = Setting::by_key(&key) {
            let given = scalar(&key, node, problems);
            if given.and_then(|given| raw.settings.insert(setting, given)).is_some() {
                problems.add(&place, twice(&key));
            }
        } else {
            problems.add(&place, unknown_key(&key, &known));
        }
    }
    raw
}

fn targets(node: Node, problems: &mut Problems) -> Vec<RawTarget> {
    let Value::List(items) = node.value else {
        problems.add(&node.place, format!("`targets` is {}, not a list of URLs", node.value.noun()));
        return Vec::new();
    };
    items.into_iter().enumerate().filter_map(|(index, item)| target(index + 1, item, problems)).collect()
}

fn target(number: usize, item: Node, problems: &mut Problems) -> Option<RawTarget> {
    let entries = match item.value {
        Value::Text(text) => {
            return Some(RawTarget { number, url: Given { place: item.place, text }, beside: BTreeMap::new() });
        }
        Value::Map(entries) => entries,
        Value::Null | Value::List(_) => {
            let noun = item.value.noun();
            problems.add(&item.place, format!("target {number} is {noun}, not a URL or a mapping with `url:`"));
            return None;
        }
    };
    let known: Vec<&str> = [URL].into_iter().chain(Parameter::keys()).collect();
    let (mut url, mut url_seen, mut beside) = (None, false, BTreeMap::new());
    for (key, place, node) in entries {
        if key == URL {
            if url_seen {
                problems.add(&place, format!("target {number}: {}", twice(URL)));
            }
            url = scalar(URL, node, problems).or(url);
            url_seen = true;
        } else if let Some(parameter) = Parameter::by_key(&key) {
            let given = scalar(&key, node, problems);
            if given.and_then(|given| beside.insert(parameter, given)).is_some() {
                problems.add(&place, format!("target {number}: {}", twice(&key)));
            }
        } else {
            problems.add(&place, format!("target {number}: {}", unknown_key(&key, &known)));
        }
    }
    if !url_seen {
        problems.add(&item.place, format!("target {number} has no `url`"));
    }
    url.map(|url| RawTarget { number, url, beside })
}

fn scalar(key: &str, node: Node, problems: &mut Problems) -> Option<Given> {
    match node.value {
        Value::Text(text) => Some(Given { place: node.place, text }),
        Value::Null => {
            problems.add(&node.place, format!("`{key}` has no value: give it one or leave the key out"));
            None
        }
        Value::List(_) | Value::Map(_) => {
            problems.add(&node.place, format!("`{key}` is {}, not a single value", node.value.noun()));
            None
        }
    }
}

fn twice(key: &str) -> String {
    format!("`{key}` is written twice")
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let meant = did_you_mean(key, known.iter().copied());
    let listed = if meant.is_empty() { format!("; known are {}", known.join(", ")) } else { meant };
    format!("unknown key {}{listed}", shown(key))
}
