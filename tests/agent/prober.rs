//! Probes of one target, each with the memory of those before. The clock is moved while nothing is under way, for a paused clock
//! and a real socket do not mix.

use crate::harness::Harness;
use std::sync::Arc;
use std::time::Duration;
use telltail::config::{Environment, Source, Target};
use telltail::probe::dns::MagicDns;
use telltail::probe::resolve::resolve;
use telltail::probe::{ProbeContext, ProbeMemory, run};
use telltail::probe_result::Detail;
use telltail::reason::Reason;
use telltail::tailscale::LocalApi;
use tokio::time::{advance, pause, resume};

/// Probes one target again and again.
pub struct Prober {
    pub target: Target,
    local: LocalApi,
    dns: MagicDns,
    memory: ProbeMemory,
    /// Does a failure take the target down?
    pub decides: bool,
}

impl Prober {
    pub fn of(harness: &Harness, url: &str) -> Self {
        let environment: Environment = [("TELLTAIL_TARGETS", url)].into_iter().collect();
        let config = Source::new(environment, None).load().expect("a configuration that holds").config;
        let local = LocalApi::new(Some(harness.tailscaled.socket().to_owned()), Arc::new(|_, _| {}));
        Self {
            target: Target::clone(&config.targets[0]),
            local,
            dns: MagicDns::at(harness.dns.addr()),
            memory: ProbeMemory::default(),
            decides: true,
        }
    }

    pub async fn probe(&mut self) -> Result<Detail, Reason> {
        let status = self.local.status(true, &|_, _| true).await.expect("tailscaled is fine");
        let resolution = resolve(&status, &self.target.host);
        let context = ProbeContext {
            mode: status.mode,
            dialer: self.local.dialer(),
            dns: &self.dns,
            decides: self.decides,
            keeps_connections: true,
        };
        run(&self.target, &resolution, &mut self.memory, context).await.outcome.map_err(|failure| failure.reason)
    }
}

/// Moves the clock.
pub async fn later(seconds: u64) {
    pause();
    advance(Duration::from_secs(seconds)).await;
    resume();
}
