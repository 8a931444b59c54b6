use std::{net::Ipv4Addr, path::Path, sync::Arc};

use serde_json::json;

use crate::{
    lab::Lab,
    node::{Mode, Node, Version},
    sandbox::Sandbox,
};

/// What the MagicDNS names of a test tailnet end with.
pub(crate) const SUFFIX: &str = "lab.ts.net";

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

    /// Adds the sandbox of a pod: a namespace without a tailscaled.
    pub async fn sandbox(&self, name: &str) -> Sandbox {
        Sandbox::start(Arc::clone(&self.lab), name).await
    }

    /// Where all files of this tailnet are. Gone with it.
    pub fn folder(&self) -> &Path {
        self.lab.folder()
    }

    /// The MagicDNS suffix, without a dot at either end.
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
        let records: Vec<_> = records.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
        self.lab.ask("records", json!({"records": records})).await;
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
