//! The reference pages under `docs/` match the code. `UPDATE_GOLDEN=1 cargo test --test docs` regenerates them.

#[path = "support/golden.rs"]
mod golden;
#[path = "metrics/sample.rs"]
mod sample;

use golden::check;
use prometheus::proto::{MetricFamily, MetricType};
use serde_json::Value;
use std::fmt::Write;
use telltail::command_hint::CommandHint;
use telltail::diagnose::Check;
use telltail::doctor::AdvisoryCode;
use telltail::probe::postgres::sqlstate::{CLASSES, CODES, Meaning, Text};
use telltail::reason::{AppliesTo, Reason};

#[test]
fn docs_metrics_lists_every_family() {
    let pod = sample::everything();
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for family in pod.metrics.families(&pod.snapshot) {
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
fn docs_compatibility_lists_every_class_of_sqlstate() {
    let mut table = "| code | text | telltail says | sent by, or why |\n|---|---|---|---|\n".to_owned();
    for (code, text, meaning, source) in CODES {
        let text = match text {
            Text::Any => "any other".to_owned(),
            Text::Is(text) => format!("`{text}`"),
            Text::Begins(text) => format!("`{text}…`"),
            Text::Ends(text) => format!("`…{text}`"),
            Text::Contains(text) => format!("`…{text}…`"),
            Text::Routine(routine) => format!("from `{routine}`"),
        };
        writeln!(table, "| {code} | {text} | {} | {source} |", says(*meaning)).expect("a string grows");
    }
    for (class, name, meaning, source) in CLASSES {
        writeln!(table, "| {class}… | {name} | {} | {source} |", says(*meaning)).expect("a string grows");
    }
    check("docs/compatibility.md", &table);
}

fn says(meaning: Meaning) -> String {
    match meaning {
        Ok(detail) => format!("up, `{}`", detail.slug()),
        Err(reason) => format!("down, `{}`", reason.slug()),
    }
}

/// A section per code of the two closed lists.
#[test]
fn docs_troubleshooting_has_a_section_for_every_code() {
    let mut page = "## Reasons\n\n".to_owned();
    for reason in Reason::ALL {
        let (scope, applies) = (reason.scope().slug(), applies_to(reason.applies_to()));
        let facts =
            format!("Fault of the **{scope}** · fails the check `{}` · {applies}", Check::failed_by(*reason).slug());
        let command = command(reason.command_hint(), reason.applies_to());
        page += &section(reason.slug(), &facts, reason.sentence(), reason.next_step(), &command);
    }
    page += "## Advice\n\n";
    for code in AdvisoryCode::ALL {
        let facts = "No failure: it changes no exit code.";
        let command = command(code.command_hint(), AppliesTo::Any);
        page += &section(code.slug(), facts, code.sentence(), code.next_step(), &command);
    }
    check("docs/troubleshooting.md", page.trim_end());
}

fn section(slug: &str, facts: &str, sentence: &str, step: &str, command: &str) -> String {
    format!("### {slug}\n\n{facts}\n\n{sentence}\n\n{step}\n\n{command}\n\n")
}

fn command(hint: CommandHint, applies_to: AppliesTo) -> String {
    match hint {
        CommandHint::Sidecar(template) => format!("In the tailscale container: `{}`", filled(template)),
        CommandHint::Agent(template) => format!("In the telltail container: `/telltail {}`", filled(template)),
        CommandHint::Machine("{local_check}") => format!("On the target's machine: {}", local_check(applies_to)),
        CommandHint::Machine(template) => format!("On the target's machine: `{}`", filled(template)),
        CommandHint::Log => "The log of the tailscale container: `kubectl logs POD -c tailscale --tail=50`".to_owned(),
    }
}

/// The template with each placeholder in capitals.
fn filled(template: &str) -> String {
    ["name", "host", "fqdn", "address", "port", "url", "socket"]
        .iter()
        .fold(template.to_owned(), |line, name| line.replace(&format!("{{{name}}}"), &name.to_uppercase()))
}

fn local_check(applies_to: AppliesTo) -> &'static str {
    match applies_to {
        AppliesTo::Postgres => "`pg_isready -h localhost -p PORT`",
        AppliesTo::Valkey => "`valkey-cli -p PORT ping`",
        AppliesTo::NoTarget | AppliesTo::Any | AppliesTo::Protocol | AppliesTo::Socks => {
            "`pg_isready -h localhost -p PORT` or `valkey-cli -p PORT ping`"
        }
    }
}

/// Every link to a code has its section, and every code has one.
#[test]
fn the_codes_that_pages_name_are_there() {
    let codes: Vec<_> = Reason::ALL
        .iter()
        .map(|reason| reason.slug())
        .chain(AdvisoryCode::ALL.iter().map(|code| code.slug()))
        .collect();
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshooting.md")).expect("a page");
    for link in page.split("](#").skip(1).filter_map(|rest| rest.split_once(')')) {
        assert!(codes.contains(&link.0), "{} is no code", link.0);
    }
    for code in codes {
        assert!(page.contains(&format!("\n### {code}\n")), "{code}");
    }
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
    let mut table = format!("### {name}\n\n| field | | meaning |\n|---|---|---|\n");
    for (field, of) in object["properties"].as_object().expect("fields") {
        let description = of["description"].as_str().unwrap_or_default();
        writeln!(table, "| `{field}` | {} | {description} |", form(of)).expect("a string grows");
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

fn applies_to(applies_to: AppliesTo) -> &'static str {
    match applies_to {
        AppliesTo::NoTarget => "no target: its probe is aborted",
        AppliesTo::Any => "every target",
        AppliesTo::Protocol => "Postgres, Valkey",
        AppliesTo::Postgres => "Postgres with a user in the URL",
        AppliesTo::Valkey => "Valkey",
        AppliesTo::Socks => "targets with a SOCKS5 proxy",
    }
}
