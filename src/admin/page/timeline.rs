//! The last changes of the node and the targets, newest first.

use super::{milliseconds, stages, state, time_of_day};
use crate::document::{Document, PathChangeJson, TransitionJson, elapsed};
use crate::duration::words;
use maud::{Markup, html};
use std::time::Duration;

/// Changes that are shown; the JSON has all. 24 are a page on a phone.
const SHOWN: usize = 24;

enum TimelineEntry<'a> {
    State(&'a TransitionJson),
    Path(&'a PathChangeJson),
}

impl TimelineEntry<'_> {
    fn at(&self) -> &str {
        match self {
            Self::State(change) => &change.at,
            Self::Path(change) => &change.at,
        }
    }

    fn describe(&self, name: &str) -> Markup {
        match self {
            Self::State(change) => state_change(name, change),
            Self::Path(change) => path_change(name, change),
        }
    }
}

pub(super) fn section(document: &Document) -> Markup {
    let node = document.node.transitions.iter().map(|change| ("tailscaled", TimelineEntry::State(change)));
    let mut entries: Vec<_> = node.collect();
    for target in &document.targets {
        let name = target.name.as_str();
        entries.extend(target.transitions.iter().map(|change| (name, TimelineEntry::State(change))));
        entries.extend(target.path_changes.iter().map(|change| (name, TimelineEntry::Path(change))));
    }
    // RFC 3339 in UTC sorts as text. The sort is stable: simultaneous changes keep their order.
    entries.sort_by(|(_, a), (_, b)| b.at().cmp(a.at()));
    html! {
        section #story {
            h2 { "Last changes" }
            div.card {
                @if entries.is_empty() { p { "Nothing has changed yet." } } @else {
                    ol.story {
                        @for (name, entry) in entries.iter().take(SHOWN) {
                            li { (timestamp(entry.at(), &document.at)) div { (entry.describe(name)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The time of day, and how long ago; the date if it is another day's.
fn timestamp(at: &str, now: &str) -> Markup {
    html! {
        time datetime=(at) {
            @if let Some(date) = at.get(..10).filter(|date| !now.starts_with(date)) { (date) " " }
            (time_of_day(at)) " " span.ago { (words(elapsed(at, now))) " ago" }
        }
    }
}

fn state_change(name: &str, change: &TransitionJson) -> Markup {
    let lasted = Duration::try_from_secs_f64(change.lasted_seconds).unwrap_or_default();
    html! {
        p {
            b { (name) } " is " (state(&change.to))
            @if change.from != "unknown" { " after " (words(lasted)) " " (change.from) }
            @if let (Some(reason), Some(scope)) = (&change.reason, &change.scope) {
                " because of " code { (reason) } ", fault of the " (scope)
            }
        }
        @if let Some(cause) = &change.cause { p.small { code { (cause) } } }
        @if let Some(durations) = change.stages {
            @let path = change.path.iter().map(|path| format!("path {}", path.replace('_', " ")));
            @let taken = stages(durations).into_iter().filter_map(|(stage, took)| Some(format!("{stage} {}", milliseconds(took?))));
            p.small { (path.chain(taken).collect::<Vec<_>>().join(", ")) }
        }
    }
}

fn path_change(name: &str, change: &PathChangeJson) -> Markup {
    html! {
        p {
            b { (name) } " path is " strong { (change.to.replace('_', " ")) }
            @if let Some(region) = &change.region { " (" (region.code) ")" }
            ", was " (change.from.replace('_', " "))
        }
    }
}
