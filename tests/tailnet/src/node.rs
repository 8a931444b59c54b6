use std::{
    ffi::OsStr,
    fmt::Display,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use telltail_testkit::{PATIENCE, eventually};

use crate::{
    lab::{Lab, lock, program},
    localapi::{self, Dial, HttpResponse},
    ping::Pong,
    postgres::Postgres,
    process::{self, NodeProcess, Output},
    valkey::Valkey,
};

mod faults;
mod login;
mod registration;

pub use login::Control;
use registration::Registration;

/// A release of Tailscale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 1.102.5, the newest here.
    V1_102,
    /// 1.80.3, the oldest that a test can drive: without Dial-Self.
    V1_80,
}

/// How tailscaled moves packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `--tun=userspace-networking`, with a SOCKS5 proxy on localhost:1055.
    Userspace,
    /// A kernel interface, `tailscale0`.
    Tun,
}

/// A machine of the tailnet: a network namespace and the tailscaled in it. Clones are the same machine.
#[derive(Debug, Clone)]
pub struct Node {
    lab: Arc<Lab>,
    name: String,
    version: Version,
    mode: Mode,
    host_ip: Ipv4Addr,
    folder: PathBuf,
    socket: PathBuf,
    registration: Arc<Mutex<Option<Registration>>>,
    daemon: Arc<Mutex<Option<Arc<NodeProcess>>>>,
    spawned: Arc<AtomicUsize>,
}

impl Node {
    pub(crate) async fn start(lab: Arc<Lab>, name: &str, version: Version, mode: Mode) -> Self {
        let node = Self::logged_out(lab, name, version, mode).await;
        node.login().await;
        node
    }

    /// A node whose tailscaled runs, and no more.
    pub(crate) async fn logged_out(lab: Arc<Lab>, name: &str, version: Version, mode: Mode) -> Self {
        let made = lab.ask("add_node", json!({"node": name})).await;
        let folder = lab.folder().join(name);
        fs::create_dir(&folder).expect("the tailnet's folder is writable");
        let node = Self {
            name: name.to_owned(),
            version,
            mode,
            host_ip: process::parse(made["ip"].clone()),
            socket: folder.join("tailscaled.sock"),
            folder,
            registration: Arc::default(),
            daemon: Arc::default(),
            spawned: Arc::default(),
            lab,
        };
        node.start_daemon().await;
        node
    }

    /// The host name, and the first label of the MagicDNS name until it is renamed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address under the tailnet: where the node's UDP goes.
    pub fn host_ip(&self) -> Ipv4Addr {
        self.host_ip
    }

    /// The LocalAPI socket; it can be reached from every namespace.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The name of the network namespace, inside the tailnet's mount namespace.
    pub fn namespace(&self) -> &str {
        &self.name
    }

    /// A folder for this node's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version of its tailscaled.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How its tailscaled moves packets.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Runs the `tailscale` CLI against this node.
    pub async fn tailscale<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Output {
        let mut command = Command::new(program(&format!("{}/tailscale", self.version.number())));
        command.arg("--socket").arg(&self.socket).args(args);
        self.run(&command).await
    }

