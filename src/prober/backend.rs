//! What the loop does I/O through.

use crate::config::Target;
use crate::diagnose::{PingEvidence, Testimony};
use crate::network_mode::NetworkMode;
use crate::peer::PathProbe;
use crate::peer::TargetPeer;
use crate::probe::ProbeMemory;
use crate::probe::path_probe::PingPolicy;
use crate::probe::peer_filter::PeerFilter;
use crate::probe::resolve::{Resolution, Resolved};
use crate::probe::witness::Witness;
use crate::probe_result::ProbeResult;
use crate::reason::Failure;
use crate::tailscale::Status;
use std::future::Future;

/// What the loop does I/O through: the [`super::LocalApiBackend`], or a test's script. Calls of several targets overlap.
pub trait Backend: Send + Sync + 'static {
    /// The local tailscaled, with the peers that match.
    fn status(&self, filter: &PeerFilter) -> impl Future<Output = Result<Status, Failure>> + Send;

    /// The number of the DERP region with this code, if it can be had.
    fn region_id(&self, code: &str) -> impl Future<Output = Option<u32>> + Send;

    /// One probe of a target while the node is fine; see [`crate::probe::run`] and [`crate::probe::ProbeContext::decides`].
    fn probe(
        &self,
        target: &Target,
        resolution: &Resolution,
        memory: &mut ProbeMemory,
        mode: NetworkMode,
        decides: bool,
    ) -> impl Future<Output = ProbeResult> + Send;

    /// One probe of the path to a target's peer; see [`crate::probe::path_probe::probe_path`].
    fn probe_path(&self, resolved: &Resolved, policy: PingPolicy) -> impl Future<Output = PathProbe> + Send;

    /// Pings of the layers below TCP; see [`crate::probe::ping_evidence::gather`].
    fn ping_evidence(
        &self,
        peer: &TargetPeer,
        witnesses: impl Future<Output = Testimony> + Send,
    ) -> impl Future<Output = PingEvidence> + Send;

    /// Pings of other peers; see [`crate::probe::ping_evidence::ask`].
    fn ask_witnesses(&self, witnesses: &[Witness]) -> impl Future<Output = Testimony> + Send;
}
