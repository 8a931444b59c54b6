//! One probe of one target.

use super::json::stages_json;
use super::probes::{probe_target, read_node, resolution};
use crate::config::{Depth, Target};
use crate::probe::ProbeContext;
use crate::probe::dns::MagicDns;
use crate::probe::peer_filter::PeerFilter;
use crate::probe_result::ProbeResult;
use crate::reason::Scope;
use crate::tailscale::{LocalApi, Status};
use crate::untrusted::escape;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// The result of one probe.
#[derive(Debug)]
pub struct CheckReport {
    /// As configured.
    pub target: Arc<Target>,
    /// tailscaled's status; none where it does not answer.
    pub status: Option<Status>,
    /// The probe.
    pub probe: ProbeResult,
}

/// Exit codes of `pg_isready`, which scripts know.
const ACCEPTING: u8 = 0;
const REJECTING: u8 = 1;
const NO_RESPONSE: u8 = 2;
const NO_ATTEMPT: u8 = 3;

/// Probes `target` once through the tailscaled at `socket`.
pub async fn check_target(target: Arc<Target>, socket: Option<PathBuf>, magic_dns: MagicDns) -> CheckReport {
    let mut local = LocalApi::new(socket, Arc::new(|_, _| {}));
    let filter = PeerFilter::of([&*target]);
    let (node, status) = read_node(&mut local, &|status, peer| filter.matches(status, peer), SystemTime::now()).await;
    let resolution = resolution(&target, &node, status.as_ref());
    let mode = status.as_ref().map(|status| status.mode).unwrap_or_default();
    let context =
        ProbeContext { mode, dialer: local.dialer(), dns: &magic_dns, decides: true, keeps_connections: true };
    let (probe, _) = probe_target(&target, &resolution, status.as_ref(), context).await;
    CheckReport { target, status, probe }
}

impl CheckReport {
    /// 0 accepting, 1 rejecting, 2 no response, 3 no attempt was made.
    pub fn exit_code(&self) -> u8 {
        let Err(failure) = &self.probe.outcome else { return ACCEPTING };
        let attempted = failure.reason.scope() != Scope::Pod && self.probe.timings.resolve.is_some();
        match (attempted, failure.reason.is_rejection()) {
            (false, _) => NO_ATTEMPT,
            (true, true) => REJECTING,
            (true, false) => NO_RESPONSE,
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let failure = self.probe.outcome.as_ref().err();
        json!({
            "target": self.target.name,
            "up": failure.is_none(),
            "detail": self.probe.outcome.as_ref().ok().map(|detail| detail.slug()),
            "depth": self.depth().slug(),
            "via": self.via(),
            "stages": stages_json(self.probe.timings),
            "reason": failure.map(|failure| failure.reason.slug()),
            "scope": failure.map(|failure| failure.reason.scope().slug()),
            "cause": failure.map(|failure| &failure.cause),
            "next_step": failure.map(|failure| failure.reason.next_step()),
            "tailscaled": self.status.as_ref().map(|status| escape(&status.version)),
        })
    }

    /// How far the probe got, if it succeeded; else how far it was to go.
    pub fn depth(&self) -> Depth {
        let configured = self.target.depth;
        self.probe.outcome.as_ref().map_or(configured, |detail| detail.depth(configured))
    }

    /// How the connect stage reaches the target.
    pub fn via(&self) -> String {
        let mode = self.status.as_ref().map(|status| status.mode).unwrap_or_default();
        self.target.via.effective(mode).to_string()
    }
}
