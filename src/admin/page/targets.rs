//! The targets: state, path, and how long each stage took.

use super::html::{Html, put};
use super::{clock, milliseconds, state};
use crate::document::{Document, ProbeJson, StagesJson, TargetJson, elapsed, words};

pub(super) fn write(html: &mut Html, document: &Document) {
    put!(html, "<section id=\"targets\">\n<h2>Targets</h2>\n<div class=\"grid\">\n");
    let slowest = document.targets.iter().filter_map(|target| target.last_probe.as_ref());
    let slowest = slowest.flat_map(|probe| stages(probe.stages).map(|(_, took)| took.unwrap_or_default()));
    let slowest = slowest.fold(0.0, f64::max);
    for target in &document.targets {
        card(html, target, &document.at, slowest);
    }
    put!(html, "</div>\n");
    let untested = document.targets.iter().filter(|target| target.worker_way_untested);
    let untested: Vec<_> = untested.map(|target| target.name.as_str()).collect();
    if !untested.is_empty() {
        put!(
            html,
            "<p class=\"hint\">tailscaled runs in userspace mode: the worker's own way to ",
            (untested.join(", "))
        );
        put!(html, " is not tested until <code>via=</code> names its SOCKS5 proxy.</p>\n");
    }
    put!(html, "</section>\n");
}

fn card(html: &mut Html, target: &TargetJson, now: &str, slowest: f64) {
    put!(html, "<article class=\"card target\">\n<h3>", (target.name), "</h3>\n");
    put!(html, "<p class=\"address\">", (target.kind), "://", (target.host), ":", (target.port.to_string()));
    if !target.required {
        put!(html, " <span class=\"tag\">optional</span>");
    }
    put!(html, "</p>\n<p class=\"standing\">");
    state(html, &target.state);
    put!(html, " for ", (words(elapsed(&target.since, now))), "</p>\n<dl>\n<div><dt>Path</dt><dd>");
    path(html, target, now);
    put!(html, "</dd></div>\n<div><dt>Last probe</dt><dd>");
    match &target.last_probe {
        None => put!(html, "none yet"),
        Some(probe) => last(html, target, probe, now),
    }
    put!(html, "</dd></div>\n");
    if target.peer.changes > 0 {
        let at = target.peer.last_change.as_deref().unwrap_or_default();
        put!(html, "<div><dt>Machine</dt><dd>changed ", (target.peer.changes.to_string()), " times, last at ");
        put!(html, (clock(at)), "</dd></div>\n");
    }
    if let Some(expiry) = &target.peer.key_expiry {
        put!(html, "<div><dt>Machine's key</dt><dd>");
        super::node::expiry(html, expiry, now);
        put!(html, "</dd></div>\n");
    }
    put!(html, "</dl>\n");
    if let Some(probe) = &target.last_probe {
        table(html, target, probe, slowest);
    }
    put!(html, "</article>\n");
}

fn path(html: &mut Html, target: &TargetJson, now: &str) {
    let path = &target.path;
    put!(html, "<strong>", (path.kind.replace('_', " ")), "</strong>");
    if let Some(region) = &path.region {
        put!(html, " (", (region.code), ")");
    }
    put!(html, " for ", (words(elapsed(&path.since, now))));
    if let Some(rtt) = path.rtt_ms {
        put!(html, ", round trip ", (milliseconds(rtt)));
    }
    if path.unexpected {
        put!(html, " <span class=\"tag warn\">expected: ", (path.expect), "</span>");
    }
}

fn last(html: &mut Html, target: &TargetJson, probe: &ProbeJson, now: &str) {
    match (&probe.detail, &target.failure) {
        (Some(detail), _) => put!(html, (detail.replace('_', " "))),
        (None, Some(failure)) => put!(html, "<code>", (failure.reason), "</code>"),
        (None, None) => {}
    }
    put!(html, ", ", (words(elapsed(&probe.at, now))), " ago, via ", (target.via));
}

fn stages(stages: StagesJson) -> [(&'static str, Option<f64>); 3] {
    [("resolve", stages.resolve_ms), ("connect", stages.connect_ms), ("protocol", stages.protocol_ms)]
}

/// The bars of all targets have one scale, so that they can be compared.
fn table(html: &mut Html, target: &TargetJson, probe: &ProbeJson, slowest: f64) {
    put!(
        html,
        "<table>\n<caption>StagesJson of the last probe <span class=\"unseen\">of ",
        (target.name),
        "</span></caption>\n<tbody>\n"
    );
    for (stage, took) in stages(probe.stages) {
        put!(html, "<tr><th scope=\"row\">", (stage), "</th><td class=\"bar\">");
        if let Some(took) = took {
            let width = if slowest > 0.0 { (100.0 * took / slowest).clamp(1.0, 100.0) } else { 1.0 };
            put!(html, "<svg viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect width=\"");
            put!(html, (format!("{width:.1}")), "\" height=\"6\"/></svg>");
        }
        let words = took.map_or_else(|| untimed(stage, target).to_owned(), milliseconds);
        put!(html, "</td><td class=\"number\">", (words), "</td></tr>\n");
    }
    put!(html, "</tbody>\n</table>\n");
}

/// Why a stage took no time.
fn untimed(stage: &str, target: &TargetJson) -> &'static str {
    match &target.failure {
        Some(failure) if failure.reason.starts_with(stage) => "failed",
        Some(_) => "not tried",
        // The protocol is spoken on a connection that is held from probe to probe.
        None if stage == "connect" => "held open",
        None => "not asked",
    }
}
