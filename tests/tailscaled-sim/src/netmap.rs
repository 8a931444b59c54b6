//! Nodes as control describes them, `tailcfg.Node`: what the bus tells of changes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::clock::{ZERO_TIME, rfc3339};
use crate::json::{Fields, Json};
use crate::peer_status::{OWN_USER, TAGGED_USER, full_name, node_key, prefix};
use crate::ping::region_id;
use crate::{Peer, SimState};

const OWN_ID: i64 = 1;

/// Our own node.
pub(crate) fn own(sim: &SimState) -> Json {
    let mut own = Peer::new(&sim.host_name);
    (own.id, own.key_expiry) = (OWN_ID, sim.key_expiry);
    own.ips.clone_from(&sim.ips);
    own.relay.clone_from(&sim.relay);
    // Of itself it is not told whether it is online.
    node(sim, &own, None).into()
}

/// Another node, with what comes and goes.
pub(crate) fn peer(sim: &SimState, peer: &Peer) -> Json {
    node(sim, peer, Some(peer.online)).into()
}

/// Another node without what comes and goes.
pub(crate) fn lasting(sim: &SimState, peer: &Peer) -> Json {
    node(sim, peer, None).into()
}

fn node(sim: &SimState, peer: &Peer, online: Option<bool>) -> Fields {
    let own: Vec<_> = peer.ips.iter().copied().map(prefix).collect();
    let services = sim.services.values().filter(|service| service.host == peer.name).map(|service| prefix(service.ip));
    let allowed: Vec<_> = own.iter().cloned().chain(services).chain(peer.allowed_ips.iter().cloned()).collect();
    // `omitempty` did not leave out a time.
    let timeless = peer.key_expiry.is_none() && sim.version.since(1, 92);
    let padding =
        BTreeMap::from([("example.com/cap/padding".to_owned(), Json::texts(&["x".repeat(peer.cap_padding)]))]);
    Fields::default()
        .set("ID", peer.id)
        .set("StableID", format!("n{:08}CNTRL", peer.id))
        .set("Name", full_name(sim, &peer.name))
        .set("User", if peer.tags.is_empty() { OWN_USER } else { TAGGED_USER })
        .set("Key", node_key(peer))
        .set_if(!timeless, "KeyExpiry", peer.key_expiry.map_or_else(|| ZERO_TIME.to_owned(), rfc3339))
        .set("Addresses", Json::texts(&own))
        .set("AllowedIPs", Json::texts(&allowed))
        .set_if(!peer.relay.is_empty(), "HomeDERP", region_id(&peer.relay))
        .set_if(!peer.tags.is_empty(), "Tags", Json::texts(&peer.tags))
        .set_if(online.is_some(), "Online", online.unwrap_or_default())
        .set("MachineAuthorized", true)
        .set_if(peer.cap_padding > 0, "CapMap", padding)
}

/// The whole map as releases before 1.100 tell it to everybody, with the crowd.
pub(crate) fn netmap(sim: &SimState) -> Json {
    let crowd = (0..sim.crowd.peers).map(|at| stranger(sim, at));
    let peers = sim.peers.values().map(|one| peer(sim, one)).chain(crowd).collect();
    Fields::default()
        .set("SelfNode", own(sim))
        .set("PrivateKey", format!("privkey:{:064x}", 0))
        .set("Peers", Json::List(peers))
        .set("Domain", "example.com")
        .into()
}

fn stranger(sim: &SimState, at: u32) -> Json {
    let mut stranger = Peer::new(&format!("crowd-{at:07}"));
    stranger.ips.push(IpAddr::V4(Ipv4Addr::from_bits(0x6450_0000 + at)));
    (stranger.id, stranger.cap_padding) = (i64::from(at) + 1_000_000, sim.crowd.padding);
    peer(sim, &stranger)
}
