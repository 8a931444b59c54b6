//! The backend of a running agent: the tailnet, through the local tailscaled.

use super::Backend;
use crate::config::Target;
use crate::diagnose::PingEvidence;
use crate::probe::dns::MagicDns;
use crate::probe::path_probe::{PathProbe, probe_path};
use crate::probe::resolve::{Interest, Resolved};
use crate::probe::{self, PooledConnection, Probe, ProbeContext, evidence};
use crate::reason::Failure;
use crate::tailscale::{CallObserver, Dialer, LocalApi, Peer, Status};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The tailnet, as the local tailscaled shows and reaches it.
pub struct Tailnet {
    local: LocalApi,
    dns: MagicDns,
    netmap: Option<Netmap>,
}

/// The peers as of the last full status, kept where a full one costs too much for every round.
struct Netmap {
    peers: Vec<Peer>,
    interest: Interest,
    size: usize,
    read: Instant,
}

/// A status longer than this is asked for in full only once in [`FULL_STATUS_EVERY`].
const LARGE_STATUS: usize = 1 << 20;
/// See [`LARGE_STATUS`].
const FULL_STATUS_EVERY: Duration = Duration::from_secs(60);

impl Tailnet {
    /// Through the tailscaled at `socket`, or in one of the two usual places. `observe` is told of each call.
    pub fn new(socket: Option<PathBuf>, magic_dns: SocketAddr, observe: CallObserver) -> Self {
        Self { local: LocalApi::new(socket, observe), dns: MagicDns::new(magic_dns), netmap: None }
    }

    /// For whoever else asks tailscaled something.
    pub fn dialer(&self) -> Dialer {
        self.local.dialer().clone()
    }
}

/// Longest time for looking up a DERP region's number.
const REGION_TIMEOUT: Duration = Duration::from_secs(1);

impl Backend for Tailnet {
    async fn status(&mut self, interest: &Interest) -> Result<Status, Failure> {
        let keep = |peer: &Peer| interest.wants(peer);
        let recent = |netmap: &Netmap| {
            netmap.size > LARGE_STATUS && netmap.read.elapsed() < FULL_STATUS_EVERY && netmap.interest == *interest
        };
        if let Some(netmap) = self.netmap.take_if(|netmap| recent(netmap)) {
            let mut status = self.local.status(false, &keep).await?;
            status.peers.clone_from(&netmap.peers);
            self.netmap = Some(netmap);
            return Ok(status);
        }
        let status = self.local.status(true, &keep).await?;
        let (peers, size) = (status.peers.clone(), status.size);
        self.netmap = Some(Netmap { peers, interest: interest.clone(), size, read: Instant::now() });
        Ok(status)
    }

    /// Holds no more of `self` than it needs, for the kept connection is not `Sync`.
    fn probe(
        &self,
        target: &Target,
        held: &mut Option<PooledConnection>,
        status: &Status,
    ) -> impl Future<Output = Probe> + Send {
        let (dialer, dns) = (self.local.dialer(), &self.dns);
        async move { probe::run(target, held, ProbeContext { status, dialer, dns }).await }
    }

    async fn region_id(&mut self, code: &str) -> Option<u32> {
        timeout(REGION_TIMEOUT, self.local.region_id(code)).await.ok()?.ok()?
    }

    fn look(
        &self,
        resolved: &Resolved<'_>,
        sample_wanted: bool,
        round_trip_wanted: bool,
    ) -> impl Future<Output = PathProbe> + Send {
        let dialer = self.local.dialer();
        probe_path(resolved, sample_wanted, round_trip_wanted, dialer)
    }

    fn evidence(&self, resolved: &Resolved<'_>) -> impl Future<Output = PingEvidence> + Send {
        evidence::gather(resolved.address, &resolved.peer.addresses, self.local.dialer())
    }
}
