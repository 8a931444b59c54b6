//! The state as `ipnstate.Status`, field by field in Tailscale's order, written out piece by piece so that a large tailnet
//! is never held whole.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::health::warnings;
use crate::json::{Fields, Json};
use crate::peer_status::{OWN_USER, TAGGED_USER, full_name, node_key, own, peer_status};
use crate::{Crowd, DnsRecord, Peer, SimState, Version};

/// A status answer: the text before the peers, the peers, the text behind them.
#[derive(Debug)]
pub(crate) struct Status {
    head: String,
    crowd: Option<(Crowd, String)>,
    peers: Vec<String>,
    tail: String,
}

impl Status {
    pub(crate) fn new(sim: &SimState, with_peers: bool) -> Self {
        let listed = with_peers && sim.netmap;
        let mut peers: Vec<_> = sim.peers.values().filter(|_| listed).map(|peer| entry(sim, peer)).collect();
        peers.sort();
        let crowd = (listed && sim.crowd.peers > 0).then(|| (sim.crowd, crowd_template(sim)));
        let open = if crowd.is_none() && peers.is_empty() { "null" } else { "{\n" };
        let close = if open == "null" { "" } else { "\n\t}" };
        Status {
            head: format!("{{\n{},\n\t\"Peer\": {open}", before_peers(sim).lines(1)),
            crowd,
            peers,
            tail: format!("{close},\n{}\n}}\n", after_peers(sim, with_peers).lines(1)),
        }
    }

    /// The same bytes at every call.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Vec<u8>> + Send + '_ {
        let crowd = self.crowd.iter().flat_map(|(crowd, template)| (0..crowd.peers).map(|at| stranger(template, at)));
        let peers = crowd.chain(self.peers.iter().cloned()).enumerate();
        let peers = peers.map(|(at, peer)| if at == 0 { peer } else { format!(",\n{peer}") });
        let ends = |text: &String| std::iter::once(text.clone());
        ends(&self.head).chain(peers).chain(ends(&self.tail)).map(String::into_bytes)
    }
}

fn before_peers(sim: &SimState) -> Fields {
    let tailnet = Fields::default()
        .set("Name", "example.com")
        .set("MagicDNSSuffix", suffix(sim))
        .set("MagicDNSEnabled", sim.magic_dns);
    let services = sim.services.values().map(|service| record(sim, &service.name, service.ip));
    let records: Vec<_> = services.chain(sim.records.iter().map(written_record)).collect();
    let records = if sim.netmap && !records.is_empty() { Json::List(records) } else { Json::Null };
    let ips = if sim.netmap { Json::texts(&sim.ips) } else { Json::Null };
    let domains =
        if sim.netmap { Json::texts(&[full_name(sim, &sim.host_name).trim_end_matches('.')]) } else { Json::Null };
    Fields::default()
        .set("Version", sim.version.long())
        .set("TUN", sim.mode == crate::Mode::Tun)
        .set("BackendState", sim.state.as_str())
        .set_if(sim.version.since(1, 66) && sim.has_node_key(), "HaveNodeKey", true)
        .set("AuthURL", sim.auth_url.as_str())
        .set("TailscaleIPs", ips)
        .set("Self", own(sim))
        .set("Health", Json::List(health(sim).into_iter().map(Json::from).collect()))
        .set("MagicDNSSuffix", if sim.netmap { suffix(sim) } else { "" })
        .set("CurrentTailnet", if sim.netmap { tailnet.into() } else { Json::Null })
        .set("CertDomains", domains)
        .set_if(sim.version.since(1, 100), "ExtraRecords", records)
}

/// Without a domain tailscaled gives the own name (`MagicDNSSuffixOfNodeName`).
fn suffix(sim: &SimState) -> &str {
    if sim.magic_dns_suffix.is_empty() { &sim.host_name } else { &sim.magic_dns_suffix }
}

fn after_peers(sim: &SimState, with_peers: bool) -> Fields {
    let user = |id: i64, login: &str, name: &str| {
        let profile = Fields::default().set("ID", id).set("LoginName", login).set("DisplayName", name);
        (id.to_string(), Json::from(profile))
    };
    let mut users = BTreeMap::new();
    // Before the fix of tailscale#19894 an answer without peers had no user at all.
    if sim.netmap && (with_peers || sim.version >= Version::NEWEST) {
        users.extend([user(OWN_USER, "worker@example.com", "Worker <\u{1f980}>")]);
    }
    if sim.netmap && with_peers {
        users.extend([user(TAGGED_USER, "tagged-devices", "Tagged Devices")]);
    }
    let users = if users.is_empty() { Json::Null } else { Json::Map(users) };
    Fields::default().set("User", users).set("ClientVersion", Json::Null)
}

fn health(sim: &SimState) -> Vec<String> {
    warnings(sim).into_values().map(|warning| warning.text).chain(sim.health.iter().cloned()).collect()
}

fn record(sim: &SimState, name: &str, ip: IpAddr) -> Json {
    Fields::default().set("Name", full_name(sim, name)).set("Value", ip.to_string()).into()
}

fn written_record(record: &DnsRecord) -> Json {
    Fields::default()
        .set("Name", record.name.as_str())
        .set_if(record.record_type.is_some(), "Type", record.record_type.unwrap_or_default())
        .set("Value", record.value.as_str())
        .into()
}

/// A peer with its key in front, at its place in the document.
fn entry(sim: &SimState, peer: &Peer) -> String {
    let mut text = format!("\t\t\"{}\": ", node_key(peer));
    Json::from(peer_status(sim, peer, false)).render(&mut text, 2);
    text
}

fn crowd_template(sim: &SimState) -> String {
    let mut peer = Peer::new("crowd-@INDEX@").ip("100.127.255.254");
    (peer.cap_padding, peer.id) = (sim.crowd.padding, i64::from(u32::MAX));
    entry(sim, &peer)
}

/// One of the crowd: the template with a name, key, id and address of its own.
fn stranger(template: &str, at: u32) -> String {
    let ip = std::net::Ipv4Addr::from_bits(0x6450_0000 + at);
    let id = format!("{:08x}", at + 1_000_000);
    template
        .replace("@INDEX@", &format!("{at:07}"))
        .replace("ace0ffffffff", &format!("ace0{id}"))
        .replace(&u32::MAX.to_string(), &(u64::from(at) + 1_000_000).to_string())
        .replace("100.127.255.254", &ip.to_string())
}
