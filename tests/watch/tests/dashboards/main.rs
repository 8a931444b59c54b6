//! The dashboards are what Grafana and its users expect: a lint of our own, after the rules of grafana/dashboard-linter.

mod layout;
mod links;
mod promql;

use std::{collections::BTreeMap, process::Command};

use serde_json::{Value, json};
use telltail_watch::{
    Labels,
    dashboard::{Dashboard, text},
    in_repository, metrics,
};

/// Everything that is wrong with a dashboard.
fn problems(board: &Dashboard, boards: &[Dashboard], metrics: &BTreeMap<String, Labels>) -> Vec<String> {
    let found =
        [head(board), layout::problems(board), promql::problems(board, metrics), links::problems(board, boards)];
    found.into_iter().flatten().map(|problem| format!("{}: {problem}", board.name)).collect()
}

fn head(board: &Dashboard) -> Vec<String> {
    let wanted = [
        ("uid", json!(board.name)),
        ("schemaVersion", json!(42)),
        ("editable", json!(false)),
        ("id", Value::Null),       // Grafana's own, and
        ("version", Value::Null),  // counted by it
        ("__inputs", Value::Null), // of exports: provisioning does not fill them in
        ("tags", json!(["telltail"])),
    ];
    let wrong = wanted.iter().filter(|(key, value)| board.json[key] != *value);
    let mut problems: Vec<_> = wrong.map(|(key, value)| format!("{key} is not {value}")).collect();
    for key in ["title", "description"] {
        if text(&board.json[key]).is_empty() {
            problems.push(format!("no {key}"));
        }
    }
    problems
}

#[test]
fn the_dashboards_have_no_fault() {
    let (boards, metrics) = (Dashboard::all(), metrics());
    let names: Vec<_> = boards.iter().map(|board| board.name.as_str()).collect();
    assert_eq!(names, ["telltail-fleet", "telltail-pod", "telltail-target"]);
    let found: Vec<_> = boards.iter().flat_map(|board| problems(board, &boards, &metrics)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A fault for each thing that the lint looks at, and what it says of it: `1` is the first panel below the first row.
#[test]
fn every_fault_is_seen() {
    let (boards, metrics) = (Dashboard::all(), metrics());
    let expr = "/panels/1/targets/0/expr";
    let faults = [
        ("/uid", json!("fleet"), "uid is not"),
        ("/schemaVersion", json!(39), "schemaVersion is not 42"),
        ("/__inputs", json!([]), "__inputs is not null"),
        ("/panels/1/title", json!(""), "no title"),
        ("/panels/1/title", json!("Pods watched"), "two panels are called"),
        ("/panels/1/description", json!("Something"), "description"),
        ("/panels/1/datasource", json!({"type": "prometheus", "uid": "abc"}), "data source"),
        ("/panels/1/fieldConfig/defaults/unit", Value::Null, "no unit"),
        ("/panels/1/fieldConfig/defaults/noValue", Value::Null, "does not say what no data means"),
        ("/panels/1/fieldConfig/defaults/thresholds", Value::Null, "no thresholds"),
        ("/panels/1/targets", json!([]), "no queries"),
        ("/panels/1/id", json!(3), "two panels have the id 3"),
        ("/panels/1/gridPos/w", json!(25), "beyond the grid"),
        ("/panels/1/gridPos/w", json!(5), "overlap"),
        ("/panels/9/fieldConfig/overrides/0/matcher/options", json!("share"), "there is no column share"),
        ("/panels/9/targets/1/refId", json!("C"), "no query fills the column Value #B"),
        (expr, json!(""), "no query"),
        (expr, json!("sum(up"), "A:"),
        (expr, json!("sum(telltail_redy)"), "no metric 'telltail_redy'"),
        (expr, json!("sum by (planet) (telltail_ready)"), "label planet"),
        (expr, json!(r#"sum(telltail_path{path="carrier_pigeon"})"#), r#"path="carrier_pigeon""#),
        (expr, json!("sum(telltail_probes_total)"), "counter telltail_probes_total is not under rate"),
        (expr, json!("sum(rate(telltail_probes_total[5m]))"), "not over $__rate_interval"),
        (expr, json!("telltail_ready"), "a series for each pod"),
        (
            expr,
            json!("topk(5, sum by (cluster) (telltail_ready)) * on (pod) group_left () telltail_ready"),
            "a series for each pod",
        ),
        (expr, json!(r#"sum(telltail_ready{pod="$nobody"})"#), "$nobody is not defined"),
        ("/panels/1/targets/0/legendFormat", json!("{{planet}}"), "legend"),
        ("/templating/list/1/query/query", json!("query_result(up)"), "label_values"),
        ("/templating/list/1/query/query", json!("label_values(telltail_nothing, cluster)"), "no metric"),
        ("/templating/list/1/refresh", json!(1), "refresh"),
        ("/templating/list/1/name", json!("klaster"), "$klaster is not used"),
        ("/links/1/url", json!("https://example.com/"), "absolute URL"),
        ("/links/1/url", json!("https://github.com/stackeye/telltail/blob/main/docs/nothing.md"), "does not exist"),
        ("/links/1/url", json!("/d/telltail-nothing"), "no dashboard"),
        ("/links/1/url", json!("/d/telltail-pod?var-planet=earth"), "no variable planet"),
    ];
    // The first panels are enough: parsing takes its time.
    let mut small = boards[0].clone();
    small.json["panels"].as_array_mut().expect("panels").truncate(10);
    assert!(problems(&small, &boards, &metrics).is_empty());
    for (place, value, expected) in faults {
        let mut board = small.clone();
        set(&mut board.json, place, value.clone());
        let found = problems(&board, &boards, &metrics);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{place} = {value}: {found:?}");
    }
}

fn set(json: &mut Value, place: &str, value: Value) {
    let (parent, key) = place.rsplit_once('/').expect("a pointer");
    let parent = json.pointer_mut(parent).expect("the place is there");
    match key.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[key] = value,
    }
}

/// The types are Grafana's own, from npm: see `tests/watch/schema/check`.
#[test]
fn the_dashboards_follow_grafanas_schema() {
    let check = Command::new(in_repository("tests/watch/schema/check")).output().expect("the check can be run");
    let output = [check.stdout, check.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(check.status.success(), "{output}");
}
