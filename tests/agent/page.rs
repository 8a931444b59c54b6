//! A metrics page, read as strictly as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a series, by name.
type Labels = BTreeMap<String, String>;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Page {
    series: Vec<(String, Labels, f64)>,
}

impl Page {
    /// Reads the text format 0.0.4; a line that is not in it is a failure.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with("# HELP ") && !line.starts_with("# TYPE "));
        Self { series: lines.map(series).collect() }
    }

    /// The value of the one series of this name that has these labels; 0 if there is none.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).map_or(0.0, |(_, value)| value)
    }

    /// Is a series there, and 1?
    pub fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.find(name, labels).is_some_and(|(_, value)| value == 1.0)
    }

    /// A label of the one series of this name that has these labels.
    pub fn label(&self, name: &str, labels: &[(&str, &str)], label: &str) -> Option<String> {
        self.find(name, labels).and_then(|(found, _)| found.get(label).cloned())
    }

    /// The sum over all series of this name that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|(_, value)| value).sum()
    }

    /// The labels of all series of this name that are not 0, for messages.
    pub fn nonzero(&self, name: &str) -> String {
        let some: Vec<_> = self.matching(name, &[]).filter(|(_, value)| *value != 0.0).collect();
        format!("{some:?}")
    }

    /// Every series without its value, but for the families that the contract calls absent at times.
    pub fn names(&self) -> BTreeSet<String> {
        const COMING_AND_GOING: [&str; 14] = [
            "telltail_target_failing_info",
            "telltail_http_requests_total",
            "telltail_startup_gate_release_info",
            "telltail_probe_last_timestamp_seconds",
            "telltail_probe_last_success_timestamp_seconds",
            "telltail_node_online",
            "telltail_node_info",
            "telltail_node_derp_info",
            "telltail_node_health_warning",
            "telltail_node_key_expiry_timestamp_seconds",
            "telltail_path_derp_info",
            "telltail_path_rtt_seconds",
            "telltail_peer_key_expiry_timestamp_seconds",
            "telltail_target_info",
        ];
        let lasting = self.series.iter().filter(|(name, ..)| !COMING_AND_GOING.contains(&name.as_str()));
        lasting.map(|(name, labels, _)| format!("{name}{labels:?}")).collect()
    }

    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<(&Labels, f64)> {
        let mut found = self.matching(name, labels);
        let first = found.next();
        assert!(found.next().is_none(), "{name}{labels:?} is more than one series");
        first
    }

    fn matching<'a>(&'a self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = (&'a Labels, f64)> {
        self.series
            .iter()
            .filter(move |(found, has, _)| {
                found == name && labels.iter().all(|(label, value)| has.get(*label).is_some_and(|has| has == value))
            })
            .map(|(_, has, value)| (has, *value))
    }
}

fn series(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line:?}"));
    let (name, mut rest) = line.split_at(end);
    assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line:?}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line:?}"));
            let (value, behind) = quoted(behind).unwrap_or_else(|| panic!("no end of a label: {line:?}"));
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} is there twice: {line:?}");
            rest = behind.strip_prefix(',').unwrap_or(behind);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').and_then(|value| value.parse().ok());
    (name.to_owned(), labels, value.unwrap_or_else(|| panic!("no value: {line:?}")))
}

/// A label's value up to its quotation mark, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            (_, other) => value.push(other),
        }
    }
}
