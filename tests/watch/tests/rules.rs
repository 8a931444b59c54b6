//! What promtool does not check of the rules: that what they ask for exists, and that each alert has its tests, its
//! runbook and its row in docs/alerts.md.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{AtModifier, Expr, LabelModifier, VectorSelector, parse};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;
use telltail_watch::{Case, Kind, Page, Rule, cases, in_repository, read, rules};

/// Labels that the scrape adds.
const SCRAPE: [&str; 6] = ["cluster", "environment", "namespace", "pod", "job", "instance"];

/// What telltail does not export: Prometheus' own, and kube-state-metrics'.
const FOREIGN: [(&str, &[&str]); 5] = [
    ("up", &[]),
    ("kube_pod_init_container_info", &["container"]),
    ("kube_pod_init_container_status_restarts_total", &["container"]),
    ("kube_pod_init_container_status_waiting_reason", &["container", "reason"]),
    ("kube_pod_status_phase", &["phase"]),
];

/// Longest range over series that have a pod label.
const LONG_RANGE: Duration = Duration::from_secs(3600);

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

/// A selector of an expression, and the range over which it is taken.
struct Selected<'a> {
    selector: &'a VectorSelector,
    range: Duration,
}

/// Every selector in `expr`; `labels` gathers the names by which it aggregates and joins.
fn walk<'a>(expr: &'a Expr, selected: &mut Vec<Selected<'a>>, labels: &mut BTreeSet<String>) {
    match expr {
        Expr::VectorSelector(selector) => selected.push(Selected { selector, range: Duration::ZERO }),
        Expr::MatrixSelector(matrix) => selected.push(Selected { selector: &matrix.vs, range: matrix.range }),
        Expr::Aggregate(aggregate) => {
            labels.extend(aggregate.modifier.iter().flat_map(names));
            walk(&aggregate.expr, selected, labels);
            aggregate.param.iter().for_each(|param| walk(param, selected, labels));
        }
        Expr::Binary(binary) => {
            for modifier in &binary.modifier {
                labels.extend(modifier.matching.iter().flat_map(names));
                labels.extend(modifier.card.labels().into_iter().flat_map(|labels| labels.labels.clone()));
            }
            walk(&binary.lhs, selected, labels);
            walk(&binary.rhs, selected, labels);
        }
        Expr::Call(call) => call.args.args.iter().for_each(|arg| walk(arg, selected, labels)),
        Expr::Paren(paren) => walk(&paren.expr, selected, labels),
        Expr::Unary(unary) => walk(&unary.expr, selected, labels),
        Expr::Subquery(_) | Expr::Extension(_) => panic!("no rule of ours has a subquery"),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
    }
}

fn names(modifier: &LabelModifier) -> Vec<String> {
    match modifier {
        LabelModifier::Include(labels) | LabelModifier::Exclude(labels) => labels.labels.clone(),
    }
}

/// Labels of a recorded series: those by which its name says that it is aggregated, or all that may be there.
fn known(page: &Page, metric: &str, matcher: &Matcher) -> Result<(), String> {
    let label = matcher.name.as_str();
    if SCRAPE.contains(&label) {
        return Ok(());
    }
    if let Some((_, labels)) = FOREIGN.iter().find(|(name, _)| *name == metric) {
        return if labels.contains(&label) { Ok(()) } else { Err(format!("{metric} has no label {label}")) };
    }
    let labels = page.labels(metric).ok_or_else(|| format!("there is no metric {metric}"))?;
    let values = labels.get(label).ok_or_else(|| format!("{metric} has no label {label}"))?;
    let asked: Vec<&str> = match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
        MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
    };
    // A label with one value on the page has others elsewhere.
    let unknown = asked.iter().find(|value| values.len() > 1 && !values.contains(**value));
    unknown.map_or(Ok(()), |value| Err(format!("{metric} has no {label}=\"{value}\"")))
}
