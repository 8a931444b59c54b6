//! The reference pages under `docs/` say what the code says. `UPDATE_GOLDEN=1 cargo test --test docs` writes them anew.

#[path = "metrics/sample.rs"]
mod sample;

use prometheus::proto::{MetricFamily, MetricType};
use std::fmt::Write;
use telltail::reason::{Reason, Speaker};

const BEGIN: &str = "<!-- generated: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

/// Holds the generated part of a page against what was generated now.
fn check(path: &str, generated: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let page = std::fs::read_to_string(file).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("a mark where the generated part begins");
    let (_, after) = rest.split_once(END).expect("a mark where the generated part ends");
    sample::golden(path, &format!("{before}{BEGIN}\n{generated}\n{END}{after}"));
}

#[test]
fn docs_metrics_lists_every_family() {
    let (registry, metrics, snapshot) = sample::everything();
    metrics.render(&snapshot);
    let mut table = "| metric | type | labels | says |\n|---|---|---|---|\n".to_owned();
    for family in registry.gather() {
        let (name, help) = (family.name(), family.help());
        writeln!(table, "| `{name}` | {} | {} | {help} |", kind(&family), labels(&family)).expect("a string grows");
    }
    check("docs/metrics.md", &table);
}

fn kind(family: &MetricFamily) -> &'static str {
    match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY | MetricType::UNTYPED => panic!("{} has a type that telltail does not use", family.name()),
    }
}

fn labels(family: &MetricFamily) -> String {
    let names: Vec<_> = family.get_metric()[0].get_label().iter().map(|pair| pair.name()).collect();
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}

#[test]
fn docs_reasons_lists_every_reason() {
    let mut table = "| reason | scope | applies to | what happened | what to do |\n|---|---|---|---|---|\n".to_owned();
    for reason in Reason::ALL {
        let (slug, applies) = (reason.slug(), applies_to(reason.speaker()));
        let (scope, sentence, next) = (reason.scope().slug(), reason.sentence(), reason.next_step());
        writeln!(table, "| `{slug}` | {scope} | {applies} | {sentence} | {next} |").expect("a string grows");
    }
    check("docs/reasons.md", &table);
}

fn applies_to(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Any => "every target",
        Speaker::Protocol => "Postgres, Valkey",
        Speaker::Postgres => "Postgres with a user in the URL",
        Speaker::Valkey => "Valkey",
        Speaker::Socks => "targets with a SOCKS5 proxy",
    }
}
