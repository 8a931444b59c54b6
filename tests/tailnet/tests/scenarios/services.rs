//! Faults of PostgreSQL and Valkey themselves.

use telltail_tailnet::{Agent, Mode, Node, Tailnet};
use tokio::join;

use crate::{CACHE, DB, becomes_ready, comes_back, goes_down, never_comes_up, node, stays_up, watch};

/// Three databases and two caches with a fault each, seen by a worker in userspace mode and one in TUN mode.
#[tokio::test]
async fn a_service_that_fails_is_named_with_its_reason_and_comes_back() {
    let tailnet = Tailnet::start().await;
    let (userspace, tun) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, "worker-tun", Mode::Tun));
    let (db, frozen, full, cache) = join!(
        node(&tailnet, DB, Mode::Userspace),
        node(&tailnet, "db-frozen", Mode::Tun),
        node(&tailnet, "db-full", Mode::Userspace),
        node(&tailnet, CACHE, Mode::Userspace),
    );
    let few = [("max_connections", "5"), ("superuser_reserved_connections", "1")];
    let (stopping, freezing, filling, _valkey, crowded) = join!(
        db.postgres(&[]),
        frozen.postgres(&[]),
        full.postgres(&few),
        cache.valkey(&[("requirepass", "secret")]),
        frozen.valkey(&[("maxclients", "4")]),
    );
    let mut agents = Vec::new();
    for worker in [&userspace, &tun] {
        agents.push(ServiceWatch::start(worker).await);
    }
    for agents in &agents {
        agents.are_ready().await;
    }
    let crowd = crowded.fill(2).await; // each worker's probe holds one of four
    let clients = filling.fill().await;
    stopping.stop().await;
    freezing.freeze().await;

    let mut late = Vec::new();
    for worker in [&userspace, &tun] {
        late.push(watch(worker, "valkey://db-frozen:6379").await);
    }
    for agents in &agents {
        agents.see_the_faults().await;
    }
    for agent in &late {
        never_comes_up(agent, "db-frozen", "protocol_full", "service").await;
    }

    drop(clients);
    crowd.kill().await;
    freezing.thaw().await;
    stopping.start_again().await;
    for agents in &agents {
        agents.see_the_recovery().await;
    }
    for agent in &late {
        comes_back(agent, "db-frozen").await;
    }
}

/// One telltail per database, each with the cache that asks for a password.
struct ServiceWatch<'a> {
    stopping: Agent<'a>,
    freezing: Agent<'a>,
    filling: Agent<'a>,
    filling_without_user: Agent<'a>,
    crowded: Agent<'a>,
}

impl<'a> ServiceWatch<'a> {
    async fn start(worker: &'a Node) -> Self {
        let with_cache = async |url: &str| watch(worker, &format!("{url},valkey://{CACHE}:6379")).await;
        Self {
            stopping: with_cache("postgres://stackeye-db-prd:5432").await,
            freezing: with_cache("postgres://db-frozen:5432").await,
            filling: with_cache("postgres://postgres@db-full:5432").await,
            filling_without_user: with_cache("postgres://db-full:5432").await,
            crowded: with_cache("valkey://db-frozen:6379").await,
        }
    }

    async fn are_ready(&self) {
        for agent in [&self.stopping, &self.freezing, &self.filling, &self.filling_without_user, &self.crowded] {
            becomes_ready(agent).await;
            let verbose = agent.get("/healthz?verbose").await.body;
            assert!(verbose.contains("depth protocol, auth_required"), "{verbose}");
        }
    }

    async fn see_the_faults(&self) {
        goes_down(&self.stopping, DB, "connect_refused", "service").await;
        goes_down(&self.freezing, "db-frozen", "protocol_timeout", "service").await;
        goes_down(&self.filling, "db-full", "protocol_full", "service").await;
        stays_up(&self.filling_without_user, "db-full", 3.0).await;
        stays_up(&self.crowded, "db-frozen", 3.0).await;
    }

    async fn see_the_recovery(&self) {
        comes_back(&self.stopping, DB).await;
        comes_back(&self.freezing, "db-frozen").await;
        comes_back(&self.filling, "db-full").await;
    }
}

/// Starting and shutting down are told apart from absent, where a user is named; without one PostgreSQL answers, and
/// that is all that was asked.
#[tokio::test]
async fn a_database_that_starts_or_ends_refuses_users_only() {
    let tailnet = Tailnet::start().await;
    let worker = node(&tailnet, "worker", Mode::Userspace).await;
    let (starting, ending) =
        join!(node(&tailnet, "db-starting", Mode::Userspace), node(&tailnet, "db-ending", Mode::Userspace));
    let (starts, ends) = join!(starting.postgres(&[]), ending.postgres(&[]));
    let urls = |user: &str| format!("postgres://{user}db-starting:5432,postgres://{user}db-ending:5432");
    let anybody = watch(&worker, &urls("")).await;
    let user = watch(&worker, &urls("postgres@")).await;
    becomes_ready(&anybody).await;
    becomes_ready(&user).await;

    starts.restart_and_never_finish().await;
    let client = ends.shut_down_and_never_finish().await;
    goes_down(&user, "db-starting", "protocol_starting", "service").await;
    goes_down(&user, "db-ending", "protocol_shutting_down", "service").await;
    // It listens no more, so new clients of whatever kind are told by the kernel; those above came before.
    stays_up(&anybody, "db-starting", 3.0).await;
    drop(client);
}
