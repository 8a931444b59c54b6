//! The status document for a person at a terminal.

use super::explain::{Explanation, failure_title, transition};
use super::terminal::{Palette, Style, Table};
use crate::advisory::AdvisoryCode;
use crate::document::elapsed;
use crate::document::{Document, FailureJson, NodeJson, RegionJson, StagesJson, TargetJson, TransitionJson};
use crate::duration::words;
use crate::health::NODE_CHECK;
use crate::reason::Stage;
use std::fmt::Write;

/// Changes that are shown; the status page and the JSON document have more.
const MAX_CHANGES: usize = 8;
/// The column whose cells have a colour.
const STATE_COLUMN: usize = 1;

/// The document as text.
pub(super) fn render(document: &Document, palette: Palette) -> String {
    let now = document.at.as_str();
    let mut text = palette.paint(if document.ready { Style::Good } else { Style::Bad }, &document.verdict);
    text += &format!("\nmode {}, {}\n\n", document.readiness.mode, document.at);
    let mut table = Table::with_header(&["", "STATE", "FOR", "PATH", "RTT", "CONNECT", "PROTOCOL", "LAST"]);
    table.add(node_row(&document.node, now), (STATE_COLUMN, Style::of_state(&document.node.state)));
    for target in &document.targets {
        table.add(target_row(target, now), (STATE_COLUMN, Style::of_state(&target.state)));
    }
    text += &table.render(palette);
    for (name, failure) in failures(document) {
        text.push('\n');
        text += &explanation(palette, name, failure).render(palette);
    }
    let untested = document.targets.iter().filter(|target| target.worker_way_untested);
    let untested: Vec<_> = untested.map(|target| target.name.as_str()).collect();
    if !untested.is_empty() {
        text.push('\n');
        text +=
            &Explanation::of_advisory(palette, &untested.join(", "), AdvisoryCode::WorkerWayUntested).render(palette);
    }
    text + &changes(document, palette)
}

fn node_row(node: &NodeJson, now: &str) -> [String; 8] {
    let mode = node.mode.as_ref().map_or_else(String::new, |mode| format!(", {mode}"));
    let duration = words(elapsed(&node.since, now));
    let last = format!("{}{mode}", node.tailscaled);
    [NODE_CHECK, &node.state, &duration, "", "", "", "", &last].map(str::to_owned)
}

fn target_row(target: &TargetJson, now: &str) -> [String; 8] {
    let unexpected = if target.path.unexpected { "!" } else { "" };
    let stages = target.last_probe.as_ref().map(|probe| probe.stages);
    let stage = |of: fn(StagesJson) -> Option<f64>| milliseconds(stages.and_then(of));
    let detail = target.last_probe.as_ref().and_then(|probe| probe.detail.clone());
    let last = match &target.failure {
        Some(failure) => format!("{} (scope {})", failure.reason, failure.scope),
        None => detail.unwrap_or_else(|| "not probed yet".into()).into_owned(),
    };
    [
        if target.required { target.name.clone() } else { format!("{} (optional)", target.name) },
        target.state.to_string(),
        words(elapsed(&target.since, now)),
        format!("{}{}{unexpected}", target.path.kind, in_region(target.path.region.as_ref())),
        milliseconds(target.path.rtt_ms),
        stage(|stages| stages.connect_ms),
        stage(|stages| stages.protocol_ms),
        last,
    ]
}

fn in_region(region: Option<&RegionJson>) -> String {
    region.map_or_else(String::new, |region| format!(" ({})", region.code))
}

/// Every failure; a node fault once, and not again for each of its targets.
fn failures(document: &Document) -> impl Iterator<Item = (&str, &FailureJson)> {
    let node = document.node.failure.iter().map(|failure| (NODE_CHECK, failure));
    let targets = document.targets.iter().filter_map(|target| Some((target.name.as_str(), target.failure.as_ref()?)));
    node.chain(targets.filter(|(_, failure)| failure.stage() != Some(Stage::Node)))
}

fn explanation<'a>(palette: Palette, name: &str, failure: &'a FailureJson) -> Explanation<'a> {
    Explanation {
        title: failure_title(palette, name, &failure.reason, &failure.scope),
        sentence: &failure.sentence,
        cause: Some(&failure.cause),
        details: String::new(),
        next_step: &failure.next_step,
        command: None,
    }
}

/// The last changes of the node and all targets, newest first.
fn changes(document: &Document, palette: Palette) -> String {
    let line = |name, change: &TransitionJson| (change.at.clone(), name, transition(palette, change));
    let mut lines: Vec<_> = document.node.transitions.iter().map(|change| line(NODE_CHECK, change)).collect();
    for target in &document.targets {
        let name = target.name.as_str();
        lines.extend(target.transitions.iter().map(|change| line(name, change)));
        lines.extend(target.path_changes.iter().map(|change| {
            let region = in_region(change.region.as_ref());
            (change.at.clone(), name, format!("path {} -> {}{region}", change.from, change.to))
        }));
    }
    // RFC 3339 in UTC sorts as text.
    lines.sort_by(|(a, ..), (b, ..)| b.cmp(a));
    let mut text = if lines.is_empty() { String::new() } else { "\nLast changes\n".to_owned() };
    for (at, name, change) in lines.into_iter().take(MAX_CHANGES) {
        let _ = writeln!(text, "  {at}  {name}  {change}");
    }
    text
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} ms"))
}
