//! The status document as a table.

use crate::document::{Document, FailureJson, NodeJson, StagesJson, TargetJson, TransitionJson, elapsed, words};
use crate::health::NODE_CHECK;
use std::fmt::Write;

/// Colours, where they are wanted. They repeat what the words say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    fn state(self, text: &str, state: &str) -> String {
        let code = match state {
            "up" => 32,
            "down" => 31,
            _ => 33,
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Changes that are shown; the page and the JSON have all.
const CHANGES: usize = 8;

/// The document for a person at a terminal.
pub(super) fn of(document: &Document, paint: Paint) -> String {
    let now = document.at.as_str();
    let mut text = paint.state(&document.verdict, if document.ready { "up" } else { "down" });
    text += &format!("\nmode {}, {}\n\n", document.readiness.mode, document.at);
    let mut rows = vec![["", "STATE", "FOR", "PATH", "RTT", "CONNECT", "PROTOCOL", "LAST"].map(str::to_owned).to_vec()];
    rows.push(node_row(&document.node, now));
    rows.extend(document.targets.iter().map(|target| target_row(target, now)));
    let states = std::iter::once("").chain([&*document.node.state]);
    let states: Vec<_> = states.chain(document.targets.iter().map(|target| &*target.state)).collect();
    text += &aligned(&rows, &states, paint);
    for (name, failure) in failures(document) {
        text += &explained(name, failure);
    }
    let untested = document.targets.iter().filter(|target| target.worker_way_untested);
    let untested: Vec<_> = untested.map(|target| target.name.as_str()).collect();
    if !untested.is_empty() {
        let names = untested.join(", ");
        text += &format!("\nnote: the worker's own way to {names} is not tested until via= names its SOCKS5 proxy\n");
    }
    text + &changes(document, paint)
}

fn node_row(node: &NodeJson, now: &str) -> Vec<String> {
    let last = node.mode.as_ref().map_or_else(String::new, |mode| format!(", {mode}"));
    let cells = [
        NODE_CHECK,
        &node.state,
        &words(elapsed(&node.since, now)),
        "",
        "",
        "",
        "",
        &format!("{}{last}", node.tailscaled),
    ];
    cells.map(str::to_owned).to_vec()
}

fn target_row(target: &TargetJson, now: &str) -> Vec<String> {
    let region = target.path.region.as_ref().map_or_else(String::new, |region| format!(" ({})", region.code));
    let unexpected = if target.path.unexpected { "!" } else { "" };
    let stages = target.last_probe.as_ref().map(|probe| probe.stages);
    let stage = |of: fn(StagesJson) -> Option<f64>| milliseconds(stages.and_then(of));
    let detail = target.last_probe.as_ref().and_then(|probe| probe.detail.clone());
    let last = match &target.failure {
        Some(failure) => format!("{} (scope {})", failure.reason, failure.scope),
        None => detail.unwrap_or_else(|| "not probed yet".into()).into_owned(),
    };
    vec![
        if target.required { target.name.clone() } else { format!("{} (optional)", target.name) },
        target.state.to_string(),
        words(elapsed(&target.since, now)),
        format!("{}{region}{unexpected}", target.path.kind),
        milliseconds(target.path.rtt_ms),
        stage(|stages| stages.connect_ms),
        stage(|stages| stages.protocol_ms),
        last,
    ]
}

/// Columns as wide as their widest cell; the second one in the colour of its state.
fn aligned(rows: &[Vec<String>], states: &[&str], paint: Paint) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (row, state) in rows.iter().zip(states) {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let cell = format!("{cell:<width$}");
            if column == 1 && !state.is_empty() { paint.state(&cell, state) } else { cell }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// What is broken; of targets that only share the node's fault nothing.
fn failures(document: &Document) -> impl Iterator<Item = (&str, &FailureJson)> {
    let node = document.node.failure.iter().map(|failure| (NODE_CHECK, failure));
    let targets = document.targets.iter().filter_map(|target| Some((target.name.as_str(), target.failure.as_ref()?)));
    node.chain(targets.filter(|(_, failure)| !failure.reason.starts_with("node_")))
}

fn explained(name: &str, failure: &FailureJson) -> String {
    let FailureJson { reason, scope, cause, sentence, next_step } = failure;
    format!("\n{name}: {reason} (scope {scope})\n  {sentence}\n  evidence: {cause}\n  next: {next_step}\n")
}

/// The last changes of all, newest first.
fn changes(document: &Document, paint: Paint) -> String {
    let turned = |name, of: &TransitionJson| (of.at.clone(), name, state_change(of, paint));
    let mut lines: Vec<_> = document.node.transitions.iter().map(|one| turned(NODE_CHECK, one)).collect();
    for target in &document.targets {
        let name = target.name.as_str();
        lines.extend(target.transitions.iter().map(|one| turned(name, one)));
        lines.extend(target.path_changes.iter().map(|one| {
            let region = one.region.as_ref().map_or_else(String::new, |region| format!(" ({})", region.code));
            (one.at.clone(), name, format!("path {} -> {}{region}", one.from, one.to))
        }));
    }
    // RFC 3339 in UTC sorts as text.
    lines.sort_by(|(a, ..), (b, ..)| b.cmp(a));
    let mut text = if lines.is_empty() { String::new() } else { "\nLast changes\n".to_owned() };
    for (at, name, what) in lines.into_iter().take(CHANGES) {
        let _ = writeln!(text, "  {at}  {name}  {what}");
    }
    text
}

fn state_change(change: &TransitionJson, paint: Paint) -> String {
    let to = paint.state(&change.to, &change.to);
    let reason = change.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{} -> {to}{reason}", change.from)
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} ms"))
}
