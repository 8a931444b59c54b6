//! The rules and their promtool tests, as far as our checks read them.

use crate::{in_repository, read};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// A recording or an alerting rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name of the series that it records.
    pub record: Option<String>,
    /// Name of the alert.
    pub alert: Option<String>,
    /// What it evaluates.
    pub expr: String,
    /// How long it must hold before the alert fires.
    #[serde(rename = "for")]
    pub pending: Option<String>,
    /// How long the alert fires on.
    pub keep_firing_for: Option<String>,
    /// Labels that it adds.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What is told to people.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Rule {
    /// The name of what it records or alerts on.
    pub fn name(&self) -> &str {
        self.record.as_deref().or(self.alert.as_deref()).expect("a rule records or alerts")
    }
}

/// Every rule, in the order of the file.
pub fn rules() -> Vec<Rule> {
    let file: RuleFile = yaml("dashboards/rules/telltail.rules.yaml");
    file.groups.into_iter().flat_map(|group| group.rules).collect()
}

#[derive(Deserialize)]
struct TestFile {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    name: String,
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {}

/// What a test of an alert shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It fires.
    Fires,
    /// It does not, though something happens.
    Quiet,
    /// How far it is from one to the other.
    Boundary,
}

/// One promtool test of one alert. Its name in the file is `ALERT KIND: what`.
#[derive(Debug)]
pub struct Case {
    /// The alert that it is about.
    pub alert: String,
    /// What it shows.
    pub kind: Kind,
    /// In which situation.
    pub what: String,
    /// Checks of that alert that expect it to fire.
    pub firing: usize,
    /// Checks of that alert that expect silence.
    pub silent: usize,
}

/// Every promtool test.
pub fn cases() -> Vec<Case> {
    let folder = in_repository("dashboards/rules/tests");
    let entries = std::fs::read_dir(folder).expect("the tests are there");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("a file").file_name()).collect();
    names.sort();
    let files = names.iter().map(|name| yaml::<TestFile>(&format!("dashboards/rules/tests/{}", name.display())));
    files.flat_map(|file| file.tests).map(case).collect()
}

fn case(test: Test) -> Case {
    let parts = test.name.split_once(": ").and_then(|(head, what)| Some((head.split_once(' ')?, what)));
    let ((alert, kind), what) = parts.unwrap_or_else(|| panic!("'{}' is not 'ALERT KIND: what'", test.name));
    let kind = match kind {
        "fires" => Kind::Fires,
        "quiet" => Kind::Quiet,
        "boundary" => Kind::Boundary,
        _ => panic!("'{}': a case fires, is quiet or a boundary", test.name),
    };
    let checks = test.alert_rule_test.iter().filter(|check| check.alertname == alert);
    let (firing, silent): (Vec<_>, Vec<_>) = checks.partition(|check| !check.exp_alerts.is_empty());
    Case { alert: alert.to_owned(), kind, what: what.to_owned(), firing: firing.len(), silent: silent.len() }
}

fn yaml<T: DeserializeOwned>(path: &str) -> T {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
