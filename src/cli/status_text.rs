//! The status document as text for a terminal.

use super::explain::{Explanation, failure_title, transition};
use super::terminal::{Palette, Style, Table};
use crate::doctor::AdvisoryCode;
use crate::document::{Document, FailureJson, HistoryEntry, NodeJson, RegionJson, StagesJson, TargetJson, elapsed};
use crate::duration::{format_ms, two_units};
use crate::health::NODE_CHECK;

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
    for (target, failure) in document.failures() {
        text.push('\n');
        text += &explanation(palette, target.unwrap_or(NODE_CHECK), failure).render(palette);
    }
    for (targets, code) in [
        (document.protocol_untested(), AdvisoryCode::ProtocolUntested),
        (document.worker_path_untested(), AdvisoryCode::WorkerWayUntested),
    ] {
        if !targets.is_empty() {
            text.push('\n');
            text += &Explanation::of_advisory(palette, &targets.join(", "), code).render(palette);
        }
    }
    text + &changes(document, palette)
}

fn node_row(node: &NodeJson, now: &str) -> [String; 8] {
    let mode = node.mode.as_ref().map_or_else(String::new, |mode| format!(", {mode}"));
    let duration = two_units(elapsed(&node.since, now));
    let last = format!("{}{mode}", node.tailscaled);
    [NODE_CHECK, &node.state, &duration, "", "", "", "", &last].map(str::to_owned)
}

fn target_row(target: &TargetJson, now: &str) -> [String; 8] {
    let unexpected = if target.path.unexpected { "!" } else { "" };
    let stages = target.last_probe.as_ref().map(|probe| probe.stages);
    let stage = |of: fn(StagesJson) -> Option<f64>| ms_or_dash(stages.and_then(of));
    let detail = target.last_probe.as_ref().and_then(|probe| probe.detail.clone());
    let last = match &target.failure {
        Some(failure) => format!("{} (scope {})", failure.reason, failure.scope),
        None => detail.unwrap_or_else(|| "not probed yet".into()).into_owned(),
    };
    [
        if target.required { target.name.clone() } else { format!("{} (optional)", target.name) },
        target.state.to_string(),
        two_units(elapsed(&target.since, now)),
        format!("{}{}{unexpected}", target.path.kind, in_region(target.path.region.as_ref())),
        ms_or_dash(target.path.rtt_ms),
        stage(|stages| stages.connect_ms),
        stage(|stages| stages.protocol_ms),
        last,
    ]
}

fn in_region(region: Option<&RegionJson>) -> String {
    region.map_or_else(String::new, |region| format!(" ({})", region.code))
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
    let history = document.history();
    let mut text = if history.is_empty() { String::new() } else { "\nLast changes\n".to_owned() };
    for (target, entry) in history.into_iter().take(MAX_CHANGES) {
        let change = match entry {
            HistoryEntry::State(change) => transition(palette, change),
            HistoryEntry::Path(change) => {
                format!("path {} -> {}{}", change.from, change.to, in_region(change.region.as_ref()))
            }
        };
        text += &format!("  {}  {}  {change}\n", entry.at(), target.unwrap_or(NODE_CHECK));
    }
    text
}

fn ms_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), format_ms)
}
