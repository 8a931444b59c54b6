//! The verdict, and what is wrong.

use super::html::{Html, put};
use super::{DOCS, clock};
use crate::config::Mode;
use crate::document::{Document, FailureJson, TargetJson};

pub(super) fn write(html: &mut Html, document: &Document) {
    let class = if document.ready { "good" } else { "bad" };
    put!(
        html,
        "<section id=\"verdict\" class=\"",
        (class),
        "\" role=\"status\">\n<svg class=\"mark\" aria-hidden=\"true\"><use href=\"#"
    );
    put!(html, (if document.ready { "up" } else { "down" }), "\"/></svg>\n<div><h1>", (document.verdict), "</h1>\n");
    let answers = if document.ready { "200" } else { "503" };
    put!(html, "<p><code>/healthz</code> answers ", (answers), ", the startup gate is ");
    put!(html, (if document.startup_gate.open { "open" } else { "shut" }), ".</p>\n<ul class=\"modes\">\n");
    for mode in Mode::ALL.map(Mode::slug) {
        let ready = document.readiness.by_mode.get(mode).copied().unwrap_or_default();
        let class = if mode == document.readiness.mode { "mode in-force" } else { "mode" };
        put!(
            html,
            "<li class=\"",
            (class),
            "\">",
            (mode),
            (if mode == document.readiness.mode { ", in force: " } else { ": " }),
            (if ready { "ready" } else { "not ready" }),
            "</li>\n"
        );
    }
    put!(html, "</ul>\n</div>\n</section>\n");
    put!(html, "<section id=\"trouble\">\n");
    trouble(html, document);
    put!(html, "</section>\n");
}

/// Each cause once: while the node is at fault its targets have nothing to add.
fn trouble(html: &mut Html, document: &Document) {
    let own =
        |target: &&TargetJson| target.failure.as_ref().is_some_and(|failure| !failure.reason.starts_with("node_"));
    let targets: Vec<_> = document.targets.iter().filter(own).collect();
    if document.node.failure.is_some() || !targets.is_empty() {
        put!(html, "<h2>What is wrong, and what to do</h2>\n");
    }
    if let Some(failure) = &document.node.failure {
        explain(html, "this pod's tailscaled", failure);
    }
    for target in &targets {
        if let Some(failure) = &target.failure {
            explain(html, &target.name, failure);
        }
    }
    if document.node.failure.is_some() || !targets.is_empty() {
        put!(html, "<p class=\"hint\">To try every rung anew: ");
        put!(html, "<code>kubectl exec POD -c telltail -- /telltail doctor</code></p>\n");
    }
    if !document.config.problems.is_empty() {
        put!(html, "<article class=\"card note\"><h3>A new configuration was refused</h3>\n<p>At ");
        put!(html, (clock(&document.config.last_reload)), " UTC; the old one stays in force:</p>\n");
        for problem in &document.config.problems {
            put!(html, "<pre>", (problem), "</pre>\n");
        }
        put!(html, "</article>\n");
    }
}

fn explain(html: &mut Html, whose: &str, failure: &FailureJson) {
    put!(html, "<article class=\"card failure\"><h3>", (whose), ": <code>", (failure.reason), "</code> ");
    put!(html, "<span class=\"scope\">fault of the ", (failure.scope), "</span></h3>\n<p>");
    commands(html, &failure.sentence);
    put!(html, "</p>\n");
    put!(html, "<dl>\n<div><dt>Evidence</dt><dd><code>", (failure.cause), "</code></dd></div>\n");
    put!(html, "<div><dt>CommandHint step</dt><dd>");
    commands(html, &failure.next_step);
    put!(html, "</dd></div>\n</dl>\n<p><a href=\"", (DOCS), "troubleshooting.md#", (failure.reason), "\">More about ");
    put!(html, (failure.reason), "</a></p></article>\n");
}

/// What stands between back quotes is code.
fn commands(html: &mut Html, sentence: &str) {
    for (index, piece) in sentence.split('`').enumerate() {
        if index % 2 == 1 {
            put!(html, "<code>", (piece), "</code>");
        } else {
            html.text(piece);
        }
    }
}
