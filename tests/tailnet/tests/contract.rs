//! The contract, held against real tailscaleds.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../contract/mod.rs"]
mod contract;

use contract::{SERVICE, State, Testbed};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use telltail::tailscale::LocalApi;
use telltail_tailnet::{Mode, Node, Region, Tailnet, Valkey, Version};
use telltail_testkit::eventually;

const SOON: Duration = Duration::from_secs(30);

struct Real<'a> {
    tailnet: &'a Tailnet,
    worker: &'a Node,
    db: &'a Node,
    _valkey: Valkey,
}

impl Real<'_> {
    /// Waits for a condition on the worker's status.
    async fn until_status(&self, what: &str, holds: impl Fn(&serde_json::Value) -> bool) {
        eventually(what, SOON, async || holds(&self.worker.status().await)).await;
    }

    /// Changes the packet filter of the worker's machine.
    async fn nft(&self, what: &str) {
        self.worker.run(Command::new("nft").arg(what)).await.expect_success("nft");
    }

    /// Forbids the worker's machine to talk to control, and everything else at that address, or allows it again.
    async fn ban_control(&self, change: &str) {
        let mut route = Command::new("ip");
        route.args(["route", change, "prohibit", "10.99.0.1/32"]);
        self.worker.run(&route).await.expect_success("ip route");
    }
}

impl Testbed for Real<'_> {
    fn socket(&self) -> &Path {
        self.worker.socket()
    }

    fn version(&self) -> &'static str {
        self.worker.version().number()
    }

    fn tun(&self) -> bool {
        self.worker.mode() == Mode::Tun
    }

    fn suffix(&self) -> &str {
        self.tailnet.suffix()
    }

    fn peer(&self) -> Ipv4Addr {
        self.db.ip()
    }

    /// The control server.
    fn foreign(&self) -> SocketAddr {
        SocketAddr::from(([10, 99, 0, 1], 8080))
    }

    fn silence(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn restarts(&self) -> bool {
        true
    }

    fn cannot(&self, state: State) -> Option<&'static str> {
        let elsewhere = state == State::NoDerp && (self.tun() || self.worker.version() != Version::V1_102);
        elsewhere.then_some("it takes half a minute and is told for the newest release in userspace mode")
    }

    async fn make(&self, state: State) {
        let (worker, db) = (self.worker, self.db);
        let peer = |status: &serde_json::Value| status["Peer"].as_object().and_then(|p| p.values().next().cloned());
        match state {
            State::Healthy => {}
            State::ServiceOffered => {
                self.tailnet.offer_service("svc:pg", SERVICE, &[db]).await;
                let routed = |status: &serde_json::Value| {
                    peer(status).is_some_and(|peer| peer["AllowedIPs"].as_array().is_some_and(|ips| ips.len() == 3))
                };
                self.until_status("the service is routed", routed).await;
            }
            State::PeerOffline => {
                worker.show_offline(db).await;
                self.until_status("offline", |status| peer(status).is_some_and(|peer| peer["Online"] == false)).await;
            }
            State::PeerSilent => db.deny_everybody().await,
            State::PeerFrozen => db.freeze().await,
            State::UdpBlocked => worker.block_udp(db).await,
            State::LargeLost => {
                self.nft("add table inet large").await;
                self.nft("add chain inet large out { type filter hook output priority 0; }").await;
                self.nft("add rule inet large out meta l4proto udp meta length > 1000 drop").await;
            }
            State::NoDerp => {
                for region in [Region::Nyc, Region::Sfo] {
                    self.tailnet.stop_region(region).await;
                }
            }
            State::PeerGone => {
                worker.hide(db).await;
                self.until_status("gone", |status| status["Peer"].is_null()).await;
            }
            State::PeerExpired => {
                worker.expire_key_of(db).await;
                self.until_status("expired", |status| peer(status).is_some_and(|peer| peer["Expired"] == true)).await;
            }
            State::OwnKeyExpired => {
                worker.expire_own_key().await;
                self.until_status("expired", |status| status["BackendState"] == "NeedsLogin").await;
            }
            State::Stopped => worker.down().await,
            State::WithoutControl => {
                self.ban_control("add").await;
                let mut client = LocalApi::new(Some(worker.socket().to_owned()), Arc::new(|_, _| {}));
                let stateless = async || {
                    client.status(false, &|_, _| false).await.is_ok_and(|status| status.backend_state == "NoState")
                };
                // Restarting waits for Running, which does not come.
                tokio::select! {
                    () = worker.restart() => panic!("Running without control"),
                    () = eventually("NoState", SOON, stateless) => {}
                }
            }
            State::LoggedOut => {
                worker.tailscale(["logout"]).await.expect_success("tailscale logout");
                self.until_status("logged out", |status| status["BackendState"] == "NeedsLogin").await;
            }
        }
    }

    async fn heal(&self, state: State) {
        let (worker, db) = (self.worker, self.db);
        match state {
            State::Healthy | State::LoggedOut => {}
            State::ServiceOffered => self.tailnet.offer_service("svc:pg", SERVICE, &[]).await,
            State::PeerOffline => worker.show_online(db).await,
            State::PeerSilent => db.admit_everybody().await,
            State::PeerFrozen => db.thaw().await,
            State::UdpBlocked => worker.unblock_udp().await,
            State::LargeLost => self.nft("delete table inet large").await,
            State::NoDerp => {
                for region in [Region::Nyc, Region::Sfo] {
                    self.tailnet.start_region(region).await;
                }
            }
            State::PeerGone => worker.unhide(db).await,
            State::PeerExpired => worker.set_key_expiry_of(db, None).await,
            State::OwnKeyExpired => worker.set_own_key_expiry(None).await,
            State::Stopped => worker.up().await,
            State::WithoutControl => self.ban_control("del").await,
        }
        let as_before = |status: &serde_json::Value| {
            let peers = status["Peer"].as_object();
            let peer = peers.and_then(|peers| peers.values().next());
            status["BackendState"] == "Running"
                && status["Self"]["Online"] == true
                && status["Health"] == serde_json::json!([])
                && peer.is_some_and(|peer| {
                    peer["Online"] == true
                        && peer.get("Expired").is_none()
                        && peer["AllowedIPs"].as_array().is_some_and(|ips| ips.len() == 2)
                })
        };
        self.until_status("as before", as_before).await;
    }
}

async fn hold(version: Version, mode: Mode) {
    let tailnet = Tailnet::start().await;
    let db = tailnet.node("db", Version::V1_102, Mode::Userspace).await;
    let worker = tailnet.node("worker", version, mode).await;
    let real = Real { tailnet: &tailnet, worker: &worker, db: &db, _valkey: db.valkey(&[]).await };
    contract::check(&real).await;
}

#[tokio::test]
async fn the_newest_release_in_userspace_mode() {
    hold(Version::V1_102, Mode::Userspace).await;
}

#[tokio::test]
async fn the_newest_release_in_tun_mode() {
    hold(Version::V1_102, Mode::Tun).await;
}

#[tokio::test]
async fn an_old_release_in_userspace_mode() {
    hold(Version::V1_80, Mode::Userspace).await;
}

#[tokio::test]
async fn an_old_release_in_tun_mode() {
    hold(Version::V1_80, Mode::Tun).await;
}

#[tokio::test]
#[ignore = "a part of the contract, which starts it as another user"]
async fn another_user() {
    contract::call_as_another_user().await;
}
