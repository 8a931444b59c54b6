//! What a running agent has to add: it remembers.

use crate::document::Document;
use crate::reason::escape;

/// What a running agent says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// `/api/v1/status`
    pub document: Document,
    /// `/metrics`
    pub metrics: String,
}

/// Changes of a target that are told: they show whether it flaps. All are in `telltail status`.
const REMEMBERED: usize = 3;

impl Agent {
    /// What the running agent says, in a line.
    pub(super) fn says(&self) -> String {
        format!(
            "running, {}: {}",
            if self.document.ready { "ready" } else { "not ready" },
            escape(&self.document.verdict)
        )
    }

    /// What it remembers of a target, newest first.
    pub(super) fn history(&self, target: &str) -> Vec<String> {
        let of_target = self.document.targets.iter().find(|one| one.name == target);
        let told = of_target.into_iter().flat_map(|one| {
            let since = format!("the agent: {} since {}", one.state, one.since);
            let changes = one.transitions.iter().take(REMEMBERED).map(|change| {
                let why = change.reason.as_deref().map(|reason| format!(" for {reason}")).unwrap_or_default();
                let path = change.path.as_deref().map(|path| format!(", path {path}")).unwrap_or_default();
                format!("           {} {} -> {}{why}{path}", change.at, change.from, change.to)
            });
            std::iter::once(since).chain(changes)
        });
        // An agent of another version may say anything.
        told.map(|line| escape(&line)).collect()
    }
}
