//! What promtool does not see: that what the rules ask for exists, and that each alert has its tests, its runbook and its
//! row in docs/alerts.md.

use std::fmt::Write;
use telltail_watch::{Case, Kind, Rule, cases, in_repository, metrics, problems, read, rules};

const RUNBOOKS: &str = "https://github.com/stackeye/telltail/blob/main/docs/runbooks";

/// What a runbook has, in this order.
const HEADINGS: [&str; 6] = [
    "## What it means",
    "## What users notice",
    "## First command",
    "## Usual causes",
    "## Switch the cluster to `observe`",
    "## Silence it",
];

fn alerts() -> Vec<Rule> {
    rules().into_iter().filter(|rule| rule.alert.is_some()).collect()
}

#[test]
fn everything_that_a_rule_asks_for_exists() {
    let metrics = metrics();
    let all = rules();
    let found = all.iter().flat_map(|rule| problems(&rule.expr, &metrics).into_iter().map(|what| (rule.name(), what)));
    assert_eq!(found.collect::<Vec<_>>(), []);
}

#[test]
fn every_alert_says_how_bad_it_is_what_happened_and_where_to_go_on() {
    for alert in alerts() {
        let name = alert.name();
        let severity = alert.labels["severity"].as_str();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: severity {severity}");
        assert!(alert.pending.is_some(), "{name} does not wait");
        let annotation = |what: &str| alert.annotations.get(what).map(String::as_str).unwrap_or_default();
        assert!(
            annotation("summary").ends_with('.') && !annotation("summary").contains("{{"),
            "{name}: summary is not one sentence"
        );
        assert!(annotation("description").contains("{{ $labels."), "{name}: description does not say where");
        assert_eq!(annotation("runbook_url"), format!("{RUNBOOKS}/{name}.md"));
        assert!(annotation("dashboard_url").starts_with("/d/telltail-"), "{name}: dashboard_url");
    }
}

#[test]
fn every_alert_is_seen_to_fire_to_be_quiet_and_to_turn() {
    let (alerts, cases) = (alerts(), cases());
    let stray = cases.iter().find(|case| !alerts.iter().any(|alert| alert.name() == case.alert));
    assert!(stray.is_none(), "no such alert: {stray:?}");
    for case in &cases {
        let shown = match case.kind {
            Kind::Fires => case.firing > 0,
            Kind::Quiet => case.firing == 0 && case.silent > 0,
            Kind::Boundary => case.silent > 0,
        };
        assert!(shown, "the test does not show what its name says: {case:?}");
    }
    for alert in &alerts {
        let of = |kind| cases.iter().filter(move |case| case.alert == alert.name() && case.kind == kind);
        assert!(of(Kind::Fires).count() > 0, "nothing makes {} fire", alert.name());
        assert!(of(Kind::Quiet).count() > 0, "nothing leaves {} quiet", alert.name());
        assert!(of(Kind::Boundary).any(|case| case.firing > 0), "{} has no boundary", alert.name());
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = alerts();
    for alert in &alerts {
        let path = format!("docs/runbooks/{}.md", alert.name());
        let text = read(&path);
        assert!(text.starts_with(&format!("# {}\n", alert.name())), "{path}: title");
        let headings: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, HEADINGS, "{path}");
        let silence = format!("amtool silence add alertname={}", alert.name());
        assert!(text.contains(&silence), "{path}: how to silence it");
        assert!(text.contains("(../deploy.md#kill-switch)"), "{path}: where the switch is");
    }
    for entry in std::fs::read_dir(in_repository("docs/runbooks")).expect("runbooks") {
        let name = entry.expect("a file").file_name().display().to_string();
        let of = |alert: &Rule| name == format!("{}.md", alert.name());
        assert!(!name.starts_with("Telltail") || alerts.iter().any(of), "{name}: there is no such alert");
    }
}

/// `UPDATE_GOLDEN=1 cargo test -p telltail-watch --test rules` writes the table anew.
#[test]
fn docs_alerts_lists_every_alert() {
    let (path, begin, end) = ("docs/alerts.md", "<!-- generated: begin -->\n", "<!-- generated: end -->\n");
    let page = read(path);
    let (before, rest) = page.split_once(begin).expect("a mark where the generated part begins");
    let (_, after) = rest.split_once(end).expect("a mark where the generated part ends");
    let now = format!("{before}{begin}\n{}\n{end}{after}", table());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(in_repository(path), &now).expect("the page can be written");
    }
    assert_eq!(read(path), now, "{path} is not what the rules say: run this test with UPDATE_GOLDEN=1");
}

fn table() -> String {
    let mut table = "| alert | severity | after | fires when | does not fire when | threshold |\n".to_owned();
    table.push_str("|---|---|---|---|---|---|\n");
    let cases = cases();
    for alert in alerts() {
        let name = alert.name();
        let (severity, after) = (&alert.labels["severity"], alert.pending.as_deref().unwrap_or_default());
        let summary = alert.annotations["summary"].trim_end_matches('.');
        let [fires, quiet, boundary] = [Kind::Fires, Kind::Quiet, Kind::Boundary].map(|kind| what(&cases, name, kind));
        let row = format!("**{summary}**: {fires} | {quiet} | {boundary}");
        writeln!(table, "| [{name}](runbooks/{name}.md) | {severity} | {after} | {row} |").expect("a string grows");
    }
    table
}

fn what(cases: &[Case], alert: &str, kind: Kind) -> String {
    let of = cases.iter().filter(|case| case.alert == alert && case.kind == kind);
    of.map(|case| case.what.as_str()).collect::<Vec<_>>().join("; ")
}
