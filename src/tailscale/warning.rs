//! Health warnings by code, as the IPN bus reports them.

use crate::reason::escape;
use crate::slug::slug_enum;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Warnings that are kept of one health state: tailscaled has some 25 of its own (1.102.5: `tsconst/health.go`, and
/// what `feature/` adds); control may send others.
const MAX_WARNINGS: usize = 64;

/// Bytes of a warning's code that are kept; the longest of tailscaled's own has 27.
const MAX_CODE: usize = 64;

/// A condition that tailscaled warns of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Its code, for example `no-derp-connection`, escaped and cut to 64 bytes. Control can send codes of its own.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// Does tailscaled say that it impairs connections?
    pub impacts_connectivity: bool,
}

slug_enum! {
    /// How bad a warning is, in tailscaled's words.
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Severity {
        /// `high`
        High = "high",
        /// `medium`
        Medium = "medium",
        /// `low`
        Low = "low",
        /// Missing, or not used by any release so far.
        #[serde(other)]
        Unknown = "unknown",
    }
}

/// Go's `health.State`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HealthState {
    /// Null without warnings.
    #[serde(rename = "Warnings", deserialize_with = "warnings")]
    pub warnings: Vec<Warning>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UnhealthyState {
    #[serde(rename = "Severity")]
    severity: Option<Severity>,
    #[serde(rename = "ImpactsConnectivity")]
    impacts_connectivity: Option<bool>,
}

fn warnings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Warning>, D::Error> {
    deserializer.deserialize_any(WarningsVisitor)
}

struct WarningsVisitor;

impl<'de> Visitor<'de> for WarningsVisitor {
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
            && let Some((code, unhealthy)) = map.next_entry::<String, Option<UnhealthyState>>()?
        {
            let mut code = escape(&code);
            code.truncate(MAX_CODE);
            let UnhealthyState { severity, impacts_connectivity } = unhealthy.unwrap_or_default();
            let severity = severity.unwrap_or(Severity::Unknown);
            warnings.push(Warning { code, severity, impacts_connectivity: impacts_connectivity == Some(true) });
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(warnings)
    }
}
