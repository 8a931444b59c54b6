//! The verdict, and what is wrong.

use super::{DOCS, row, time_of_day};
use crate::config::Mode;
use crate::document::{Document, FailureJson};
use maud::{Markup, html};

pub(super) fn section(document: &Document) -> Markup {
    let ready = document.ready;
    html! {
        section #verdict.(if ready { "good" } else { "bad" }) role="status" {
            svg.mark aria-hidden="true" { use href=(if ready { "#up" } else { "#down" }) {} }
            div {
                h1 { (document.verdict) }
                p {
                    code { "/healthz" } " answers " (if ready { "200" } else { "503" }) ", the startup gate is "
                    (if document.startup_gate.open { "open" } else { "shut" }) "."
                }
                ul.modes {
                    @for mode in Mode::ALL.map(Mode::slug) {
                        @let in_force = mode == document.readiness.mode;
                        @let ready = document.readiness.by_mode.get(mode).copied().unwrap_or_default();
                        li.mode.in-force[in_force] {
                            (mode) @if in_force { ", in force" } ": " (if ready { "ready" } else { "not ready" })
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn failures(document: &Document) -> Markup {
    let failures: Vec<_> = document.failures().collect();
    let problems = &document.config.problems;
    html! {
        section #trouble {
            @if !failures.is_empty() {
                h2 { "What is wrong, and what to do" }
                @for (target, failure) in failures { (explanation(target.unwrap_or("this pod's tailscaled"), failure)) }
                p.hint { "To run every check again: " code { "kubectl exec POD -c telltail -- /telltail doctor" } }
            }
            @if !problems.is_empty() {
                article.card.note {
                    h3 { "A new configuration was rejected" }
                    p { "At " (time_of_day(&document.config.last_reload)) " UTC; the old one stays in force:" }
                    @for problem in problems { pre { (problem) } }
                }
            }
        }
    }
}

fn explanation(subject: &str, failure: &FailureJson) -> Markup {
    html! {
        article.card.failure {
            h3 { (subject) ": " code { (failure.reason) } " " span.scope { "fault of the " (failure.scope) } }
            p { (with_code(&failure.sentence)) }
            dl {
                (row("Evidence", &html! { code { (failure.cause) } }))
                (row("Next step", &with_code(&failure.next_step)))
            }
            p { a href={ (DOCS) "troubleshooting.md#" (failure.reason) } { "More about " (failure.reason) } }
        }
    }
}

/// Renders `…` as `<code>`.
fn with_code(sentence: &str) -> Markup {
    html! {
        @for (index, piece) in sentence.split('`').enumerate() {
            @if index % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}
