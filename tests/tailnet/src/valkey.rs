use std::{
    net::Ipv4Addr,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    eventually,
    lab::{installed, lock, program},
    node::Node,
    process::Process,
};

const START: Duration = Duration::from_secs(30);
/// Valkey needs no user of its own, only not to be root.
const VALKEY_USER: &str = "65532";

/// A Valkey server on port 6379 of a node.
#[derive(Debug)]
pub struct Valkey {
    node: Node,
    settings: Vec<String>,
    server: Mutex<Option<Arc<Process>>>,
}

impl Valkey {
    pub(crate) async fn start(node: Node, settings: &[(&str, &str)]) -> Self {
        let valkey = Self {
            node,
            settings: settings.iter().flat_map(|(key, value)| [format!("--{key}"), (*value).to_owned()]).collect(),
            server: Mutex::new(None),
        };
        valkey.start_again().await;
        valkey
    }

    /// Starts a stopped server and waits until it accepts connections.
    pub async fn start_again(&self) {
        let mut server = Command::new(installed("valkey-server"));
        server.args(["--port", "6379", "--protected-mode", "no", "--save", "", "--bind"]);
        server.args(self.node.service_addresses().iter().map(Ipv4Addr::to_string));
        server.args(&self.settings);
        let process = Arc::new(self.node.spawn_as(VALKEY_USER, &server).await);
        *lock(&self.server) = Some(Arc::clone(&process));
        let ready = async || process.log().contains("Ready to accept connections");
        eventually("Valkey accepts connections", START, ready).await;
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
    pub async fn fill(&self, clients: usize) -> Process {
        let mut hold = Command::new(program("1.102.5/lab"));
        hold.args(["--hold=127.0.0.1:6379", &format!("--count={clients}")]);
        let holder = self.node.spawn(&hold).await;
        eventually("Valkey is full of clients", START, async || holder.log().contains("holding")).await;
        holder
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        self.server().log()
    }

    /// The server's process.
    pub fn server(&self) -> Arc<Process> {
        lock(&self.server).clone().expect("set at the start")
    }
}
