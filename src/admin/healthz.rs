//! Readiness in the format of Kubernetes' apiserver: `ok`, or a line per check and the result at the end.
//!
//! The kubelet copies these responses into events. So they contain no address and no text of a peer: only names from the
//! configuration, slugs, and telltail's own sentences.

use super::health_check::{HealthCheck, ReadinessEffect};
use super::response::text;
use crate::config::Mode;
use crate::state::Snapshot;
use axum::body::Body;
use axum::http::{Response, StatusCode, Uri};

/// The path and query of a request.
pub(super) struct HealthQuery<'a> {
    /// The last segment of the path: the check's name.
    name: &'a str,
    /// Explain, even if every check passes.
    pub(super) verbose: bool,
    /// Checks that do not count.
    excluded: Vec<&'a str>,
}

impl<'a> From<&'a Uri> for HealthQuery<'a> {
    /// Nothing is percent-decoded: a check's name has no character that needs it.
    fn from(uri: &'a Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let parameters = || query.split('&').map(|part| part.split_once('=').unwrap_or((part, "")));
        Self {
            name: uri.path().rsplit('/').next().unwrap_or_default(),
            verbose: parameters().any(|(key, _)| key == "verbose"),
            excluded: parameters().filter(|(key, _)| *key == "exclude").map(|(_, name)| name).collect(),
        }
    }
}

/// `/healthz`.
pub(super) fn readiness(snapshot: &Snapshot, query: &HealthQuery<'_>) -> Response<Body> {
    let mode = snapshot.config.readiness;
    let verdict = snapshot.verdict_without(mode, &query.excluded);
    let mut body = String::new();
    for check in HealthCheck::all(snapshot) {
        let effect = if query.excluded.contains(&check.name) {
            ReadinessEffect::Excluded
        } else if verdict.blocking.iter().any(|name| name == check.name) {
            ReadinessEffect::Blocks
        } else if !check.required {
            ReadinessEffect::Optional
        } else {
            ReadinessEffect::IgnoredByMode(mode)
        };
        body += &check.line(effect, snapshot.at);
    }
    if snapshot.draining {
        body += "[-]draining failed: telltail was told to stop and is not ready in any mode\n";
    }
    body += &format!("mode {}\n", mode.slug());
    if query.verbose {
        body += &notes(snapshot, &query.excluded);
    }
    result(verdict.ready, query.verbose, body)
}

/// `/healthz/NAME`: the state of that check, whatever the mode.
pub(super) fn single_check(snapshot: &Snapshot, query: &HealthQuery<'_>) -> Response<Body> {
    let Some(check) = HealthCheck::all(snapshot).find(|check| check.name == query.name) else {
        return text(StatusCode::NOT_FOUND, "no such check\n");
    };
    result(check.is_up(), query.verbose, check.line(ReadinessEffect::Blocks, snapshot.at))
}

/// `ok` for machines; the explanation if the query is verbose or a check failed.
fn result(passed: bool, verbose: bool, explanation: String) -> Response<Body> {
    match passed {
        true if !verbose => text(StatusCode::OK, "ok\n"),
        true => text(StatusCode::OK, explanation + "healthz check passed\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, explanation + "healthz check failed\n"),
    }
}

/// The lines that only `?verbose` adds.
fn notes(snapshot: &Snapshot, excluded: &[&str]) -> String {
    let by_mode = Mode::ALL.map(|mode| {
        let passed = snapshot.verdict_without(mode, excluded).ready;
        format!("{} {}", mode.slug(), if passed { "passed" } else { "failed" })
    });
    let mut notes = format!("by mode: {}\n", by_mode.join(", "));
    let untested: Vec<_> = snapshot.worker_path_untested().map(|view| view.target.name.as_str()).collect();
    if let Some(facts) = snapshot.node.facts.as_ref().filter(|_| !untested.is_empty()) {
        notes += &format!(
            "note: tailscaled runs in {} mode; the way on which the worker itself reaches {} is not tested until \
             via= names {}\n",
            facts.mode.name(),
            untested.join(", "),
            facts.mode.worker_via()
        );
    }
    let unknown = excluded.iter().filter(|name| !HealthCheck::all(snapshot).any(|check| check.name == **name)).count();
    if unknown > 0 {
        notes += &format!("warning: names in exclude= that are no check: {unknown}\n");
    }
    notes
}
