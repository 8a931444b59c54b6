use std::{
    process::Command,
    sync::{Arc, Mutex},
};

use telltail_testkit::{PATIENCE, eventually, installed_program, valkey};

use crate::{
    lab::{lock, program},
    node::Node,
    process::NodeProcess,
};

/// Valkey needs no user of its own, only not to be root.
const VALKEY_USER: &str = "65532";

/// A Valkey server on port 6379 of a node.
#[derive(Debug)]
pub struct Valkey {
    node: Node,
    settings: Vec<String>,
    server: Mutex<Option<Arc<NodeProcess>>>,
}

impl Valkey {
    pub(crate) async fn start(node: Node, settings: &[(&str, &str)]) -> Self {
        let settings = valkey::arguments(&[&[("protected-mode", "no")], settings].concat());
        let valkey = Self { node, settings, server: Mutex::new(None) };
        valkey.start_again().await;
        valkey
    }

    /// Starts a stopped server and waits until it accepts connections.
    pub async fn start_again(&self) {
        let addresses = self.node.service_addresses();
        let server = valkey::server(&installed_program("valkey-server"), &addresses, 6379, &self.settings);
        let process = Arc::new(self.node.spawn_as(VALKEY_USER, &server).await);
        *lock(&self.server) = Some(Arc::clone(&process));
        let ready = async || process.log().contains(valkey::READY);
        eventually("Valkey accepts connections", PATIENCE, ready).await;
    }

    /// Stops the server; its port then refuses connections.
    pub async fn stop(&self) {
        self.server().terminate().await;
    }

    /// Stops the server as it stands: the kernel still accepts connections for it.
    pub async fn freeze(&self) {
        self.server().freeze().await;
    }

    /// Lets a frozen server go on.
    pub async fn thaw(&self) {
        self.server().thaw().await;
    }

    /// Connects this many clients, until the result is dropped.
    pub async fn fill(&self, clients: usize) -> NodeProcess {
        let mut hold = Command::new(program("1.102.5/lab"));
        hold.args(["--hold=127.0.0.1:6379", &format!("--count={clients}")]);
        let holder = self.node.spawn(&hold).await;
        eventually("Valkey is full of clients", PATIENCE, async || holder.log().contains("holding")).await;
        holder
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        self.server().log()
    }

    /// The server's process.
    pub fn server(&self) -> Arc<NodeProcess> {
        lock(&self.server).clone().expect("set at the start")
    }
}
