//! What happens in a pod, in the words of its time line.

use std::{fmt, time::Duration};

use super::managed_container::ProbeKind;

/// Something that happened; containers are called by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A container was started; how often it was restarted before.
    Running(String, u32),
    /// Its startup probe has passed, or it has none.
    Started(String),
    /// A probe failed that had not failed before.
    ProbeFailed(String, ProbeKind, String),
    /// A probe failed too often: the container is restarted.
    Restarting(String, ProbeKind),
    /// The pod has become ready, or has ceased to be.
    Ready(bool),
    /// The pod was deleted and has so long to end.
    Deleted(Duration),
    /// A container was asked to end.
    Terminating(String),
    /// A container has ended with this code; minus the signal's number where a signal ended it.
    Exited(String, i32),
    /// What the test did.
    Note(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(name, 0) => write!(f, "{name}: container started"),
            Self::Running(name, restarts) => write!(f, "{name}: container started again (restart {restarts})"),
            Self::Started(name) => write!(f, "{name}: counts as started"),
            Self::ProbeFailed(name, kind, why) => write!(f, "{name}: {kind:?} probe failed: {why}"),
            Self::Restarting(name, kind) => write!(f, "{name}: {kind:?} probe failed too often, restarting it"),
            Self::Ready(true) => write!(f, "pod is Ready"),
            Self::Ready(false) => write!(f, "pod is NotReady"),
            Self::Deleted(grace) => write!(f, "pod deleted, grace period {} s", grace.as_secs()),
            Self::Terminating(name) => write!(f, "{name}: SIGTERM"),
            Self::Exited(name, code) => write!(f, "{name}: ended with {code}"),
            Self::Note(text) => write!(f, "-- {text}"),
        }
    }
}
