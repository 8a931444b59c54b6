//! What can go wrong with a node, and back.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};

use super::Node;

impl Node {
    /// `tailscale down`.
    pub async fn down(&self) {
        self.tailscale(["down"]).await.expect_success("tailscale down");
    }

    /// `tailscale up`, after [`Node::down`].
    pub async fn up(&self) {
        self.login().await;
    }

    /// Stops tailscaled as it stands: nobody is told.
    pub async fn freeze(&self) {
        self.daemon().freeze().await;
    }

    /// Lets a frozen tailscaled go on.
    pub async fn thaw(&self) {
        self.daemon().thaw().await;
    }

    /// Kills tailscaled. Its socket stays behind, as after a crash.
    pub async fn kill(&self) {
        self.daemon().kill().await;
    }

    /// Starts tailscaled again with the state it had, and waits until it is Running.
    pub async fn restart(&self) {
        self.kill().await;
        self.launch().await;
        self.logs_in().await;
    }

    /// Starts a killed tailscaled and waits only until it listens.
    pub async fn launch(&self) {
        self.start_daemon().await;
    }

    /// Pulls the node's cable.
    pub async fn unplug(&self) {
        self.lab.ask("link", json!({"node": self.name, "up": false})).await;
    }

    /// Puts the cable back.
    pub async fn plug_in(&self) {
        self.lab.ask("link", json!({"node": self.name, "up": true})).await;
    }

    /// Drops UDP between this node and a peer, here, both ways. What goes over relays is not touched.
    pub async fn block_udp(&self, peer: &Node) {
        self.lab.ask("block_udp", json!({"node": self.name, "peer": peer.name})).await;
    }

    /// Undoes every [`Node::block_udp`] of this node.
    pub async fn unblock_udp(&self) {
        self.lab.ask("unblock_udp", json!({"node": self.name})).await;
    }

    /// Takes a peer out of this node's map.
    pub async fn hide(&self, peer: &Node) {
        self.shown(peer, json!({"hidden": true})).await;
    }

    /// Puts a hidden peer back.
    pub async fn unhide(&self, peer: &Node) {
        self.shown(peer, json!({"hidden": false})).await;
    }

    /// Tells this node that a peer is offline, whatever it is.
    pub async fn show_offline(&self, peer: &Node) {
        self.shown(peer, json!({"offline": true})).await;
    }

    /// Tells this node again whether a peer is online.
    pub async fn show_online(&self, peer: &Node) {
        self.shown(peer, json!({"offline": false})).await;
    }

    /// A packet filter on this node that lets nobody in. Disco and TSMP pass it.
    pub async fn deny_everybody(&self) {
        self.lab.ask("deny", json!({"node": self.name, "on": true})).await;
    }

    /// The packet filter that lets everybody in, as at the start.
    pub async fn admit_everybody(&self) {
        self.lab.ask("deny", json!({"node": self.name, "on": false})).await;
    }

    /// In this node's map, a peer's key has expired a minute ago.
    pub async fn expire_key_of(&self, peer: &Node) {
        self.lab.ask("expire", json!({"node": self.name, "peer": peer.name, "in_secs": -60})).await;
    }

    /// In this node's map, a peer's key expires this much later; `None`: never, as at the start.
    pub async fn set_key_expiry_of(&self, peer: &Node, left: Option<Duration>) {
        let left = left.map(|left| left.as_secs());
        self.lab.ask("expire", json!({"node": self.name, "peer": peer.name, "in_secs": left})).await;
    }

    /// This node's own key has expired a minute ago.
    pub async fn expire_own_key(&self) {
        self.lab.ask("expire", json!({"node": self.name, "in_secs": -60})).await;
    }

    /// This node's own key expires this much later; `None`: never, as at the start.
    pub async fn set_own_key_expiry(&self, left: Option<Duration>) {
        let left = left.map(|left| left.as_secs());
        self.lab.ask("expire", json!({"node": self.name, "in_secs": left})).await;
    }

    /// Puts this node behind a NAT that gives each flow a port of its own and lets nobody in who was not spoken to. With
    /// one at both ends no direct path can be found.
    pub async fn hard_nat(&self) {
        let rules = "chain out { type nat hook postrouting priority 100; meta l4proto udp masquerade fully-random; }; \
                     chain in { type filter hook input priority 0; meta l4proto udp iif eth0 ct state new drop; };";
        self.nft(&format!("table ip lab_nat {{ {rules} }}")).await;
    }

    /// Drops tailscaled's UDP to and from a peer where the IP packet is longer than this, both ways.
    pub async fn drop_udp_longer_than(&self, bytes: u16, peer: &Node) {
        let ip = peer.host_ip;
        let (out, back) = (format!("ip daddr {ip} udp dport 41641"), format!("ip saddr {ip} udp sport 41641"));
        self.drop_on_the_wire("lab_length", &out, &back, &format!("ip length > {bytes}")).await;
    }

    /// Drops this share of tailscaled's UDP, both ways and by chance.
    pub async fn lose_udp(&self, percent: u8) {
        let chance = format!("numgen random mod 100 < {percent}");
        self.drop_on_the_wire("lab_loss", "udp sport 41641", "udp dport 41641", &chance).await;
    }

    /// Undoes [`Node::lose_udp`].
    pub async fn lose_no_udp(&self) {
        self.pass_on_the_wire("lab_loss").await;
    }

    /// Undoes [`Node::drop_udp_longer_than`].
    pub async fn pass_udp_of_any_length(&self) {
        self.pass_on_the_wire("lab_length").await;
    }

    /// Drops where a network would: a packet dropped in the output chain fails `send` with EPERM, and tailscaled then binds
    /// its socket anew and for a moment trusts no path.
    pub(super) async fn drop_on_the_wire(&self, table: &str, out: &str, back: &str, which: &str) {
        let chain = |hook, what| {
            format!("chain {hook} {{ type filter hook {hook} device \"eth0\" priority 0; {what} {which} drop; }};")
        };
        self.nft(&format!("table netdev {table} {{ {} {} }}", chain("egress", out), chain("ingress", back))).await;
    }

    /// Undoes [`Node::drop_on_the_wire`], if there is something to undo.
    pub(super) async fn pass_on_the_wire(&self, table: &str) {
        self.nft(&format!("table netdev {table} {{}}; delete table netdev {table}")).await;
    }

    /// Adds to what there is in this node's namespace.
    pub(super) async fn nft(&self, rules: &str) {
        self.run(Command::new("nft").arg(rules)).await.expect_success("nft");
    }

    async fn shown(&self, peer: &Node, mut what: Value) {
        what["node"] = json!(self.name);
        what["peer"] = json!(peer.name);
        self.lab.ask("show", what).await;
    }
}
