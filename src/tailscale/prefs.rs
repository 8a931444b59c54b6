//! `prefs`: how this node is configured.

use super::LocalApi;
use crate::reason::Failure;
use serde::Deserialize;

/// Bytes of the preferences that are read: a node's have about 1 KiB, some more where it advertises routes.
const MAX_PREFS: usize = 1 << 20;

/// The preferences that the doctor checks.
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
    /// Reads the node's preferences. The deadline is the caller's.
    pub async fn prefs(&mut self) -> Result<Prefs, Failure> {
        self.get_json("/localapi/v0/prefs", MAX_PREFS, "preferences").await
    }
}
