//! What a PromQL expression asks for.

use crate::metrics::Labels;
use promql_parser::label::MatchOp;
use promql_parser::parser::{Expr, LabelModifier, VectorSelector, parse};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longest range over series that are there once per pod: at a thousand pods, a day of them is millions of samples.
const LONG: Duration = Duration::from_secs(3600);

/// The parts of an expression that name something.
#[derive(Debug, Default)]
struct Parts {
    /// Selectors, each with the range over which it is taken.
    selectors: Vec<(VectorSelector, Duration)>,
    /// Labels by which is aggregated or joined.
    labels: BTreeSet<String>,
}

/// What is wrong with an expression: metrics, labels and label values that do not exist, and ranges that cost too much.
pub fn problems(expr: &str, metrics: &BTreeMap<String, Labels>) -> Vec<String> {
    let mut parts = Parts::default();
    match parse(expr) {
        Ok(expr) => parts.gather(&expr),
        Err(error) => return vec![error],
    }
    let missing = parts.labels.iter().filter(|label| !metrics.values().any(|labels| labels.contains_key(*label)));
    let mut problems: Vec<_> = missing.map(|label| format!("no metric has a label {label}")).collect();
    for (selector, range) in &parts.selectors {
        let name = selector.name.as_deref().unwrap_or_default();
        match metrics.get(name) {
            None => problems.push(format!("there is no metric '{name}'")),
            Some(labels) => problems.extend(unmatched(selector, labels).map(|what| format!("{name} has no {what}"))),
        }
        if *range > LONG && !name.contains(':') {
            problems.push(format!("{name} is taken over {range:?}, but is not recorded without pods"));
        }
    }
    problems
}

/// Matchers that can match nothing.
fn unmatched<'a>(selector: &'a VectorSelector, labels: &'a Labels) -> impl Iterator<Item = String> + use<'a> {
    selector.matchers.matchers.iter().filter_map(|matcher| {
        let Some(values) = labels.get(&matcher.name) else {
            return Some(format!("label {}", matcher.name));
        };
        let asked: Vec<&str> = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
            MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
        };
        let unknown = asked.into_iter().find(|value| values.len() > 1 && !values.contains(*value))?;
        Some(format!("{}=\"{unknown}\"", matcher.name))
    })
}

impl Parts {
    fn gather(&mut self, expr: &Expr) {
        match expr {
            Expr::VectorSelector(selector) => self.selectors.push((selector.clone(), Duration::ZERO)),
            Expr::MatrixSelector(matrix) => self.selectors.push((matrix.vs.clone(), matrix.range)),
            Expr::Aggregate(aggregate) => {
                self.labels(aggregate.modifier.as_ref());
                self.gather(&aggregate.expr);
                aggregate.param.iter().for_each(|param| self.gather(param));
            }
            Expr::Binary(binary) => {
                if let Some(modifier) = &binary.modifier {
                    self.labels(modifier.matching.as_ref());
                    self.labels.extend(modifier.card.labels().iter().flat_map(|labels| labels.labels.iter().cloned()));
                }
                self.gather(&binary.lhs);
                self.gather(&binary.rhs);
            }
            Expr::Call(call) => call.args.args.iter().for_each(|arg| self.gather(arg)),
            Expr::Paren(paren) => self.gather(&paren.expr),
            Expr::Unary(unary) => self.gather(&unary.expr),
            Expr::Subquery(subquery) => self.gather(&subquery.expr),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
    }

    fn labels(&mut self, modifier: Option<&LabelModifier>) {
        self.labels.extend(modifier.iter().flat_map(|modifier| modifier.labels().labels.iter().cloned()));
    }
}
