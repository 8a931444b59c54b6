//! The time line: the last changes of all, newest first.

use super::html::{Html, put};
use super::{clock, milliseconds, state};
use crate::document::{Document, PathChangeJson, TransitionJson, elapsed, words};
use std::time::Duration;

/// Changes that are shown; the JSON has all. 24 are a page on a phone.
const SHOWN: usize = 24;

/// A change of one target, or of the node.
enum Change<'a> {
    State(&'a TransitionJson),
    Path(&'a PathChangeJson),
}

impl Change<'_> {
    fn at(&self) -> &str {
        match self {
            Self::State(change) => &change.at,
            Self::Path(change) => &change.at,
        }
    }
}

pub(super) fn write(html: &mut Html, document: &Document) {
    let mut changes: Vec<_> = document.node.transitions.iter().map(|one| ("tailscaled", Change::State(one))).collect();
    for target in &document.targets {
        changes.extend(target.transitions.iter().map(|one| (target.name.as_str(), Change::State(one))));
        changes.extend(target.path_changes.iter().map(|one| (target.name.as_str(), Change::Path(one))));
    }
    // RFC 3339 in UTC sorts as text; of what happened at once the order stays.
    changes.sort_by(|(_, a), (_, b)| b.at().cmp(a.at()));
    put!(html, "<section id=\"story\">\n<h2>Last changes</h2>\n<div class=\"card\">\n");
    if changes.is_empty() {
        put!(html, "<p>Nothing has changed yet.</p>\n");
    } else {
        put!(html, "<ol class=\"story\">\n");
        for (name, change) in changes.iter().take(SHOWN) {
            moment(html, change.at(), &document.at);
            put!(html, "<div><p><b>", (*name), "</b> ");
            match change {
                Change::State(change) => turn(html, change),
                Change::Path(change) => reroute(html, change),
            }
            put!(html, "</div></li>\n");
        }
        put!(html, "</ol>\n");
    }
    put!(html, "</div>\n</section>\n");
}

/// The time of day, and how long ago; the date where it is another one.
fn moment(html: &mut Html, at: &str, now: &str) {
    let day = |time: &str| time.get(..10).map(str::to_owned);
    put!(html, "<li><time datetime=\"", (at), "\">");
    if let Some(date) = day(at).filter(|date| day(now).as_ref() != Some(date)) {
        put!(html, (date), " ");
    }
    put!(html, (clock(at)), " <span class=\"ago\">", (words(elapsed(at, now))), " ago</span></time>\n");
}

fn turn(html: &mut Html, change: &TransitionJson) {
    put!(html, "is ");
    state(html, &change.to);
    if change.from != "unknown" {
        let lasted = Duration::try_from_secs_f64(change.lasted_seconds).unwrap_or_default();
        put!(html, " after ", (words(lasted)), " ", (change.from));
    }
    if let (Some(reason), Some(scope)) = (&change.reason, &change.scope) {
        put!(html, " because of <code>", (reason), "</code>, fault of the ", (scope));
    }
    put!(html, "</p>\n");
    if let Some(cause) = &change.cause {
        put!(html, "<p class=\"small\"><code>", (cause), "</code></p>\n");
    }
    let Some(stages) = change.stages else { return };
    let took = [("resolve", stages.resolve_ms), ("connect", stages.connect_ms), ("protocol", stages.protocol_ms)];
    let mut parts: Vec<_> = change.path.iter().map(|path| format!("path {}", path.replace('_', " "))).collect();
    parts.extend(took.into_iter().filter_map(|(stage, took)| Some(format!("{stage} {}", milliseconds(took?)))));
    put!(html, "<p class=\"small\">", (parts.join(", ")), "</p>\n");
}

fn reroute(html: &mut Html, change: &PathChangeJson) {
    put!(html, "path is <strong>", (change.to.replace('_', " ")), "</strong>");
    if let Some(region) = &change.region {
        put!(html, " (", (region.code), ")");
    }
    put!(html, ", was ", (change.from.replace('_', " ")), "</p>\n");
}
