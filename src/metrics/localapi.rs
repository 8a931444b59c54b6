//! What is counted of calls to tailscaled's LocalAPI.

use super::counters;
use crate::tailscale::{Call, CallResult};
use prometheus::{IntCounter, Registry, Result};

/// The series, by call and result in the order of their `ALL`, in which the variants are declared, too.
#[derive(Debug)]
pub(super) struct LocalApi([[IntCounter; CallResult::ALL.len()]; Call::ALL.len()]);

impl LocalApi {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let help = "Calls to tailscaled's LocalAPI by how they went; a dial that tailscaled could not make is ok.";
        let calls = counters(registry, "telltail_localapi_requests_total", help, &["call", "result"])?;
        Ok(Self(
            Call::ALL.map(|call| CallResult::ALL.map(|result| calls.with_label_values(&[call.slug(), result.slug()]))),
        ))
    }

    pub(super) fn count(&self, call: Call, result: CallResult) {
        self.0[call as usize][result as usize].inc();
    }
}
