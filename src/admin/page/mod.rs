//! The status page at `/`: the status document for people, one file that loads nothing.
//!
//! Without JavaScript the browser reloads it now and then; with it only what has changed is replaced.

mod node;
mod targets;
mod timeline;
mod verdict;

use crate::document::{Document, StagesJson};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the page may do: its own style and script, by their hashes, and fetching itself again. The tab's icon is a `data:`
/// URL.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    style-src 'sha256-93L7lA1SE6EfRX6bduiKCQyWCFef+H94Lc3YlWu7d/4='; script-src 'sha256-ta6x/+l+/3TTgNoome/PjVFrHmA6Fz4qeKMvbI825r4='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where the documentation is.
const DOCS: &str = "https://github.com/stackeye/telltail/blob/main/docs/";

/// The page, in ASCII: a bidirectional override in a peer's text cannot reorder its source.
pub(super) fn render(document: &Document) -> String {
    let hostname = document.node.hostname.as_deref();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                noscript { meta http-equiv="refresh" content="10"; }
                title { (if document.ready { "Ready" } else { "Not ready" }) " - " (hostname.unwrap_or("this pod")) " - telltail" }
                (PreEscaped(if document.ready { include_str!("ready.html") } else { include_str!("not-ready.html") }))
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.brand {
                        (icon("tail")) "telltail"
                        @if let Some(hostname) = hostname { " " span.host { (hostname) } }
                    }
                    p #live.live { "as of " time { (time_of_day(&document.at)) } " UTC" }
                }
                main {
                    (verdict::section(document))
                    (verdict::failures(document))
                    (targets::section(document))
                    (timeline::section(document))
                    (node::section(document))
                }
                footer {
                    nav aria-label="Endpoints" { h2 { "Endpoints" } ul { (PreEscaped(include_str!("endpoints.html"))) } }
                    p {
                        "telltail " (document.telltail) ", configuration " (document.config.hash) ", "
                        a href={ (DOCS) "status.md" } { "about this page" }
                    }
                }
                (PreEscaped(include_str!("icons.svg")))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string().chars().fold(String::new(), |mut ascii, c| {
        if c.is_ascii() {
            ascii.push(c)
        } else {
            ascii += &format!("&#{};", u32::from(c))
        }
        ascii
    })
}

fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" { use href={ "#" (name) } {} } }
}

/// A state as text and shape: it must be readable without colour.
fn state(state: &str) -> Markup {
    let state = if matches!(state, "up" | "down") { state } else { "unknown" };
    html! { span.state.(state) { (icon(state)) (state) } }
}

/// The time of day of a date of the document.
fn time_of_day(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}

/// A row of a list of names and values.
fn row(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn stages(stages: StagesJson) -> [(&'static str, Option<f64>); 3] {
    [("resolve", stages.resolve_ms), ("connect", stages.connect_ms), ("protocol", stages.protocol_ms)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::{VALKEY_REFUSES, after};
    use crate::config::Mode;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};
    use std::time::SystemTime;
    use tokio::time::Instant;

    #[test]
    fn the_policy_names_style_and_script_by_their_hashes() {
        for (directive, source) in [("style-src", STYLE), ("script-src", SCRIPT)] {
            assert!(source.is_ascii());
            let expected = format!("; {directive} 'sha256-{}'; ", BASE64_STANDARD.encode(Sha256::digest(source)));
            assert!(CONTENT_SECURITY_POLICY.contains(&expected), "CONTENT_SECURITY_POLICY needs {expected:?}");
        }
    }

    #[test]
    fn hostile_text_stays_text_and_the_page_stays_ascii() {
        let hostile = "<img src=x>\" onclick='x' \u{202e}</code>";
        let snapshot = after(Mode::Strict, &VALKEY_REFUSES).snapshot(Instant::now());
        let mut document = Document::of(&snapshot, SystemTime::now());
        document.node.hostname = Some(hostile.to_owned());
        for failure in document.targets.iter_mut().filter_map(|target| target.failure.as_mut()) {
            (failure.cause, failure.reason) = (hostile.to_owned(), hostile.to_owned().into());
        }
        let page = render(&document);
        assert!(page.is_ascii() && !page.contains("<img") && !page.contains("\" onclick"), "{page}");
        assert!(page.contains("&lt;img src=x&gt;&quot; onclick='x' &#8238;&lt;/code&gt;"), "{page}");
    }

    /// The page with this host name and cause.
    fn with_text(text: &str) -> String {
        let snapshot = after(Mode::Strict, &VALKEY_REFUSES).snapshot(Instant::now());
        let mut document = Document::of(&snapshot, SystemTime::now());
        document.node.hostname = Some(text.to_owned());
        for failure in document.targets.iter_mut().filter_map(|target| target.failure.as_mut()) {
            failure.cause = text.to_owned();
        }
        render(&document)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_becomes_markup(text in "[<>\"'&\\PC]{1,60}") {
            let markup = |page: &str| page.matches(['<', '>', '"']).count();
            let page = with_text(&text);
            prop_assert!(page.is_ascii());
            prop_assert_eq!(markup(&page), markup(&with_text("text")));
        }
    }
}
