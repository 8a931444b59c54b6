use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use serde_json::json;

use crate::{
    lab::Lab,
    localapi::HttpResponse,
    process::{self, NodeProcess, Output},
};

/// The sandbox of a pod: a network namespace without a tailscaled. What a pod needs is started in it.
#[derive(Debug)]
pub struct Sandbox {
    lab: Arc<Lab>,
    name: String,
    ip: Ipv4Addr,
    folder: PathBuf,
}

impl Sandbox {
    pub(crate) async fn start(lab: Arc<Lab>, name: &str) -> Self {
        let made = lab.ask("add_node", json!({"node": name})).await;
        let folder = lab.folder().join(name);
        std::fs::create_dir(&folder).expect("the tailnet's folder is writable");
        Self { name: name.to_owned(), ip: process::parse(made["ip"].clone()), folder, lab }
    }

    /// The pod's name, and its namespace's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pod's address, under the tailnet.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// A folder for the pod's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a program, as root, as the first process of a container: in PID, IPC and UTS namespaces of its own, and a
    /// mount namespace in which it may mount what it likes. All of them end with it. Both its outputs are added to `log`.
    pub async fn spawn_container(&self, command: &Command, log: &Path) -> NodeProcess {
        NodeProcess::spawn_container(&self.lab, &self.name, command, log.to_owned()).await
    }

    /// Runs a program in the pod's network namespace to its end, as root.
    pub async fn run(&self, command: &Command) -> Output {
        process::run(&self.lab, &self.name, None, command).await
    }

    /// Asks a web server of the pod at the pod's address, as the kubelet does.
    ///
    /// # Errors
    ///
    /// What went wrong, where there was no answer in time.
    pub async fn probe(&self, port: u16, path: &str, timeout: Duration) -> Result<HttpResponse, String> {
        let url = format!("http://{}:{port}{path}", self.ip);
        let timeout_ms = u64::try_from(timeout.as_millis()).expect("a timeout of less than an age");
        let answer = self.lab.ask("probe", json!({"url": url, "timeout_ms": timeout_ms})).await;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(process::parse(answer)),
        }
    }
}