    /// LocalAPI's status, with peers.
    pub async fn status(&self) -> Value {
        let answer = self.localapi("GET", "status").await;
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("status: {error}: {}", answer.body))
    }

    /// Asks `/localapi/v0/PATH` as root.
    pub async fn localapi(&self, method: &str, path: &str) -> HttpResponse {
        localapi::ask(&self.socket, method, path).await
    }

    /// Dials an address or a name through LocalAPI and hangs up.
    pub async fn dial(&self, host: impl Display, port: u16, within: Duration) -> Dial {
        localapi::dial(&self.socket, host, port, within).await
    }

    /// One `tailscale ping`: which way the answer came.
    pub async fn ping(&self, peer: &Node) -> Pong {
        // Of IPv6, which every node has.
        let ip = peer.ipv6().to_string();
        let output = self.tailscale(["ping", "--c=1", "--timeout=2s", &ip]).await;
        Pong::from_cli(&output)
    }

    /// Starts a program in this node's namespace, as root, with the environment of the command and no other.
    /// It is killed when the result is dropped.
    pub async fn spawn(&self, command: &Command) -> NodeProcess {
        self.spawn_as(None, command).await
    }

    /// Like [`Node::spawn`], as another user: a name, or a number that need not exist.
    pub async fn spawn_as(&self, user: impl Into<Option<&str>>, command: &Command) -> NodeProcess {
        let number = self.spawned.fetch_add(1, Ordering::Relaxed);
        let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
        let log = self.folder.join(format!("{number}-{program}.log"));
        NodeProcess::spawn(&self.lab, &self.name, user.into(), command, log).await
    }

    /// Runs a program in this node's namespace to its end, as root.
    pub async fn run(&self, command: &Command) -> Output {
        process::run(&self.lab, &self.name, None, command).await
    }

    /// Like [`Node::run`], as another user.
    pub async fn run_as(&self, user: &str, command: &Command) -> Output {
        process::run(&self.lab, &self.name, Some(user), command).await
    }

    /// Asks a web server on this node's loopback; panics if there is none.
    pub async fn get(&self, port: u16, path: &str) -> HttpResponse {
        let what = format!("http://127.0.0.1:{port}{path}");
        self.try_get(port, path).await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Asks a web server on this node's loopback.
    ///
    /// # Errors
    ///
    /// What went wrong, where there was no answer.
    pub async fn try_get(&self, port: u16, path: &str) -> Result<HttpResponse, String> {
        let mut command = Command::new(program("1.102.5/lab"));
        let output = self.run(command.arg(format!("--fetch=http://127.0.0.1:{port}{path}"))).await;
        serde_json::from_str(&output.stdout).map_err(|_| output.stderr.trim().to_owned())
    }

    /// Asks a DNS server, say MagicDNS, from within this node for `A` or `AAAA` records of a full name. The addresses, sorted and
    /// with a space between them; or `NameError`, `ServerFailure` and the like; or what prevented an answer.
    pub async fn resolve(&self, server: &str, name: &str, kind: &str) -> String {
        let mut command = Command::new(program("1.102.5/lab"));
        command.args([format!("--resolve={name}"), format!("--server={server}"), format!("--type={kind}")]);
        let output = self.run(&command).await;
        let text = if output.code == 0 { output.stdout } else { output.stderr };
        text.trim().to_owned()
    }

    /// Starts PostgreSQL on port 5432 of this node: on loopback, and on the tailnet address in TUN mode.
    pub async fn postgres(&self, settings: &[(&str, &str)]) -> Postgres {
        Postgres::start(self.clone(), settings).await
    }

    /// Starts Valkey on port 6379 of this node: on loopback, and on the tailnet address in TUN mode.
    pub async fn valkey(&self, settings: &[(&str, &str)]) -> Valkey {
        Valkey::start(self.clone(), settings).await
    }

    /// Where a service of this node listens, so that peers reach it.
    pub(crate) fn service_addresses(&self) -> Vec<IpAddr> {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        match self.mode {
            // Userspace tailscaled hands inbound connections to its own loopback.
            Mode::Userspace => vec![loopback],
            Mode::Tun => vec![loopback, self.addresses()[0]],
        }
    }

    /// tailscaled itself: its log, and what it costs.
    pub fn daemon(&self) -> Arc<NodeProcess> {
        lock(&self.daemon).clone().expect("a node starts with its tailscaled")
    }

    async fn start_daemon(&self) {
        let mut command = Command::new(program(&format!("{}/tailscaled", self.version.number())));
        match self.mode {
            Mode::Userspace => command.args(["--tun=userspace-networking", "--socks5-server=localhost:1055"]),
            Mode::Tun => command.arg("--tun=tailscale0"),
        };
        command.arg("--statedir").arg(self.folder.join("state")).arg("--socket").arg(&self.socket);
        command.arg("--port=41641").env("TS_NO_LOGS_NO_SUPPORT", "true");
        let log = self.folder.join("tailscaled.log");
        let daemon = NodeProcess::spawn(&self.lab, &self.name, None, &command, log).await;
        *lock(&self.daemon) = Some(Arc::new(daemon));
        let listening = async || tokio::net::UnixStream::connect(&self.socket).await.is_ok();
        eventually(&format!("{}: tailscaled listens", self.name), PATIENCE, listening).await;
    }
}

impl Version {
    /// The version's number.
    pub fn number(self) -> &'static str {
        match self {
            Self::V1_102 => "1.102.5",
            Self::V1_80 => "1.80.3",
        }
    }
}
