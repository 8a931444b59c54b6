use std::{net::Ipv4Addr, path::Path, sync::Arc};

use serde_json::json;

use crate::{
    lab::Lab,
    node::{Control, Mode, Node, Version},
    process::NodeProcess,
    sandbox::Sandbox,
};

/// What the MagicDNS names of a test tailnet end with, unless told otherwise.
const SUFFIX: &str = "lab.ts.net";

/// A tailnet with a control server, two DERP regions and a cluster DNS; it ends when this is dropped.
#[derive(Debug)]
pub struct Tailnet {
    lab: Arc<Lab>,
}

/// The DERP regions. Everybody's home is [`Region::Nyc`] while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// `nyc`, id 1.
    Nyc,
    /// `sfo`, id 2: further away.
    Sfo,
}

/// What the control server asks of a node that registers, be it known or new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login<'a> {
    /// Nothing, as at the start.
    Open,
    /// This auth key.
    Key(&'a str),
    /// That somebody visits a page, which nobody does.
    Interactive,
}

impl Tailnet {
    /// Starts a tailnet without nodes.
    #[expect(clippy::unused_async, reason = "reads like its sisters, and may have to wait one day")]
    pub async fn start() -> Self {
        Self { lab: Arc::new(Lab::start()) }
    }

    /// Adds a node and waits until it is Running. Its name is its MagicDNS name and its namespace's.
    pub async fn node(&self, name: &str, version: Version, mode: Mode) -> Node {
        Node::start(Arc::clone(&self.lab), name, version, mode).await
    }

    /// Adds a node and lets it log in for the first time as containerboot does, with or without an auth key. Waits for
    /// nothing: the node is whatever the control server makes of it, and the process is its `tailscale up`. See
    /// [`Node::set_control`] for a control server that comes back, and [`Node::logs_in`] to wait for it.
    pub async fn first_login(
        &self,
        name: &str,
        version: Version,
        mode: Mode,
        control: Control,
        auth_key: Option<&str>,
    ) -> (Node, NodeProcess) {
        let node = Node::logged_out(Arc::clone(&self.lab), name, version, mode).await;
        node.set_control(control).await;
        let up = node.first_login(auth_key).await;
        (node, up)
    }

    /// Changes what the control server asks of nodes that register. Nodes that start again register again.
    pub async fn set_login(&self, login: Login<'_>) {
        let key = if let Login::Key(key) = login { key } else { "" };
        self.lab.ask("tailnet", json!({"auth_key": key, "interactive": login == Login::Interactive})).await;
    }

    /// What MagicDNS names end with from now on. `None` is a tailnet without a base domain as headscale makes it: names
    /// are bare labels, and MagicDNS is off. To be called before there are nodes.
    pub async fn set_base_domain(&self, domain: Option<&str>) {
        self.lab.ask("tailnet", json!({"base_domain": domain.unwrap_or_default()})).await;
    }

    /// Leaves every node with its IPv6 address alone. To be called before there are nodes; see [`Node::disable_ipv4`] for
    /// one node.
    pub async fn disable_ipv4(&self) {
        self.lab.ask("tailnet", json!({"no_ipv4": true})).await;
    }

    /// Adds the sandbox of a pod: a namespace without a tailscaled.
    pub async fn sandbox(&self, name: &str) -> Sandbox {
        Sandbox::start(Arc::clone(&self.lab), name).await
    }

    /// Where all files of this tailnet are. Gone with it.
    pub fn folder(&self) -> &Path {
        self.lab.folder()
    }

    /// The MagicDNS suffix, without a dot at either end, as long as no other base domain is set.
    pub fn suffix(&self) -> &'static str {
        SUFFIX
    }

    /// Stops the DERP and STUN servers of a region.
    pub async fn stop_region(&self, region: Region) {
        self.lab.ask("region", json!({"region": region.code(), "up": false})).await;
    }

    /// Starts a stopped region again, with its old key and ports.
    pub async fn start_region(&self, region: Region) {
        self.lab.ask("region", json!({"region": region.code(), "up": true})).await;
    }

    /// Lets every node relay for every other. The relay itself needs `tailscale set --relay-server-port=…`.
    pub async fn grant_peer_relays(&self) {
        self.lab.ask("relay_grants", json!({"on": true})).await;
    }

    /// Sets the extra DNS records of the tailnet, name and address, in place of those before.
    pub async fn set_dns_records(&self, records: &[(&str, &str)]) {
        let records: Vec<_> = records.iter().map(|(name, value)| (*name, "", *value)).collect();
        self.set_typed_dns_records(&records).await;
    }

    /// Like [`Tailnet::set_dns_records`], with a type between name and value: `A`, `AAAA`, `CNAME`, or nothing, which
    /// tailscaled takes for the first two. A name may have several.
    pub async fn set_typed_dns_records(&self, records: &[(&str, &str, &str)]) {
        let record = |(name, kind, value): &_| json!({"Name": name, "Type": kind, "Value": value});
        self.lab.ask("records", json!({"records": records.iter().map(record).collect::<Vec<_>>()})).await;
    }

    /// Makes a Tailscale Service (`svc:NAME`) with an address of its own; the first of its hosts carries it.
    /// The host must also run `tailscale serve --service=svc:NAME …`.
    pub async fn offer_service(&self, name: &str, ip: Ipv4Addr, hosts: &[&Node]) {
        let hosts: Vec<_> = hosts.iter().map(|host| host.name()).collect();
        self.lab.ask("service", json!({"name": name, "ip": ip, "hosts": hosts})).await;
    }

    /// Teaches the cluster's DNS a name; it denies all others. `None` makes it forget the name.
    pub async fn set_cluster_name(&self, name: &str, ip: Option<Ipv4Addr>) {
        let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
        self.lab.ask("cluster_dns", json!({"name": name, "ip": ip})).await;
    }

    /// Replaces the resolv.conf of every pod. The cluster's DNS answers at 10.99.0.1 and at fe80::1%eth0.
    pub fn write_resolv_conf(&self, text: &str) {
        std::fs::write(self.folder().join("resolv.conf"), text).expect("the lab's file");
    }
}

impl Drop for Tailnet {
    /// Nodes may still hold the lab; the tailnet ends all the same.
    fn drop(&mut self) {
        self.lab.end();
    }
}

impl Region {
    /// The region's code, as in `Relay` and `DERPRegionCode`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Nyc => "nyc",
            Self::Sfo => "sfo",
        }
    }
}
