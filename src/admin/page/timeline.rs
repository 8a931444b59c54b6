//! The last changes of the node and the targets, newest first.

use super::{stages, state, time_of_day};
use crate::document::{Document, HistoryEntry, PathChangeJson, TransitionJson, elapsed};
use crate::duration::{format_ms, two_units};
use maud::{Markup, html};
use std::time::Duration;

/// Changes that are shown; the JSON has all. 24 are a page on a phone.
const SHOWN: usize = 24;

pub(super) fn section(document: &Document) -> Markup {
    let entries = document.history();
    html! {
        section #story {
            h2 { "Last changes" }
            div.card {
                @if entries.is_empty() { p { "Nothing has changed yet." } } @else {
                    ol.story {
                        @for (target, entry) in entries.into_iter().take(SHOWN) {
                            @let name = target.unwrap_or("tailscaled");
                            li {
                                (timestamp(entry.at(), &document.at))
                                div {
                                    @match entry {
                                        HistoryEntry::State(change) => (state_change(name, change)),
                                        HistoryEntry::Path(change) => (path_change(name, change)),
                                    }
                                }
                            }
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
            (time_of_day(at)) " " span.ago { (two_units(elapsed(at, now))) " ago" }
        }
    }
}

fn state_change(name: &str, change: &TransitionJson) -> Markup {
    let lasted = Duration::try_from_secs_f64(change.lasted_seconds).unwrap_or_default();
    html! {
        p {
            b { (name) } " is " (state(&change.to))
            @if change.from != "unknown" { " after " (two_units(lasted)) " " (change.from) }
            @if let (Some(reason), Some(scope)) = (&change.reason, &change.scope) {
                " because of " code { (reason) } ", fault of the " (scope)
            }
        }
        @if let Some(cause) = &change.cause { p.small { code { (cause) } } }
        @if let Some(durations) = change.stages {
            @let path = change.path.iter().map(|path| format!("path {}", path.replace('_', " ")));
            @let taken = stages(durations).into_iter().filter_map(|(stage, took)| Some(format!("{stage} {}", format_ms(took?))));
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
