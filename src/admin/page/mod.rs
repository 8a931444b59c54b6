//! The status page at `/`: the status document for people, one file that loads nothing.
//!
//! Without JavaScript it loads itself anew now and then; with it only what has changed is put in place.

mod html;
mod node;
mod sha256;
mod story;
mod targets;
mod verdict;

use crate::document::Document;
use html::{Html, put};
use sha256::base64_of_sha256;
use std::sync::LazyLock;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const STYLE_HASH: [u8; 44] = base64_of_sha256(include_bytes!("page.css"));
const SCRIPT_HASH: [u8; 44] = base64_of_sha256(include_bytes!("page.js"));

/// What the page may do: its own style and script, and asking for itself anew. The icon of its tab is a `data:` URL.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |hash: &[u8]| String::from_utf8_lossy(hash).into_owned();
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(&STYLE_HASH),
        hash(&SCRIPT_HASH)
    )
});

/// Where the documentation is.
const DOCS: &str = "https://github.com/stackeye/telltail/blob/main/docs/";

/// The page.
pub(super) fn render(document: &Document) -> String {
    let mut html = Html::default();
    head(&mut html, document);
    put!(
        html,
        "<body>\n",
        "<header><p class=\"brand\"><svg class=\"icon\" aria-hidden=\"true\"><use href=\"#tail\"/></svg>telltail"
    );
    if let Some(hostname) = &document.node.hostname {
        put!(html, " <span class=\"host\">", (hostname), "</span>");
    }
    put!(
        html,
        "</p><p id=\"live\" class=\"live\">as of <time>",
        (clock(&document.at)),
        "</time> UTC</p></header>\n<main>\n"
    );
    verdict::write(&mut html, document);
    targets::write(&mut html, document);
    story::write(&mut html, document);
    node::write(&mut html, document);
    put!(html, "</main>\n");
    foot(&mut html, document);
    html.finish()
}

fn head(html: &mut Html, document: &Document) {
    let title = if document.ready { "Ready" } else { "Not ready" };
    put!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<meta name=\"color-scheme\" content=\"light dark\">\n",
        "<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n<title>",
        (title),
        " - "
    );
    put!(html, (document.node.hostname.as_deref().unwrap_or("this pod")), " - telltail</title>\n");
    if document.ready {
        html.raw(include_str!("ready.html"));
    } else {
        html.raw(include_str!("not-ready.html"));
    }
    html.raw("<style>");
    html.raw(STYLE);
    html.raw("</style>\n</head>\n");
}

fn foot(html: &mut Html, document: &Document) {
    html.raw("<footer>\n<nav aria-label=\"Endpoints\"><h2>Endpoints</h2><ul>\n");
    html.raw(include_str!("endpoints.html"));
    put!(html, "</ul></nav>\n<p>telltail ", (document.telltail), ", configuration ");
    put!(html, (document.config.hash), ", <a href=\"", (DOCS), "status.md\">about this page</a></p>\n</footer>\n");
    html.raw(include_str!("icons.svg"));
    put!(html, "<script>");
    html.raw(SCRIPT);
    put!(html, "</script>\n</body>\n</html>\n");
}

/// The time of day of a date of the document, for who looks at it the same day.
fn clock(at: &str) -> String {
    at.get(11..19).unwrap_or(at).to_owned()
}

/// A state in words, with a shape of its own, so that no colour is needed.
fn state(html: &mut Html, state: &str) {
    match state {
        "up" => html.raw("<span class=\"state up\"><svg class=\"icon\" aria-hidden=\"true\"><use href=\"#up\"/></svg>up</span>"),
        "down" => html.raw("<span class=\"state down\"><svg class=\"icon\" aria-hidden=\"true\"><use href=\"#down\"/></svg>down</span>"),
        _ => html.raw("<span class=\"state unknown\"><svg class=\"icon\" aria-hidden=\"true\"><use href=\"#unknown\"/></svg>unknown</span>"),
    }
}

/// A row of a list of names and values.
fn pair(html: &mut Html, name: &'static str, value: &str) {
    put!(html, "<div><dt>");
    html.raw(name);
    put!(html, "</dt><dd>", (value), "</dd></div>\n");
}

fn milliseconds(value: f64) -> String {
    if value < 10.0 { format!("{value:.2} ms") } else { format!("{value:.1} ms") }
}
