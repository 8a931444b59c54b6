//! What tailscaled warns of.

use std::collections::BTreeMap;

use crate::json::{Fields, Json};
use crate::{BackendState, SimState};

/// A condition that tailscaled warns of, in `Health` of the bus by its code, and in `Health` of the status by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// How bad it is.
    pub severity: Severity,
    /// What a person is told.
    pub text: String,
    /// Whether connections suffer.
    pub impacts_connectivity: bool,
}

/// How bad a warning is.
#[allow(missing_docs, reason = "the words are Tailscale's")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    High,
    Medium,
    Low,
}

impl Warning {
    /// A warning of medium severity that says that connections suffer.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Warning { severity: Severity::Medium, text: text.to_owned(), impacts_connectivity: true }
    }
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
        }
    }
}

/// By code: what was set, and what comes along with the backend state.
pub(crate) fn warnings(sim: &SimState) -> BTreeMap<String, Warning> {
    let mut warnings = sim.warnings.clone();
    // Nobody asked it to run, or not yet; after an expiry it says nothing.
    if sim.state == BackendState::Stopped || sim.state == BackendState::NeedsLogin && !sim.netmap {
        let text = "Tailscale is stopped.".to_owned();
        let stopped = Warning { severity: Severity::Low, text, impacts_connectivity: false };
        warnings.insert("wantrunning-false".to_owned(), stopped);
    }
    warnings
}

/// `health.State`
pub(crate) fn health(sim: &SimState) -> Json {
    let entry = |(code, warning): (String, Warning)| {
        let fields = Fields::default()
            .set("WarnableCode", code.as_str())
            .set("Severity", warning.severity.as_str())
            .set("Title", "A title")
            .set("Text", warning.text)
            .set_if(warning.impacts_connectivity, "ImpactsConnectivity", true);
        (code, Json::from(fields))
    };
    let warnings: BTreeMap<_, _> = warnings(sim).into_iter().map(entry).collect();
    let warnings = if warnings.is_empty() { Json::Null } else { Json::Map(warnings) };
    Fields::default().set("Warnings", warnings).into()
}
