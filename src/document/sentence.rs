//! The verdict as a sentence.

use super::{Document, FailureJson, TargetJson};
use crate::health::NODE_CHECK;

/// A fault of the node is named once, however many targets it takes down.
pub(super) fn verdict(document: &Document) -> String {
    if document.readiness.draining {
        return "Not ready: telltail is shutting down.".to_owned();
    }
    let node_is_at_fault = document.node.state != "up" || blocks(document, NODE_CHECK);
    let problem = if node_is_at_fault { Some(node(document)) } else { targets(document) };
    match (problem, document.ready) {
        (Some(problem), true) => format!("Ready in mode {}, but {problem}.", document.readiness.mode),
        (Some(problem), false) => format!("Not ready: {problem}."),
        (None, _) => format!("Ready: {}.", all_up(document)),
    }
}

fn blocks(document: &Document, check: &str) -> bool {
    document.readiness.blocking.iter().any(|name| name == check)
}

fn node(document: &Document) -> String {
    match (&document.node.failure, &*document.node.state) {
        (Some(failure), _) => {
            format!("this pod's tailscaled is at fault ({}), and no target can be reached without it", failure.reason)
        }
        (None, "unknown") => "tailscaled has not answered yet".to_owned(),
        (None, _) => "tailscaled is recovering".to_owned(),
    }
}

/// The targets that are not up: those that block, else those that are down, or required and not up yet.
fn targets(document: &Document) -> Option<String> {
    let select = |wanted: &dyn Fn(&TargetJson) -> bool| {
        document.targets.iter().filter(|target| wanted(target)).collect::<Vec<_>>()
    };
    let blocking = select(&|target| blocks(document, &target.name));
    let failing = if blocking.is_empty() {
        select(&|target| target.state == "down" || target.required && target.state == "unknown")
    } else {
        blocking
    };
    let first = failing.first()?;
    let names: Vec<_> = failing.iter().map(|target| target.name.as_str()).collect();
    let are = if names.len() == 1 { "is" } else { "are" };
    if failing.iter().all(|target| target.state == "unknown") {
        return Some(format!("{} {are} not up yet", listed(&names)));
    }
    let reason = |target: &TargetJson| target.failure.as_ref().map(|failure| failure.reason.clone());
    let same = failing.iter().all(|target| reason(target) == reason(first));
    let why = first.failure.as_ref().filter(|_| same).map(fault_clause).unwrap_or_default();
    let optional = if first.required { "" } else { "optional " };
    Some(format!("{optional}{} {are} down{why}", listed(&names)))
}

fn fault_clause(failure: &FailureJson) -> String {
    let part = match &*failure.scope {
        "pod" => "this pod",
        "path" => "the path",
        _ => "the service",
    };
    format!(", and the fault is with {part} ({})", failure.reason)
}

fn all_up(document: &Document) -> String {
    match &document.targets[..] {
        [only] if only.state == "up" => format!("{} is up", only.name),
        all if all.iter().all(|target| target.state == "up") => format!("all {} targets are up", all.len()),
        _ => "every required target is up".to_owned(),
    }
}

/// At most three names, to keep the sentence short.
fn listed(names: &[&str]) -> String {
    match names {
        [a] => (*a).to_owned(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        [a, b, rest @ ..] => format!("{a}, {b} and {} more", rest.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};
    use crate::health::TrackState;
    use crate::node::{Facts, Node, NodeState};
    use crate::state::{NodeReading, State};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};
    use tokio::time::Instant;

    #[test]
    fn a_target_that_was_not_probed_is_not_called_up_in_observe_mode() {
        let variables = [("TELLTAIL_TARGETS", "tcp://db:1"), ("TELLTAIL_READINESS", "observe")];
        let environment: Environment = variables.into_iter().collect();
        let config = load(&environment, None).expect("a configuration").config;
        let (now, wall) = (Instant::now(), SystemTime::now());
        let state = State::new(Arc::new(config), now, wall);
        let verdict = || Document::of(&state.snapshot(now), wall).verdict;
        assert_eq!(verdict(), "Ready in mode observe, but tailscaled has not answered yet.");
        let node = Node { state: NodeState::Running, fault: None, facts: Some(Facts::default()) };
        state.record_node(NodeReading { at: wall, node, lag: Duration::ZERO }, now);
        assert_eq!(state.snapshot(now).node_track.state(), TrackState::Up);
        assert_eq!(verdict(), "Ready in mode observe, but db is not up yet.");
    }
}
