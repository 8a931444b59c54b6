//! The local tailscaled.

use super::html::{Html, put};
use super::{pair, state};
use crate::document::{Document, elapsed, words};

pub(super) fn write(html: &mut Html, document: &Document) {
    let (node, now) = (&document.node, &document.at);
    put!(html, "<section id=\"node\">\n<h2>This pod's tailscaled</h2>\n<div class=\"card\">\n<p class=\"standing\">");
    state(html, &node.state);
    put!(html, " for ", (words(elapsed(&node.since, now))), "</p>\n<dl class=\"wide\">\n");
    pair(html, "State", &node.tailscaled.replace('_', " "));
    if let Some(version) = &node.tailscaled_version {
        pair(html, "Version", version);
    }
    if let Some(mode) = &node.mode {
        pair(html, "Mode", if mode == "tun" { "TUN" } else { mode });
    }
    if let Some(online) = node.online {
        pair(html, "Control plane", if online { "connected" } else { "not connected" });
    }
    if let Some(region) = &node.home_region {
        let id = region.id.map_or_else(String::new, |id| format!(" (region {id})"));
        pair(html, "Home DERP region", &format!("{}{id}", region.code));
    }
    if node.tailscaled_version.is_some() {
        put!(html, "<div><dt>Own key</dt><dd>");
        match &node.key_expiry {
            Some(at) => expiry(html, at, now),
            None => put!(html, "does not expire"),
        }
        put!(html, "</dd></div>\n");
    }
    pair(html, "Lag of rounds", &format!("{:.0} ms at most in the last minute", document.lag_ms));
    put!(html, "</dl>\n");
    if !node.warnings.is_empty() {
        put!(html, "<h3>tailscaled warns</h3>\n<ul class=\"warnings\">\n");
        for warning in &node.warnings {
            put!(html, "<li><code>", (warning.code), "</code> severity ", (warning.severity));
            put!(html, (if warning.impacts_connectivity { ", connections suffer" } else { "" }), "</li>\n");
        }
        put!(html, "</ul>\n");
    }
    put!(html, "</div>\n</section>\n");
}

/// When a key expires, or that it has.
pub(super) fn expiry(html: &mut Html, at: &str, now: &str) {
    let left = elapsed(now, at);
    if left.is_zero() {
        put!(html, "<span class=\"tag warn\">has expired</span> ");
    } else {
        put!(html, "expires in ", (words(left)), ", ");
    }
    put!(html, "on ", (at.get(..10).unwrap_or(at)));
}
