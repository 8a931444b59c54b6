//! The backend of a running agent: LocalAPI, MagicDNS and connections through the local tailscaled.

use super::Backend;
use crate::config::Target;
use crate::diagnose::{PingEvidence, Testimony};
use crate::network_mode::NetworkMode;
use crate::peer::PathProbe;
use crate::peer::TargetPeer;
use crate::probe::dns::MagicDns;
use crate::probe::path_probe::{PingPolicy, probe_path};
use crate::probe::peer_filter::PeerFilter;
use crate::probe::resolve::{Resolution, Resolved};
use crate::probe::witness::Witness;
use crate::probe::{self, ProbeContext, ProbeMemory, ping_evidence};
use crate::probe_result::ProbeResult;
use crate::reason::Failure;
use crate::tailscale::{CallObserver, Dialer, ExtraRecord, LocalApi, Peer, Status};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// I/O through the local tailscaled.
pub struct LocalApiBackend {
    /// Reads of the status, over a kept connection. The loop makes one at a time.
    reader: Mutex<NetmapCache>,
    dialer: Dialer,
    dns: MagicDns,
    keeps_connections: bool,
}

struct NetmapCache {
    local: LocalApi,
    netmap: Option<Netmap>,
}

/// The peers as of the last full status, kept where a full one costs too much for every round.
struct Netmap {
    peers: Vec<Peer>,
    /// The peers were chosen by these.
    records: Vec<ExtraRecord>,
    others: Vec<Peer>,
    filter: PeerFilter,
    size: usize,
    read: Instant,
}

/// A status longer than this is read in full only once in [`FULL_STATUS_EVERY`].
const LARGE_STATUS: usize = 1 << 20;
/// See [`LARGE_STATUS`].
const FULL_STATUS_EVERY: Duration = Duration::from_secs(60);
/// Longest time for looking up a DERP region's number.
const REGION_TIMEOUT: Duration = Duration::from_secs(1);

impl LocalApiBackend {
    /// Through the tailscaled at `socket`, or in one of the two usual places. `observe` is called for each call.
    /// `keeps_connections` is that of [`ProbeContext`].
    pub fn new(socket: Option<PathBuf>, magic_dns: MagicDns, keeps_connections: bool, observe: CallObserver) -> Self {
        let local = LocalApi::new(socket, observe);
        let dialer = local.dialer().clone();
        Self { reader: Mutex::new(NetmapCache { local, netmap: None }), dialer, dns: magic_dns, keeps_connections }
    }

    /// For other callers of tailscaled.
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }
}

impl NetmapCache {
    async fn status(&mut self, filter: &PeerFilter) -> Result<Status, Failure> {
        let keep = |status: &Status, peer: &Peer| filter.matches(status, peer);
        let recent = |netmap: &Netmap| {
            netmap.size > LARGE_STATUS && netmap.read.elapsed() < FULL_STATUS_EVERY && netmap.filter == *filter
        };
        if let Some(netmap) = self.netmap.take_if(|netmap| recent(netmap)) {
            let mut status = self.local.status(false, &keep).await?;
            if status.extra_records == netmap.records {
                status.peers.clone_from(&netmap.peers);
                status.others.clone_from(&netmap.others);
                self.netmap = Some(netmap);
                return Ok(status);
            }
        }
        let status = self.local.status(true, &keep).await?;
        self.netmap = Some(Netmap {
            peers: status.peers.clone(),
            others: status.others.clone(),
            records: status.extra_records.clone(),
            filter: filter.clone(),
            size: status.size,
            read: Instant::now(),
        });
        Ok(status)
    }
}

impl Backend for LocalApiBackend {
    async fn status(&self, filter: &PeerFilter) -> Result<Status, Failure> {
        self.reader.lock().await.status(filter).await
    }

    async fn region_id(&self, code: &str) -> Option<u32> {
        timeout(REGION_TIMEOUT, self.reader.lock().await.local.region_id(code)).await.ok()?.ok()?
    }

    async fn probe(
        &self,
        target: &Target,
        resolution: &Resolution,
        memory: &mut ProbeMemory,
        mode: NetworkMode,
        decides: bool,
    ) -> ProbeResult {
        let context = ProbeContext {
            mode,
            dialer: &self.dialer,
            dns: &self.dns,
            decides,
            keeps_connections: self.keeps_connections,
        };
        probe::run(target, resolution, memory, context).await
    }

    async fn probe_path(&self, resolved: &Resolved, policy: PingPolicy) -> PathProbe {
        probe_path(resolved, policy, &self.dialer).await
    }

    async fn ping_evidence(
        &self,
        peer: &TargetPeer,
        witnesses: impl Future<Output = Testimony> + Send,
    ) -> PingEvidence {
        ping_evidence::gather(peer, witnesses, &self.dialer).await
    }

    async fn ask_witnesses(&self, witnesses: &[Witness]) -> Testimony {
        ping_evidence::ask(witnesses, &self.dialer).await
    }
}
