//! Links and variables: that what is named is there.

use serde_json::Value;
use telltail_watch::{
    dashboard::{Dashboard, text},
    in_repository,
};

const OURS: &str = "https://github.com/stackeye/telltail/";

/// `boards` are those that may be linked to.
pub fn problems(board: &Dashboard, boards: &[Dashboard]) -> Vec<String> {
    let mut problems = Vec::new();
    for url in strings(&board.json).into_iter().filter(|text| text.contains("://") || text.starts_with("/d/")) {
        problems.extend(if url.contains("://") { absolute(url) } else { dashboard(url, boards) });
    }
    problems
}

/// Only our own documents are linked by their address.
fn absolute(url: &str) -> Option<String> {
    let Some(path) = url.strip_prefix(OURS) else { return Some(format!("absolute URL {url}")) };
    let path = path.strip_prefix("blob/main/").or_else(|| path.strip_prefix("tree/main/")).unwrap_or(path);
    // The name of an alert is filled in by Grafana; that each has its runbook is a test of the rules.
    let path = path.split(['#', '$']).next().unwrap_or(path);
    (!in_repository(path).exists()).then(|| format!("{path} does not exist"))
}

fn dashboard(url: &str, boards: &[Dashboard]) -> Option<String> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let uid = path.strip_prefix("/d/").unwrap_or_default();
    let Some(board) = boards.iter().find(|board| board.name == uid) else { return Some(format!("no dashboard {uid}")) };
    let known: Vec<_> = board.list("/templating/list").map(|variable| text(&variable["name"])).collect();
    let named = query.split('&').filter_map(|part| part.strip_prefix("var-")?.split('=').next());
    named.into_iter().find(|name| !known.contains(name)).map(|name| format!("{uid} has no variable {name}"))
}

/// Every text in a document.
pub fn strings(json: &Value) -> Vec<&str> {
    match json {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
