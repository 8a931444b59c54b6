//! `prefs`: what this node was told to do.

use super::{LocalApi, MAX_ERROR_TEXT, broken, unexpected};
use crate::reason::{Failure, Reason};
use hyper::StatusCode;
use serde::Deserialize;

/// Bytes of the preferences that are read: a node's have about 1 KiB, some more where it advertises routes.
const MAX_PREFS: usize = 1 << 20;

/// The preferences that a doctor looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Prefs {
    /// accept-dns: does tailscaled write the pod's resolv.conf?
    #[serde(rename = "CorpDNS")]
    pub accept_dns: bool,
    /// accept-routes: are other nodes' subnet routes used?
    #[serde(rename = "RouteAll")]
    pub accept_routes: bool,
}

impl LocalApi {
    /// What this node was told to do. The deadline is the caller's.
    pub async fn prefs(&mut self) -> Result<Prefs, Failure> {
        let (mut connection, response) = self.get("/localapi/v0/prefs").await?;
        let status = response.status();
        if status != StatusCode::OK {
            let text = connection.text(response.into_body(), MAX_ERROR_TEXT).await.unwrap_or_default();
            return Err(unexpected(status, &text));
        }
        let text = connection.text(response.into_body(), MAX_PREFS).await.map_err(|error| broken(&error))?;
        self.kept = Some(connection);
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(Reason::NodeLocalapiInvalid, format_args!("the preferences: {error}")))
    }
}
