//! A node's way to the control server, and its first login.

use std::process::Command;

use serde_json::json;
use telltail_testkit::{PATIENCE, eventually};

use super::Node;
use crate::{lab::program, process::NodeProcess};

/// What a node meets where it looks for the control server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The control server.
    Answers,
    /// A closed port.
    Refuses,
    /// Nothing: packets are dropped.
    Drops,
    /// No address: the cluster's DNS denies the name. Only for nodes of
    /// [`Tailnet::first_login`](crate::Tailnet::first_login), for the others know an address.
    Unresolvable,
}

impl Node {
    /// Changes what this node meets at the control server. Nothing else of the network is touched.
    pub async fn set_control(&self, control: Control) {
        let known = if control == Control::Unresolvable { "" } else { "10.99.0.1" };
        self.lab.ask("cluster_dns", json!({"name": self.control_name(), "ip": known})).await;
        self.nft("table ip lab_control {}; delete table ip lab_control").await;
        self.pass_on_the_wire("lab_control").await;
        match control {
            Control::Answers | Control::Unresolvable => {}
            Control::Refuses => {
                let chain = "type filter hook output priority 0; tcp dport 8080 reject with tcp reset;";
                self.nft(&format!("table ip lab_control {{ chain out {{ {chain} }}; }}")).await;
            }
            Control::Drops => self.drop_on_the_wire("lab_control", "tcp dport 8080", "tcp sport 8080", "").await,
        }
    }

    /// The first login as containerboot does it: `tailscale up` with an auth key, which waits for as long as it takes, or
    /// ends where the key is refused.
    pub(crate) async fn first_login(&self, auth_key: Option<&str>) -> NodeProcess {
        let mut up = Command::new(program(&format!("{}/tailscale", self.version.number())));
        up.arg("--socket").arg(&self.socket).args(self.up_arguments(&format!("http://{}:8080", self.control_name())));
        up.args(auth_key.map(|key| format!("--auth-key={key}")));
        self.spawn(&up).await
    }

    /// Waits until this node is Running.
    pub async fn logs_in(&self) {
        let what = format!("{}: Running, and at the control server", self.name);
        let running = async || {
            let status = self.status().await;
            status["BackendState"] == "Running" && status["Self"]["Online"] == true
        };
        eventually(&what, PATIENCE, running).await;
        self.registers("registered", |_| true).await;
    }

    pub(super) async fn login(&self) {
        let mut up = self.up_arguments("http://10.99.0.1:8080");
        up.push("--timeout=30s".to_owned());
        self.tailscale(up).await.expect_success("tailscale up");
        self.logs_in().await;
    }

    fn up_arguments(&self, server: &str) -> Vec<String> {
        let own = [format!("--login-server={server}"), format!("--hostname={}", self.name)];
        let all = ["--accept-dns=false", "--netfilter-mode=off"].map(str::to_owned);
        [vec!["up".to_owned()], own.to_vec(), all.to_vec()].concat()
    }

    fn control_name(&self) -> String {
        format!("control-of-{}.example.net", self.name)
    }
}
