//! Readiness in the form of Kubernetes' apiserver: `ok`, or a line per check and the verdict at the end.
//!
//! No address and no word of a peer is on these pages: names from the configuration, slugs, and sentences of our own.

use super::check::{Check, Mark};
use super::reply::Reply;
use crate::config::{Mode, Via};
use crate::state::{Snapshot, TargetView};
use axum::http::{StatusCode, Uri};
use std::time::SystemTime;
use tokio::time::Instant;

/// What a request asks for, beyond its route.
pub(super) struct Asked<'a> {
    /// The last segment of the path: the check's name.
    name: &'a str,
    /// Explain, even if all is well.
    pub(super) verbose: bool,
    /// Checks that shall not count.
    excluded: Vec<&'a str>,
    /// When.
    pub(super) now: Instant,
    /// The same moment as a date.
    pub(super) wall: SystemTime,
}

impl<'a> Asked<'a> {
    /// Reads path and query. Nothing is decoded: a target's name needs no escape.
    pub(super) fn of(uri: &'a Uri, now: Instant, wall: SystemTime) -> Self {
        let query = uri.query().unwrap_or_default();
        let parameters = || query.split('&').map(|part| part.split_once('=').unwrap_or((part, "")));
        Self {
            name: uri.path().rsplit('/').next().unwrap_or_default(),
            verbose: parameters().any(|(key, _)| key == "verbose"),
            excluded: parameters().filter(|(key, _)| *key == "exclude").map(|(_, name)| name).collect(),
            now,
            wall,
        }
    }
}

/// `ok` for machines; everything if asked or if something is wrong.
fn verdict(passed: bool, verbose: bool, explanation: &str) -> Reply {
    match passed {
        true if !verbose => Reply::text(StatusCode::OK, "ok\n"),
        true => Reply::text(StatusCode::OK, format!("{explanation}healthz check passed\n")),
        false => Reply::text(StatusCode::SERVICE_UNAVAILABLE, format!("{explanation}healthz check failed\n")),
    }
}

/// `/healthz`.
pub(super) fn readiness(snapshot: &Snapshot, asked: &Asked<'_>) -> Reply {
    let mode = snapshot.config.readiness;
    let standing = snapshot.verdict_without(mode, &asked.excluded);
    let mut body = String::new();
    for check in Check::all(snapshot) {
        let mark = if asked.excluded.contains(&check.name) {
            Mark::Excluded
        } else if standing.blocking.iter().any(|name| name == check.name) {
            Mark::Blocks
        } else if !check.required {
            Mark::Optional
        } else {
            Mark::Spared(mode)
        };
        body += &check.line(mark, asked.now);
    }
    if snapshot.draining {
        body += "[-]draining failed: telltail was told to stop and is not ready in any mode\n";
    }
    body += &format!("mode {}\n", mode.slug());
    if asked.verbose {
        body += &remarks(snapshot, asked);
    }
    verdict(standing.ready, asked.verbose, &body)
}

/// `/healthz/NAME`: the state of that check, whatever the mode.
pub(super) fn check(snapshot: &Snapshot, asked: &Asked<'_>) -> Reply {
    let Some(check) = Check::all(snapshot).find(|check| check.name == asked.name) else {
        return Reply::text(StatusCode::NOT_FOUND, "no such check\n");
    };
    verdict(check.is_up(), asked.verbose, &check.line(Mark::Blocks, asked.now))
}

/// What only a person wants to know.
fn remarks(snapshot: &Snapshot, asked: &Asked<'_>) -> String {
    let by_mode = Mode::ALL.map(|mode| {
        let passed = snapshot.verdict_without(mode, &asked.excluded).ready;
        format!("{} {}", mode.slug(), if passed { "passed" } else { "failed" })
    });
    let mut remarks = format!("by mode: {}\n", by_mode.join(", "));
    let untested = untested(snapshot);
    if !untested.is_empty() {
        remarks += &format!(
            "note: tailscaled runs in userspace mode; the way on which the worker itself reaches {} is not tested until \
             via= names its SOCKS5 proxy\n",
            untested.join(", ")
        );
    }
    let unknown = asked.excluded.iter().filter(|name| !Check::all(snapshot).any(|check| check.name == **name)).count();
    if unknown > 0 {
        remarks += &format!("warning: names in exclude= that are no check: {unknown}\n");
    }
    remarks
}

/// Targets that are probed through tailscaled itself, which is not how the worker reaches them.
fn untested(snapshot: &Snapshot) -> Vec<&str> {
    let userspace = snapshot.node.facts.as_ref().is_some_and(|facts| !facts.tun);
    let through_tailscaled = |view: &&TargetView| matches!(view.target.via, Via::Auto | Via::LocalApi);
    let targets = snapshot.targets.iter().filter(|_| userspace).filter(through_tailscaled);
    targets.map(|view| view.target.name.as_str()).collect()
}
