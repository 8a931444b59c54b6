//! What is told of a change, and what it is about.

use crate::config::Config;
use crate::key_expiry_log::{ExpiringKey, KeyOwner};
use crate::state::Change;
use crate::untrusted::escape;

/// A line of the log that may have to wait.
#[derive(Clone, Debug)]
pub(super) enum Line {
    Change(Change),
    Key(ExpiringKey),
    Reloaded { hash: String, added: Vec<String>, removed: Vec<String> },
    NeedsRestart(Vec<String>),
    Rejected { problem: String, problems: Option<String> },
}

/// What a line is about. Of several lines about one subject, the last may stand for all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Node,
    State(String),
    Path(String),
    Peer(String),
    Key(KeyOwner),
    Reloaded,
    NeedsRestart,
    Rejected,
}

impl Subject {
    /// The target that it belongs to.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::State(name) | Self::Path(name) | Self::Peer(name) | Self::Key(KeyOwner::Target(name)) => Some(name),
            Self::Node | Self::Key(KeyOwner::Node) | Self::Reloaded | Self::NeedsRestart | Self::Rejected => None,
        }
    }
}

impl Line {
    /// That a new configuration is in force.
    pub fn reloaded(old: &Config, new: &Config) -> Self {
        let names = |config: &Config| config.targets.iter().map(|target| target.name.clone()).collect::<Vec<_>>();
        let (before, after) = (names(old), names(new));
        let missing_in = |names: &[String], other: &[String]| {
            names.iter().filter(|name| !other.contains(name)).cloned().collect::<Vec<_>>()
        };
        let (added, removed) = (missing_in(&after, &before), missing_in(&before, &after));
        Self::Reloaded { hash: new.hash.clone(), added, removed }
    }

    /// That a new configuration was rejected, with its first problem and how many there are; `telltail config check` shows them all.
    pub fn rejected(problems: &str) -> Self {
        // Several lines begin with one that tells how many problems there are.
        let (heading, listed) = problems.split_once('\n').map_or((None, problems), |(first, rest)| (Some(first), rest));
        let problem = listed.lines().next().map(|line| escape(line.trim_start())).unwrap_or_default();
        Self::Rejected { problem, problems: heading.map(|heading| escape(heading.trim_end_matches(':'))) }
    }

    pub fn subject(&self) -> Subject {
        match self {
            Self::Change(Change::Node(_)) => Subject::Node,
            Self::Change(Change::Target(of, _)) => Subject::State(of.name.clone()),
            Self::Change(Change::Path(of, _)) => Subject::Path(of.name.clone()),
            Self::Change(Change::Peer(of, _)) => Subject::Peer(of.name.clone()),
            Self::Key(key) => Subject::Key(key.owner.clone()),
            Self::Reloaded { .. } => Subject::Reloaded,
            Self::NeedsRestart(_) => Subject::NeedsRestart,
            Self::Rejected { .. } => Subject::Rejected,
        }
    }
}
