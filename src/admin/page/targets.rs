//! The targets: state, path, and how long each stage took.

use super::node::key_expiry;
use super::{row, stages, state, time_of_day};
use crate::document::{Document, PathJson, ProbeJson, TargetJson, elapsed};
use crate::duration::{format_ms, two_units};
use crate::reason::Stage;
use maud::{Markup, html};

pub(super) fn section(document: &Document) -> Markup {
    let probes = document.targets.iter().filter_map(|target| target.last_probe.as_ref());
    let durations = probes.flat_map(|probe| stages(probe.stages)).filter_map(|(_, took)| took);
    let slowest = durations.fold(0.0, f64::max);
    let untested = document.worker_path_untested();
    html! {
        section #targets {
            h2 { "Targets" }
            div.grid { @for target in &document.targets { (card(target, &document.at, slowest)) } }
            @if !untested.is_empty() {
                p.hint {
                    "The worker's own connection to " (untested.join(", ")) " is not tested until " code { "via=" }
                    " names the way that it takes: its SOCKS5 proxy in userspace mode, the kernel in TUN mode."
                }
            }
        }
    }
}

fn card(target: &TargetJson, now: &str, slowest: f64) -> Markup {
    let peer = &target.peer;
    html! {
        article.card.target {
            h3 { (target.name) }
            p.address {
                (target.kind) "://" (target.host) ":" (target.port)
                @if !target.required { " " span.tag { "optional" } }
            }
            p.standing { (state(&target.state)) " for " (two_units(elapsed(&target.since, now))) }
            dl {
                (row("Path", &path(&target.path, now)))
                (row("Last probe", &last_probe(target, now)))
                @if peer.changes > 0 {
                    (row("Machine", &html! {
                        "changed " (peer.changes) " times, last at "
                        (time_of_day(peer.last_change.as_deref().unwrap_or_default()))
                    }))
                }
                @if let Some(expiry) = &peer.key_expiry { (row("Machine's key", &key_expiry(expiry, now))) }
            }
            @if let Some(probe) = &target.last_probe { (stage_table(target, probe, slowest)) }
        }
    }
}

fn path(path: &PathJson, now: &str) -> Markup {
    html! {
        strong { (path.kind.replace('_', " ")) }
        @if let Some(region) = &path.region { " (" (region.code) ")" }
        " for " (two_units(elapsed(&path.since, now)))
        @if let Some(rtt) = path.rtt_ms { ", round trip " (format_ms(rtt)) }
        @if path.unexpected { " " span.tag.warn { "expected: " (path.expect) } }
    }
}

fn last_probe(target: &TargetJson, now: &str) -> Markup {
    let Some(probe) = &target.last_probe else { return html! { "none yet" } };
    html! {
        @match (&probe.detail, &target.failure) {
            (Some(detail), _) => { (detail.replace('_', " ")) }
            (None, Some(failure)) => { code { (failure.reason) } }
            (None, None) => {}
        }
        ", " (two_units(elapsed(&probe.at, now))) " ago, via " (target.via)
    }
}

/// The bars of all targets have the same scale, so that they can be compared.
fn stage_table(target: &TargetJson, probe: &ProbeJson, slowest: f64) -> Markup {
    html! {
        table {
            caption { "Stages of the last probe " span.unseen { "of " (target.name) } }
            tbody {
                @for (stage, took) in stages(probe.stages) {
                    tr {
                        th scope="row" { (stage) }
                        td.bar { @if let Some(took) = took { (bar(took, slowest)) } }
                        td.number { (took.map_or_else(|| missing_stage_text(stage, target).to_owned(), format_ms)) }
                    }
                }
            }
        }
    }
}

fn bar(took: f64, slowest: f64) -> Markup {
    let width = if slowest > 0.0 { (100.0 * took / slowest).clamp(1.0, 100.0) } else { 1.0 };
    html! {
        svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(format!("{width:.1}")) height="6" {}
        }
    }
}

/// Shown for a stage without a duration.
fn missing_stage_text(stage: &str, target: &TargetJson) -> &'static str {
    match &target.failure {
        Some(failure) if failure.stage().map(Stage::slug) == Some(stage) => "failed",
        Some(_) => "not tried",
        // The probe used the connection of the probe before.
        None if stage == "connect" => "reused",
        None => "not probed",
    }
}
