//! A node as `ipnstate.PeerStatus`, field by field in Tailscale's order.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use crate::clock::{ZERO_TIME, rfc3339};
use crate::json::{Fields, Json};
use crate::{BackendState, Peer, SimState};

const CREATED: &str = "2026-01-02T03:04:05.678901234Z";
const OWN_ID: i64 = 1;
const DEPRECATED: &str =
    "HTTPS://TAILSCALE.COM/s/DEPRECATED-NODE-CAPS#see-https://github.com/tailscale/tailscale/issues/11508";
pub(crate) const OWN_USER: i64 = 100_001;
pub(crate) const TAGGED_USER: i64 = 100_002;

/// Own node, seen as a peer without a path; before the first netmap little is known of it.
pub(crate) fn own(sim: &SimState) -> Json {
    let mut peer = Peer::new(&sim.host_name);
    (peer.id, peer.online, peer.key_expiry) = (OWN_ID, sim.control_online, sim.key_expiry);
    peer.ips.clone_from(&sim.ips);
    peer.relay.clone_from(&sim.relay);
    if sim.netmap {
        return peer_status(sim, &peer, true).into();
    }
    peer.ips.clear();
    (peer.relay, peer.id) = (String::new(), 0);
    peer_status(sim, &peer, true).into()
}

pub(crate) fn peer_status(sim: &SimState, peer: &Peer, own: bool) -> Fields {
    let known = peer.id != 0;
    let user = if peer.tags.is_empty() { OWN_USER } else { TAGGED_USER };
    let services = sim.services.values().filter(|service| service.host == peer.name).map(|service| service.ip);
    let own_prefixes = peer.ips.iter().copied().chain(services).map(prefix);
    let allowed: Vec<_> = own_prefixes.chain(peer.allowed_ips.iter().cloned()).collect();
    let addrs: &[&str] = if own && known { &["198.51.100.7:41641", "10.0.0.7:41641"] } else { &[] };
    // A peer whose key expired was forgotten by all but the netmap.
    let (path, active) = (!peer.expired, peer.active && !peer.expired);
    let mut cap_map = if own && known { capabilities() } else { BTreeMap::new() };
    if peer.cap_padding > 0 {
        cap_map.insert("example.com/cap/padding".into(), Json::texts(&["x".repeat(peer.cap_padding)]));
    }
    let stopped = sim.state == BackendState::Stopped;
    // Own node; not running; offline; another owner's.
    let taildrop = if own {
        0
    } else if stopped {
        3
    } else if peer.online {
        9
    } else {
        5
    };
    let last_seen = if peer.online || own { ZERO_TIME } else { CREATED };
    let since = |minor| sim.version.since(1, minor);
    let dns_name = if known { full_name(sim, &peer.name) } else { String::new() };
    let ips = if known && !peer.ips.is_empty() { Json::texts(&peer.ips) } else { empty(own) };
    Fields::default()
        .set("ID", if known { format!("n{:08}CNTRL", peer.id) } else { String::new() })
        .set_if(since(100), "NodeID", peer.id)
        .set("PublicKey", node_key(peer))
        .set("HostName", peer.host_name.as_str())
        .set("DNSName", dns_name)
        .set("OS", "linux")
        .set("UserID", if known { user } else { 0 })
        .set("TailscaleIPs", ips)
        .set_if(known && !allowed.is_empty(), "AllowedIPs", Json::texts(&allowed))
        .set_if(!peer.tags.is_empty(), "Tags", Json::texts(&peer.tags))
        .set("Addrs", if own { Json::List(addrs.iter().map(|addr| Json::from(*addr)).collect()) } else { Json::Null })
        .set("CurAddr", if path { peer.cur_addr.as_str() } else { "" })
        .set("Relay", if path { peer.relay.as_str() } else { "" })
        .set_if(since(86), "PeerRelay", if path { peer.peer_relay.as_str() } else { "" })
        .set("RxBytes", if active { 4_242 } else { 0 })
        .set("TxBytes", if active { 2_424 } else { 0 })
        .set("Created", if known { CREATED } else { ZERO_TIME })
        .set("LastWrite", moment(active))
        .set("LastSeen", last_seen)
        .set("LastHandshake", peer.last_handshake.map_or_else(|| moment(active), rfc3339))
        .set("Online", peer.online)
        .set("ExitNode", false)
        .set("ExitNodeOption", false)
        .set("Active", active)
        .set("PeerAPIURL", if own && !sim.engine_on() { Json::Null } else { peer_api(peer) })
        .set_if(since(84), "TaildropTarget", taildrop)
        .set_if(since(84), "NoFileSharingReason", "")
        .set_if(own && known, "Capabilities", Json::texts(&[DEPRECATED, "funnel"]))
        .set_if(!cap_map.is_empty(), "CapMap", cap_map)
        .set("InNetworkMap", known)
        .set("InMagicSock", known && !own)
        .set("InEngine", active)
        .set_if(peer.expired, "Expired", true)
        .set_if(peer.key_expiry.is_some(), "KeyExpiry", peer.key_expiry.map_or_else(String::new, rfc3339))
}

/// An empty list where Go made one, `null` where it did not.
fn empty(own: bool) -> Json {
    if own { Json::Null } else { Json::List(Vec::new()) }
}

fn moment(known: bool) -> String {
    if known { rfc3339(SystemTime::now()) } else { ZERO_TIME.to_owned() }
}

fn peer_api(peer: &Peer) -> Json {
    let url = |ip: &IpAddr| {
        if ip.is_ipv6() { format!("http://[{ip}]:34567") } else { format!("http://{ip}:34567") }
    };
    Json::texts(&peer.ips.iter().map(url).collect::<Vec<_>>())
}

fn capabilities() -> BTreeMap<String, Json> {
    let with_values = ("funnel".to_owned(), Json::texts(&["\"443\"", "\"8443\""]));
    BTreeMap::from([with_values, ("https://tailscale.com/cap/file-sharing".to_owned(), Json::Null)])
}

pub(crate) fn full_name(sim: &SimState, name: &str) -> String {
    match sim.magic_dns_suffix.as_str() {
        "" => format!("{name}."),
        suffix => format!("{name}.{suffix}."),
    }
}

pub(crate) fn prefix(ip: IpAddr) -> String {
    format!("{ip}/{}", if ip.is_ipv6() { 128 } else { 32 })
}

/// The key is rewritten when it expires: six bytes say so.
pub(crate) fn node_key(peer: &Peer) -> String {
    let key = if peer.id == 0 { format!("{:064x}", 0) } else { format!("{:064x}", 0xace0_0000_0000_i64 + peer.id) };
    if peer.expired { format!("nodekey:6da774d5d774{}", &key[12..]) } else { format!("nodekey:{key}") }
}
