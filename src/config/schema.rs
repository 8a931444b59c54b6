//! What may be written: the settings, their names in file and environment, and what was found, as text with places.
//!
//! Nothing is judged here but the shape; [`super::validate`] knows what the words mean.

use super::problem::{Place, Problems, did_you_mean, shown};
use super::yaml::{Node, Value};
use std::collections::BTreeMap;

/// Targets beyond this are refused: a pod that needs more is not probing its own services.
pub const MAX_TARGETS: usize = 64;

macro_rules! keys {
    ($(#[$doc:meta])* $enum:ident { $($(#[$inner:meta])* $variant:ident $key:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $enum { $($(#[$inner])* $variant,)* }

        impl $enum {
            /// Every one, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The key in the file.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)* }
            }

            /// The one with this key.
            pub fn by_key(key: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.key() == key)
            }

            /// Every key.
            pub fn keys() -> impl Iterator<Item = &'static str> {
                Self::ALL.iter().map(|one| one.key())
            }
        }
    };
}

keys! {
    /// A setting that has one value: a key of the file, and a variable.
    Setting {
        /// tailscaled's socket.
        Socket "socket",
        /// Where the HTTP face listens.
        Listen "listen",
        /// Default of the targets' interval.
        Interval "interval",
        /// Default of the targets' timeout.
        Timeout "timeout",
        /// Successes that bring a target up.
        Rise "rise",
        /// Failures that take a target down.
        Fall "fall",
        /// Readiness mode.
        Readiness "readiness",
        /// What `/startupz` waits for.
        StartupGate "startup_gate",
        /// When `/startupz` opens in any case.
        StartupRelease "startup_release",
        /// Time after SIGTERM.
        Drain "drain",
        /// Default of the targets' way.
        Via "via",
        /// Log levels.
        Log "log",
        /// JSON or text.
        LogFormat "log_format",
    }
}

keys! {
    /// A setting of one target: a parameter of its URL, and a key beside `url` in the file.
    Parameter {
        /// The name in labels, paths and logs.
        Name "name",
        /// Does readiness depend on it?
        Required "required",
        /// Time from probe to probe.
        Interval "interval",
        /// Longest time for a probe.
        Timeout "timeout",
        /// Way of the connect stage.
        Via "via",
        /// How far a probe goes.
        Depth "depth",
        /// Paths that are as they should be.
        Expect "expect",
    }
}

impl Setting {
    /// The variable of the environment.
    pub fn variable(self) -> String {
        format!("TELLTAIL_{}", self.key().to_ascii_uppercase())
    }
}

/// The key of the list of targets.
pub const TARGETS: &str = "targets";
/// The variable of the list of targets.
pub const TARGETS_VARIABLE: &str = "TELLTAIL_TARGETS";
/// The key of a target's URL.
pub const URL: &str = "url";

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
            if raw.settings.contains_key(&setting) {
                problems.add(&place, twice(&key));
            } else if let Some(given) = given {
                raw.settings.insert(setting, given);
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
            if beside.contains_key(&parameter) {
                problems.add(&place, format!("target {number}: {}", twice(&key)));
            } else if let Some(given) = scalar(&key, node, problems) {
                beside.insert(parameter, given);
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
