//! The contract, tested against the simulated tailscaled.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "contract/mod.rs"]
mod contract;

use contract::{SERVED, SERVICE, State, Testbed};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tailscaled_sim::services::{Script, Server, Valkey};
use tailscaled_sim::{BackendState, Mode, Peer, Service, SystemResolver, Tailscaled, Warning};

const PEER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);

struct SimulatedTestbed {
    tailscaled: Tailscaled,
    version: &'static str,
    mode: Mode,
    valkey: Server<Valkey>,
    foreign: Server<Script>,
}

impl SimulatedTestbed {
    fn start(version: &'static str, mode: Mode) -> Self {
        let tailscaled = Tailscaled::start();
        tailscaled.set_version(version);
        tailscaled.set_mode(mode);
        let valkey = Server::start(Valkey::healthy());
        let foreign = Server::start(Script::silence());
        let simulated = Self { tailscaled, version, mode, valkey, foreign };
        simulated.add_peer();
        simulated.tailscaled.forward("db", SERVED, simulated.valkey.addr());
        simulated.tailscaled.black_hole("pg", SERVED);
        simulated.tailscaled.with_state(|state| {
            state.foreign.insert(simulated.foreign(), simulated.foreign.addr());
            state.system_resolver = SystemResolver::Fails("lookup NAME on 10.96.0.10:53: no such host".to_owned());
        });
        simulated
    }

    fn add_peer(&self) {
        let mut peer = Peer::new("db").ip(&PEER.to_string()).ip("fd7a:115c:a1e0::2");
        peer.go_direct("10.99.0.11:41641");
        self.tailscaled.add_peer(peer);
    }
}

impl Testbed for SimulatedTestbed {
    fn socket(&self) -> &Path {
        self.tailscaled.socket()
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn tun(&self) -> bool {
        self.mode == Mode::Tun
    }

    fn suffix(&self) -> &str {
        "tail1234.ts.net"
    }

    fn peer(&self) -> Ipv4Addr {
        PEER
    }

    fn foreign(&self) -> SocketAddr {
        SocketAddr::from(([10, 99, 0, 1], 8080))
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn restarts(&self) -> bool {
        false
    }

    fn cannot(&self, _: State) -> Option<&'static str> {
        None
    }

    async fn make(&self, state: State) {
        let sim = &self.tailscaled;
        match state {
            State::Healthy => {}
            State::ServiceOffered => sim.add_service(Service::new("pg", &SERVICE.to_string(), "db")),
            State::PeerOffline => sim.set_peer_online("db", false),
            State::PeerSilent => sim.set_peer_silent("db", true),
            State::PeerFrozen => sim.set_peer_frozen("db", true),
            State::UdpBlocked => sim.update_peer("db", |peer| peer.go_derp("nyc")),
            State::LargeLost => sim.update_peer("db", |peer| peer.largest_udp = Some(1000)),
            State::NoDerp => sim.warn("no-derp-connection", Warning::new("Tailscale could not connect to 'nyc'.")),
            State::PeerGone => sim.remove_peer("db"),
            State::PeerExpired => sim.expire_peer("db"),
            State::OwnKeyExpired => sim.expire_own_key(),
            State::Stopped => sim.set_backend_state(BackendState::Stopped),
            State::WithoutControl => {
                let error = "fetch control key: Get \"http://hs.example/key?v=142\": connection refused";
                sim.set_health(&[&format!("You are logged out. The last login error was: {error}")]);
                sim.set_backend_state(BackendState::NoState);
            }
            State::LoggedOut => sim.set_backend_state(BackendState::NeedsLogin),
        }
    }

    async fn heal(&self, _: State) {
        self.tailscaled.with_state(|state| {
            state.services.clear();
            state.peers.clear();
            state.warnings.clear();
            state.health.clear();
            state.key_expiry = None;
            state.set_backend_state(BackendState::Running);
        });
        self.add_peer();
    }
}

async fn check(version: &'static str, mode: Mode) {
    let simulated = SimulatedTestbed::start(version, mode);
    contract::check(&simulated).await;
    let mut uids: Vec<_> = simulated.tailscaled.requests().iter().filter_map(|request| request.uid).collect();
    uids.sort_unstable();
    uids.dedup();
    assert!(uids[0] != 0 || uids.len() == 2, "where root runs this, another user has called: {uids:?}");
    // Only the contract's invalid requests were unexpected.
    let mut unexpected = simulated.tailscaled.unexpected_requests();
    unexpected.sort();
    unexpected.dedup();
    assert_eq!(
        unexpected,
        [
            "GET /localapi/v0/nosuch",
            "GET /localapi/v0/status/",
            "GET /nosuch",
            "bad request: 400 Bad Request",
            "bad request: 400 Bad Request: missing required Host header",
            "ping of type tsmp",
        ]
    );
}

#[tokio::test]
async fn the_newest_release_in_userspace_mode() {
    check("1.102.5", Mode::Userspace).await;
}

#[tokio::test]
async fn the_newest_release_in_tun_mode() {
    check("1.102.5", Mode::Tun).await;
}

#[tokio::test]
async fn an_old_release_in_userspace_mode() {
    check("1.80.3", Mode::Userspace).await;
}

#[tokio::test]
async fn an_old_release_in_tun_mode() {
    check("1.80.3", Mode::Tun).await;
}

#[tokio::test]
#[ignore = "a part of the contract, which starts it as another user"]
async fn another_user() {
    contract::call_as_another_user().await;
}
