//! Faults of the machine that a service runs on, as the tailnet sees it.

use std::time::Duration;

use telltail_tailnet::{Agent, Dial, Mode, Node, Tailnet};
use telltail_testkit::eventually;
use tokio::join;

use crate::{CACHE, DB, SOON, becomes_ready, comes_back, goes_down, node, stays_up, watch};

/// A machine per fault, seen by a worker in userspace mode and one in TUN mode.
#[tokio::test]
async fn a_machine_that_fails_is_named_with_its_reason_and_comes_back() {
    let tailnet = Tailnet::start().await;
    let (userspace, tun) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, "worker-tun", Mode::Tun));
    let (removed, alike, denying, expired, frozen) = join!(
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, "stackeye-db-prd-1", Mode::Userspace),
        node(&tailnet, "db-denying", Mode::Userspace),
        node(&tailnet, "db-expired", Mode::Tun),
        node(&tailnet, "db-frozen", Mode::Userspace),
    );
    let _servers = join!(
        removed.postgres(&[]),
        alike.postgres(&[]),
        denying.postgres(&[]),
        expired.postgres(&[]),
        frozen.postgres(&[]),
        frozen.valkey(&[]),
    );
    let mut agents = Vec::new();
    for worker in [&userspace, &tun] {
        agents.push(PeerWatch::start(worker).await);
    }
    for agents in &agents {
        agents.are_ready().await;
    }
    for worker in [&userspace, &tun] {
        worker.hide(&removed).await;
        worker.expire_key_of(&expired).await;
        worker.show_offline(&alike).await;
    }
    denying.deny_everybody().await;
    frozen.freeze().await;
    for agents in &agents {
        agents.see_the_faults().await;
    }
    for worker in [&userspace, &tun] {
        worker.unhide(&removed).await;
        worker.set_key_expiry_of(&expired, None).await;
        worker.show_online(&alike).await;
    }
    denying.admit_everybody().await;
    frozen.thaw().await;
    for agents in &agents {
        agents.see_the_recovery().await;
    }
}

/// One telltail per machine.
struct PeerWatch<'a> {
    worker: &'a Node,
    removed: Agent<'a>,
    alike: Agent<'a>,
    denying: Agent<'a>,
    expired: Agent<'a>,
    frozen: Agent<'a>,
    frozen_cache: Agent<'a>,
}

impl<'a> PeerWatch<'a> {
    async fn start(worker: &'a Node) -> Self {
        let database = async |host: &str| watch(worker, &format!("postgres://{host}:5432")).await;
        Self {
            worker,
            removed: database(DB).await,
            alike: database("stackeye-db-prd-1").await,
            denying: database("db-denying").await,
            expired: database("db-expired").await,
            frozen: database("db-frozen").await,
            frozen_cache: watch(worker, "valkey://db-frozen:6379").await,
        }
    }

    async fn are_ready(&self) {
        for agent in [&self.removed, &self.alike, &self.denying, &self.expired, &self.frozen, &self.frozen_cache] {
            becomes_ready(agent).await;
        }
    }

    async fn see_the_faults(&self) {
        goes_down(&self.removed, DB, "resolve_not_in_netmap", "path").await;
        goes_down(&self.denying, "db-denying", "connect_dropped", "path").await;
        goes_down(&self.expired, "db-expired", "resolve_peer_expired", "service").await;
        for agent in [&self.frozen, &self.frozen_cache] {
            goes_down(agent, "db-frozen", "connect_tunnel_dead", "path").await;
            let service = [("target", "db-frozen"), ("reason", "protocol_timeout")];
            let blamed = agent.metric("telltail_probe_failures_total", &service).await;
            // The machine may freeze between the two stages of a probe, but of one only.
            assert!(blamed <= Some(1.0), "a connection that was held does not make it the service's fault: {blamed:?}");
        }
        // `Online` is a hint: the machine answers. Its name begins like the one that is gone, and does not stand in.
        assert_eq!(self.worker.status().await["Peer"].as_object().map(|peers| peers.len()), Some(5));
        stays_up(&self.alike, "stackeye-db-prd-1", 5.0).await;
        assert_eq!(self.removed.state(DB).await, "down");
    }

    async fn see_the_recovery(&self) {
        comes_back(&self.removed, DB).await;
        comes_back(&self.denying, "db-denying").await;
        comes_back(&self.expired, "db-expired").await;
        comes_back(&self.frozen, "db-frozen").await;
        comes_back(&self.frozen_cache, "db-frozen").await;
    }
}

/// tailscaled's packet filter looks at the first packet of a connection only, so one that stands passes a new policy.
/// telltail holds its connection to Valkey for a minute at most.
#[tokio::test]
async fn a_policy_that_shuts_out_is_noticed_in_spite_of_a_held_connection() {
    let tailnet = Tailnet::start().await;
    let (worker, cache) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, CACHE, Mode::Userspace));
    let _valkey = cache.valkey(&[]).await;
    let agent = watch(&worker, "valkey://stackeye-valkey-prd:6379").await;
    becomes_ready(&agent).await;
    cache.deny_everybody().await;
    let shut_out = async || worker.dial(cache.ip(), 6379, Duration::from_secs(1)).await == Dial::Silent;
    eventually("shut out", SOON, shut_out).await;
    stays_up(&agent, CACHE, 2.0).await;
    let noticed = async || agent.failing(CACHE).await.is_some();
    eventually("noticed", Duration::from_secs(65), noticed).await;
    goes_down(&agent, CACHE, "connect_dropped", "path").await;
}
