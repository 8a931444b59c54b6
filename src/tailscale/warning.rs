//! Health warnings as the bus tells them: by code.

use crate::reason::escape;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Warnings that are kept of one state of health: tailscaled has some 25 of its own (1.102.5: `tsconst/health.go`, and
/// what `feature/` adds); control may send others.
const MAX_WARNINGS: usize = 64;

/// Bytes of a warning's code that are kept; the longest of tailscaled's own has 27.
const MAX_CODE: usize = 64;

/// A condition that tailscaled warns of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Its code, for example `no-derp-connection`, escaped and cut to 64 bytes. Control can invent some.
    pub code: String,
    /// How bad tailscaled thinks it is.
    pub severity: Severity,
    /// Does tailscaled say that connections suffer?
    pub impacts_connectivity: bool,
}

/// How bad a warning is.
#[allow(missing_docs, reason = "the words are tailscaled's")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    High,
    Medium,
    Low,
    /// A word that no release has said yet, or none.
    #[serde(other)]
    Unknown,
}

impl Severity {
    /// Every severity.
    pub const ALL: [Self; 4] = [Self::High, Self::Medium, Self::Low, Self::Unknown];

    /// The label value.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Unknown => "unknown",
        }
    }
}

/// Go's `health.State`, of which little is kept, however much there is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Health {
    /// Null where all is well.
    #[serde(rename = "Warnings", deserialize_with = "warnings")]
    pub warnings: Vec<Warning>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Unhealthy {
    #[serde(rename = "Severity")]
    severity: Option<Severity>,
    #[serde(rename = "ImpactsConnectivity")]
    impacts_connectivity: Option<bool>,
}

fn warnings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Warning>, D::Error> {
    deserializer.deserialize_any(Warnings)
}

struct Warnings;

impl<'de> Visitor<'de> for Warnings {
    type Value = Vec<Warning>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("warnings by code, or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut warnings = Vec::new();
        while warnings.len() < MAX_WARNINGS
            && let Some((code, unhealthy)) = map.next_entry::<String, Option<Unhealthy>>()?
        {
            let mut code = escape(&code);
            code.truncate(MAX_CODE);
            let Unhealthy { severity, impacts_connectivity } = unhealthy.unwrap_or_default();
            let severity = severity.unwrap_or(Severity::Unknown);
            warnings.push(Warning { code, severity, impacts_connectivity: impacts_connectivity == Some(true) });
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(warnings)
    }
}
