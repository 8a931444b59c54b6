//! The local tailscaled.

use super::{row, state};
use crate::document::{Document, elapsed};
use crate::duration::two_units;
use maud::{Markup, html};

pub(super) fn section(document: &Document) -> Markup {
    let (node, now) = (&document.node, &document.at);
    html! {
        section #node {
            h2 { "This pod's tailscaled" }
            div.card {
                p.standing { (state(&node.state)) " for " (two_units(elapsed(&node.since, now))) }
                dl.wide {
                    (row("State", &html! { (node.tailscaled.replace('_', " ")) }))
                    @if let Some(version) = &node.tailscaled_version { (row("Version", &html! { (version) })) }
                    @if let Some(mode) = &node.mode {
                        (row("Mode", &html! { (if mode == "tun" { "TUN" } else { mode }) }))
                    }
                    @if let Some(online) = node.online {
                        (row("Control plane", &html! { (if online { "connected" } else { "not connected" }) }))
                    }
                    @if let Some(region) = &node.home_region {
                        (row("Home DERP region", &html! {
                            (region.code) @if let Some(id) = region.id { " (region " (id) ")" }
                        }))
                    }
                    @if node.tailscaled_version.is_some() {
                        (row("Own key", &match &node.key_expiry {
                            Some(at) => key_expiry(at, now),
                            None => html! { "does not expire" },
                        }))
                    }
                    (row("Scheduling delay", &html! { (format!("{:.0}", document.lag_ms)) " ms at most in the last minute" }))
                }
                @if !node.warnings.is_empty() {
                    h3 { "tailscaled warns" }
                    ul.warnings {
                        @for warning in &node.warnings {
                            li {
                                code { (warning.code) } " severity " (warning.severity)
                                @if warning.impacts_connectivity { ", connections suffer" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// When a key expires, or that it has.
pub(super) fn key_expiry(at: &str, now: &str) -> Markup {
    let left = elapsed(now, at);
    html! {
        @if left.is_zero() { span.tag.warn { "has expired" } " " } @else { "expires in " (two_units(left)) ", " }
        "on " (at.get(..10).unwrap_or(at))
    }
}
