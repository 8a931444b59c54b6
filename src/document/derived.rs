//! What the status page and `telltail status` both derive from the document.

use super::{Document, FailureJson, PathChangeJson, TargetJson, TransitionJson};
use crate::probe_result::Detail;
use crate::reason::Stage;

/// A change of state or path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HistoryEntry<'a> {
    /// The node or a target changed its state.
    State(&'a TransitionJson),
    /// A target's path changed.
    Path(&'a PathChangeJson),
}

impl HistoryEntry<'_> {
    /// When.
    pub fn at(&self) -> &str {
        match self {
            Self::State(change) => &change.at,
            Self::Path(change) => &change.at,
        }
    }
}

impl Document {
    /// Every failure with its target, none for the node. A fault of the node is not repeated for each target.
    pub fn failures(&self) -> impl Iterator<Item = (Option<&str>, &FailureJson)> {
        let node = self.node.failure.iter().map(|failure| (None, failure));
        let targets =
            self.targets.iter().filter_map(|target| Some((Some(target.name.as_str()), target.failure.as_ref()?)));
        node.chain(targets.filter(|(_, failure)| failure.stage() != Some(Stage::Node)))
    }

    /// Names of the targets that are not probed on the worker's own path.
    pub fn worker_path_untested(&self) -> Vec<&str> {
        let untested = self.targets.iter().filter(|target| target.worker_way_untested);
        untested.map(|target| target.name.as_str()).collect()
    }

    /// Names of the targets of which only the port is tested, because they ask for TLS.
    pub fn protocol_untested(&self) -> Vec<&str> {
        let tls_only = |target: &&TargetJson| {
            target.last_probe.as_ref().is_some_and(|probe| probe.detail.as_deref() == Some(Detail::TlsOnly.slug()))
        };
        self.targets.iter().filter(tls_only).map(|target| target.name.as_str()).collect()
    }

    /// Every change with its target, none for the node; newest first.
    pub fn history(&self) -> Vec<(Option<&str>, HistoryEntry<'_>)> {
        let node = self.node.transitions.iter().map(|change| (None, HistoryEntry::State(change)));
        let mut entries: Vec<_> = node.collect();
        for target in &self.targets {
            let name = Some(target.name.as_str());
            entries.extend(target.transitions.iter().map(|change| (name, HistoryEntry::State(change))));
            entries.extend(target.path_changes.iter().map(|change| (name, HistoryEntry::Path(change))));
        }
        // RFC 3339 in UTC sorts as text. The sort is stable: simultaneous changes keep their order.
        entries.sort_by(|(_, a), (_, b)| b.at().cmp(a.at()));
        entries
    }
}
