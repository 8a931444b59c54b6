//! Queries and variables: that they parse, ask for what exists, rate what counts, and show a bounded number of series.

use std::{collections::BTreeMap, time::Duration};

use promql_parser::parser::{Expr, LabelModifier, VectorSelector, parse, token};
use telltail_watch::{
    Labels,
    dashboard::{Dashboard, Query, text},
    grafana::{View, label_values},
    problems as unknown, read,
};

use crate::links::strings;

const BUILTIN: [&str; 6] = ["__rate_interval", "__range", "__url_time_range", "__data", "__value", "__field"];
const SCRAPE: Duration = Duration::from_secs(15);

pub fn problems(board: &Dashboard, metrics: &BTreeMap<String, Labels>) -> Vec<String> {
    let counters = counters();
    let of_query = |query: &Query| {
        let found = query_problems(query, metrics, &counters);
        found.into_iter().map(|what| format!("'{}' {}: {what}", query.panel, query.reference)).collect::<Vec<_>>()
    };
    let mut problems: Vec<_> = board.queries().iter().flat_map(of_query).collect();
    problems.extend(variables(board, metrics));
    let labels = |name: &str| metrics.values().any(|labels| labels.contains_key(name)) || name == "alertname";
    for legend in board.panels().flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
        let legend = text(&legend["legendFormat"]);
        let named = legend.split("{{").skip(1).filter_map(|part| part.split("}}").next());
        problems.extend(named.filter(|name| !labels(name)).map(|name| format!("legend: no metric has a label {name}")));
    }
    problems
}

/// Any range will do that is no longer than an hour: what is asked for over longer ones is written as such.
fn view() -> View {
    View::all(Duration::from_secs(3600), SCRAPE).with("target", "stackeye-db-prd")
}

fn query_problems(query: &Query, metrics: &BTreeMap<String, Labels>, counters: &[String]) -> Vec<String> {
    let expr = view().expand(&query.expr, query.points);
    let mut problems = unknown(&expr, metrics);
    if let Ok(parsed) = parse(&expr) {
        uncounted(&parsed, false, counters, &mut problems);
        if per_pod(&parsed) {
            problems.push("a series for each pod".to_owned());
        }
    }
    problems
}

/// Counters that are shown as they are, and those over a window of their own.
fn uncounted(expr: &Expr, rated: bool, counters: &[String], problems: &mut Vec<String>) {
    let counter = |selector: &VectorSelector| selector.name.clone().filter(|name| counters.contains(name));
    let windows = [4 * SCRAPE, view().range];
    match expr {
        Expr::VectorSelector(selector) => {
            problems.extend(counter(selector).map(|name| format!("counter {name} is not under rate or increase")));
        }
        Expr::MatrixSelector(matrix) => {
            let name = counter(&matrix.vs).filter(|_| !rated || !windows.contains(&matrix.range));
            problems.extend(name.map(|name| format!("counter {name} is not over $__rate_interval or $__range")));
        }
        Expr::Call(call) => {
            let rated = ["rate", "increase"].contains(&call.func.name);
            call.args.args.iter().for_each(|arg| uncounted(arg, rated, counters, problems));
        }
        Expr::Aggregate(aggregate) => uncounted(&aggregate.expr, rated, counters, problems),
        Expr::Paren(paren) => uncounted(&paren.expr, rated, counters, problems),
        Expr::Unary(unary) => uncounted(&unary.expr, rated, counters, problems),
        Expr::Subquery(subquery) => uncounted(&subquery.expr, rated, counters, problems),
        Expr::Binary(binary) => {
            uncounted(&binary.lhs, rated, counters, problems);
            uncounted(&binary.rhs, rated, counters, problems);
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

/// Whether the result grows with the number of pods.
fn per_pod(expr: &Expr) -> bool {
    let of_pods = |selector: &VectorSelector| {
        // What is recorded has no pod, and what asks for one pod has one.
        let recorded = selector.name.as_deref().unwrap_or_default().contains(':');
        let one =
            selector.matchers.matchers.iter().any(|matcher| matcher.name == "pod" && matcher.op.to_string() == "=");
        !recorded && !one
    };
    match expr {
        Expr::VectorSelector(selector) => of_pods(selector),
        Expr::MatrixSelector(matrix) => of_pods(&matrix.vs),
        Expr::Aggregate(aggregate) => {
            let bounded = [token::T_TOPK, token::T_BOTTOMK].contains(&aggregate.op.id());
            let kept = match &aggregate.modifier {
                Some(LabelModifier::Include(labels)) => {
                    labels.labels.iter().any(|label| ["pod", "instance"].contains(&label.as_str()))
                }
                Some(LabelModifier::Exclude(_)) => true,
                None => false,
            };
            !bounded && kept && per_pod(&aggregate.expr)
        }
        // The side that keeps its labels would do, but one that is joined is no reason to show many.
        Expr::Binary(binary) => per_pod(&binary.lhs) || per_pod(&binary.rhs),
        Expr::Call(call) => call.args.args.iter().any(|arg| per_pod(arg)),
        Expr::Paren(paren) => per_pod(&paren.expr),
        Expr::Unary(unary) => per_pod(&unary.expr),
        Expr::Subquery(subquery) => per_pod(&subquery.expr),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => false,
    }
}

fn counters() -> Vec<String> {
    let page = read("tests/metrics.prom");
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = types.flat_map(|(name, kind)| match kind {
        "counter" => vec![name.to_owned()],
        "histogram" => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).to_vec(),
        _ => vec![],
    });
    names.collect()
}

fn variables(board: &Dashboard, metrics: &BTreeMap<String, Labels>) -> Vec<String> {
    let mut problems = Vec::new();
    let list: Vec<_> = board.list("/templating/list").collect();
    let names: Vec<_> = list.iter().map(|variable| text(&variable["name"])).collect();
    if list.first().is_none_or(|first| first["type"] != "datasource" || first["name"] != "datasource") {
        problems.push("the first variable is not the data source".to_owned());
    }
    for (name, query) in board.variables() {
        match label_values(query) {
            Some((selector, _)) => problems.extend(unknown(&view().expand(selector, 1), metrics)),
            None => problems.push(format!("${name} does not ask for label_values")),
        }
    }
    // With each change of the time range: what is gone is not offered.
    let stale = list.iter().filter(|variable| variable["type"] == "query" && variable["refresh"] != 2);
    problems.extend(stale.map(|variable| format!("refresh of ${} is not 2", text(&variable["name"]))));
    let used: Vec<_> = strings(&board.json).into_iter().flat_map(named).collect();
    let unused = names.iter().filter(|name| !used.contains(name));
    problems.extend(unused.map(|name| format!("${name} is not used")));
    let undefined = used.iter().filter(|name| !names.contains(name) && !BUILTIN.contains(name));
    problems.extend(undefined.map(|name| format!("${name} is not defined")));
    problems
}

/// The variables that a text names. `$__all` is what Grafana calls the choice of all of them.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let names = text.split('$').skip(1).map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
    });
    names.filter(|name| !name.is_empty() && *name != "__all")
}
