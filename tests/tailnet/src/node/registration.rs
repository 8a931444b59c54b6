//! What the control server has registered of a node, and what the tailnet's admin makes of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};
use telltail_testkit::{PATIENCE, eventually_some};

use super::Node;
use crate::{lab::lock, process::parse};

/// What a node has been told of itself.
#[derive(Debug, Clone)]
pub(super) struct Registration {
    id: String,
    dns_name: String,
    addresses: Vec<IpAddr>,
}

impl Registration {
    /// Nothing, before the first login.
    fn read(status: &Value) -> Option<Self> {
        let own = &status["Self"];
        let id = own["ID"].as_str().filter(|id| !id.is_empty())?.to_owned();
        let dns_name = own["DNSName"].as_str()?.trim_end_matches('.').to_owned();
        let addresses = parse(own["TailscaleIPs"].clone());
        Some(Self { id, dns_name, addresses })
    }
}

impl Node {
    /// The MagicDNS name, without the dot at its end.
    pub fn fqdn(&self) -> String {
        self.registered().dns_name
    }

    /// The tailnet address; panics in a tailnet without IPv4.
    pub fn ip(&self) -> Ipv4Addr {
        let addresses = self.registered().addresses;
        let ipv4 = |ip: &IpAddr| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None };
        addresses.iter().find_map(ipv4).unwrap_or_else(|| panic!("{} has no IPv4 address", self.name))
    }

    /// The tailnet address of IPv6, which every node has.
    pub fn ipv6(&self) -> Ipv6Addr {
        let addresses = self.registered().addresses;
        let ipv6 = |ip: &IpAddr| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None };
        addresses.iter().find_map(ipv6).unwrap_or_else(|| panic!("{} has no IPv6 address", self.name))
    }

    /// All tailnet addresses, IPv4 first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.registered().addresses
    }

    /// What status says of a peer, or null.
    pub async fn peer(&self, peer: &Node) -> Value {
        let id = peer.registered().id;
        let status = self.status().await;
        let mut peers = status["Peer"].as_object().into_iter().flatten().map(|(_, peer)| peer);
        peers.find(|peer| peer["ID"] == id.as_str()).cloned().unwrap_or_default()
    }

    /// Routes that control gives to this node beside its own addresses, in place of those before: `0.0.0.0/0` and `::/0`
    /// make it an exit node, `fd7a:115c:a1e0:b1a::/64` and below is 4via6. All are in its AllowedIPs, all but the default
    /// routes in its PrimaryRoutes, whether the node advertises and its peers accept them or not.
    pub async fn set_routes(&self, routes: &[&str]) {
        self.register(json!({"routes": routes})).await;
    }

    /// An admin's rename, which `HostName` does not follow. A name with a dot is one of another tailnet, as shared-in nodes
    /// have it: `db.other-net.ts.net`.
    pub async fn rename(&self, name: &str) {
        self.register(json!({"name": name})).await;
        self.registers("renamed", |own| own.dns_name.split('.').next() == name.split('.').next()).await;
    }

    /// This node no longer has an IPv4 address, as by the node attribute `disable-ipv4`.
    pub async fn disable_ipv4(&self) {
        self.register(json!({"no_ipv4": true})).await;
        self.registers("without IPv4", |own| own.addresses.iter().all(IpAddr::is_ipv6)).await;
    }

    /// Removes this node from the map of all its peers, while it is told nothing: its session with the control server stays
    /// open, and its own map still has everybody.
    pub async fn forget(&self) {
        self.register(json!({"forgotten": true})).await;
    }

    /// Undoes [`Node::forget`].
    pub async fn remember(&self) {
        self.register(json!({"forgotten": false})).await;
    }

    async fn register(&self, mut what: Value) {
        what["node"] = json!(self.name);
        self.lab.ask("register", what).await;
    }

    fn registered(&self) -> Registration {
        lock(&self.registration).clone().unwrap_or_else(|| panic!("{} has never logged in", self.name))
    }

    /// Waits until the node itself says so.
    pub(super) async fn registers(&self, what: &str, holds: impl Fn(&Registration) -> bool) {
        let what = format!("{}: {what}", self.name);
        let read = async || Registration::read(&self.status().await).filter(&holds);
        *lock(&self.registration) = Some(eventually_some(&what, PATIENCE, read).await);
    }
}
