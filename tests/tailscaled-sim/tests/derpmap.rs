//! `GET /localapi/v0/derpmap`

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{STATUS, ask, status};
use tailscaled_sim::{BackendState, Peer, Tailscaled};

fn request(method: &str) -> String {
    STATUS.replace("GET", method).replace("/status", "/derpmap")
}

#[tokio::test]
async fn it_names_the_regions_that_are_somebodys_home() {
    let tailscaled = Tailscaled::start();
    tailscaled.add_peer(Peer::new("db").ip("100.64.0.2"));
    tailscaled.update_peer("db", |db| db.go_derp("fra"));
    tailscaled.with_state(|sim| "sfo".clone_into(&mut sim.relay));
    let reply = ask(&tailscaled, &request("GET")).await;
    assert_eq!((reply.status, reply.header("Content-Type")), (200, Some("application/json")));
    let map = reply.json();
    for (id, code) in [("1", "nyc"), ("2", "sfo"), ("900", "fra")] {
        let region = &map["Regions"][id];
        assert_eq!(region["RegionID"].to_string(), id, "{map:#}");
        assert_eq!(region["RegionCode"], code, "{map:#}");
    }
    let home = status(&tailscaled).await["Self"]["Relay"].clone();
    let regions = map["Regions"].as_object().unwrap();
    assert!(regions.values().any(|region| region["RegionCode"] == home), "{home} is not in {map:#}");
    assert_eq!(tailscaled.unexpected_requests(), [] as [String; 0]);
}

#[tokio::test]
async fn before_the_first_netmap_it_is_null_and_only_get_is_served() {
    let tailscaled = Tailscaled::start();
    let reply = ask(&tailscaled, &request("POST")).await;
    assert_eq!((reply.status, reply.text()), (400, "want GET\n"));
    tailscaled.set_backend_state(BackendState::NoState);
    let reply = ask(&tailscaled, &request("GET")).await;
    assert_eq!((reply.status, reply.text()), (200, "null\n"));
}
