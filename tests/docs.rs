//! The reference pages under `docs/` say what the code says. `UPDATE_GOLDEN=1 cargo test --test docs` writes them anew.

#[path = "metrics/sample.rs"]
mod sample;

use prometheus::proto::{MetricFamily, MetricType};
use serde_json::Value;
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

#[test]
fn docs_status_lists_every_field() {
    let schema: Value = serde_json::from_str(include_str!("../docs/status.schema.json")).expect("JSON");
    let mut tables = fields("document", &schema);
    for (name, part) in schema["$defs"].as_object().expect("definitions") {
        if part["properties"].is_object() {
            tables += &fields(name, part);
        }
    }
    check("docs/status.md", tables.trim_end());
}

fn fields(name: &str, object: &Value) -> String {
    let mut table = format!("### {name}\n\n| field | | says |\n|---|---|---|\n");
    for (field, of) in object["properties"].as_object().expect("fields") {
        let says = of["description"].as_str().unwrap_or_default();
        writeln!(table, "| `{field}` | {} | {says} |", form(of)).expect("a string grows");
    }
    table + "\n"
}

/// What a field may be, in words.
fn form(of: &Value) -> String {
    if let Some(words) = of["enum"].as_array() {
        return words.iter().map(|word| word.as_str().unwrap_or("null")).collect::<Vec<_>>().join(", ");
    }
    if let Some(part) = of["$ref"].as_str().and_then(|part| part.strip_prefix("#/$defs/")) {
        return part.to_owned();
    }
    match (&of["type"], &of["anyOf"], &of["const"]) {
        (Value::String(word), ..) if word == "array" => format!("list of {}", form(&of["items"])),
        (Value::String(word), ..) => word.clone(),
        (Value::Array(words), ..) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        (_, Value::Array(forms), _) => forms.iter().map(form).collect::<Vec<_>>().join(" or "),
        (.., constant) => constant.to_string(),
    }
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
