//! Health warnings by code, as the IPN bus reports them, and the login error among their texts, as the status does.

use crate::slug::slug_enum;
use crate::untrusted::{escape, redact_secrets};
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

/// Precedes the login error in the text of the warning `login-state` (`health/warnings.go`, 1.80.3 to 1.102.5).
const LOGIN_ERROR: &str = "The last login error was: ";

/// The login error among the texts of the status's `Health`, in one line and without secrets.
pub(super) fn login_error(texts: &[String]) -> Option<String> {
    let (_, error) = texts.iter().find_map(|text| text.split_once(LOGIN_ERROR))?;
    Some(redact_secrets(&error.split_whitespace().collect::<Vec<_>>().join(" ")))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: &str) -> Option<String> {
        let login = format!("You are logged out. The last login error was: {error}");
        login_error(&["Tailscale is starting. Please wait.".to_owned(), login])
    }

    #[test]
    fn a_login_error_is_found_among_other_texts() {
        assert_eq!(told("invalid authkey").as_deref(), Some("invalid authkey"));
        assert_eq!(
            told("multiple errors:\n\tinvalid character").as_deref(),
            Some("multiple errors: invalid character")
        );
        for none in ["You are logged out.", "Tailscale is stopped.", "health: The last login"] {
            assert_eq!(login_error(&[none.to_owned()]), None);
        }
    }

    #[test]
    fn a_login_error_keeps_no_login_page() {
        let told = told("visit\n\thttps://login.tailscale.com/a/0123 now");
        assert_eq!(told.as_deref(), Some("visit https://REDACTED now"));
    }
}
