use std::fs::{Permissions, remove_dir_all, set_permissions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use telltail_testkit::{Process, Signal, debian_program, installed_program, valkey};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::folder::Folder;
use crate::port::free_port;
use crate::unprivileged::{openssl_certificate, spawn};

/// Who made the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Valkey 9.
    Valkey,
    /// Redis 7, of Debian; the only one of the two that is built with TLS.
    Redis,
}

/// A Valkey or Redis server.
#[derive(Debug)]
pub struct Redis {
    // Dropped first: a server shall not outlive its folder.
    server: Process,
    flavour: Flavour,
    address: SocketAddr,
    settings: Vec<String>,
    folder: Folder,
}

impl Redis {
    /// Starts a server with these settings beside the defaults, without waiting for it.
    fn launch(flavour: Flavour, ip: IpAddr, settings: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let address = SocketAddr::new(ip, free_port().port());
        let mut settings = valkey::arguments(settings);
        settings.extend(["--dir".to_owned(), folder.sub("data").display().to_string()]);
        let server = launch(flavour, address, &settings, &folder);
        Self { server, flavour, address, settings, folder }
    }

    /// Starts a server with these settings beside the defaults. It saves nothing of its own accord.
    pub async fn start(flavour: Flavour, settings: &[(&str, &str)]) -> Self {
        let redis = Self::launch(flavour, Ipv4Addr::LOCALHOST.into(), settings);
        redis.ready().await;
        redis
    }

    /// Starts a server at this machine's own address, so that it does not see its clients come from loopback.
    pub async fn start_beyond_loopback(flavour: Flavour) -> Self {
        let redis = Self::launch(flavour, crate::telltail::own_address(), &[]);
        redis.ready().await;
        redis
    }

    /// Starts a Sentinel that watches nobody.
    pub async fn start_sentinel(flavour: Flavour) -> Self {
        let (folder, address) = (Folder::new(), free_port());
        let data = folder.sub("data").display().to_string();
        let text = format!("port {}\nbind {}\ndir {data}\n", address.port(), address.ip());
        let configuration = folder.write("data/sentinel.conf", &text);
        // It keeps what it learns in there.
        set_permissions(&configuration, Permissions::from_mode(0o666)).expect("own file");
        let mut command = Command::new(program(flavour));
        let server = spawn(command.arg(configuration).arg("--sentinel"), folder.path().join("sentinel.log"));
        let sentinel = Self { server, flavour, address, settings: Vec::new(), folder };
        sentinel.server.until("it listens", async || TcpStream::connect(address).await.is_ok()).await;
        sentinel
    }

    /// Starts a server whose port speaks TLS alone, in these versions.
    pub async fn start_with_tls(protocols: &str) -> Self {
        let mut redis = Self::launch(Flavour::Redis, Ipv4Addr::LOCALHOST.into(), &[]);
        redis.kill();
        let (certificate, key) = (redis.folder.path().join("tls.crt"), redis.folder.path().join("tls.key"));
        openssl_certificate(&certificate, &key);
        let port = redis.address.port().to_string();
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        for (setting, value) in [
            ("--port", "0"),
            ("--tls-port", &port),
            ("--tls-auth-clients", "no"),
            ("--tls-protocols", protocols),
            ("--tls-cert-file", &certificate),
            ("--tls-key-file", &key),
        ] {
            redis.settings.extend([setting, value].map(ToOwned::to_owned));
        }
        redis.start_again().await;
        redis
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client that stays until it is dropped.
    pub async fn connect(&self) -> BufReader<TcpStream> {
        BufReader::new(TcpStream::connect(self.address).await.expect("the server listens"))
    }

    /// A client that the server has accepted, unless it has no place for one.
    pub async fn log_in(&self) -> Option<BufReader<TcpStream>> {
        let mut client = self.tell("PING").await;
        let mut answer = String::new();
        client.read_line(&mut answer).await.ok()?;
        (answer == "+PONG\r\n").then_some(client)
    }

    /// Runs a command and gives the first line of the answer.
    pub async fn ask(&self, command: &str) -> String {
        ask(self.address, &format!("{command}\r\n")).await
    }

    /// Sends a command to which no answer is expected; it runs as long as the client is held.
    pub async fn tell(&self, command: &str) -> BufReader<TcpStream> {
        let mut client = self.connect().await;
        client.write_all(format!("{command}\r\n").as_bytes()).await.expect("the server reads");
        client
    }

    /// Starts a stopped server.
    pub async fn start_again(&mut self) {
        self.server = launch(self.flavour, self.address, &self.settings, &self.folder);
        self.ready().await;
    }

    /// Starts a stopped server on the data it has saved, with the given pause for each key.
    pub async fn start_and_load_slowly(&mut self, microseconds_per_key: u32) {
        let delay = microseconds_per_key.to_string();
        let slow = ["--key-load-delay", &delay, "--loading-process-events-interval-bytes", "1024"];
        let settings: Vec<_> = self.settings.iter().cloned().chain(slow.map(ToOwned::to_owned)).collect();
        self.server = launch(self.flavour, self.address, &settings, &self.folder);
        let answers = async || match TcpStream::connect(self.address).await {
            Ok(_) => self.ask("PING").await.starts_with("-LOADING"),
            Err(_) => false,
        };
        self.server.until("it is loading", answers).await;
    }

    /// Stops the server in order, and gives what it has logged in its life.
    pub async fn stop(&self) -> String {
        self.server.signal(Signal::Term);
        self.server.wait().await;
        self.server.log()
    }

    /// Kills the server.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Stops the server as it stands: the kernel still accepts connections for it.
    pub fn freeze(&self) {
        self.server.signal(Signal::Stop);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.server.signal(Signal::Cont);
    }

    /// Takes away the folder to which the server saves.
    pub fn lose_folder(&self) {
        remove_dir_all(self.folder.path().join("data")).expect("it was made");
    }

    async fn ready(&self) {
        self.server.until_logged(valkey::READY).await;
    }
}

fn launch(flavour: Flavour, address: SocketAddr, settings: &[String], folder: &Folder) -> Process {
    let server = valkey::server(&program(flavour), &[address.ip()], address.port(), settings);
    spawn(&server, folder.path().join(format!("{flavour:?}.log")))
}

fn program(flavour: Flavour) -> PathBuf {
    match flavour {
        Flavour::Valkey => installed_program("valkey-server"),
        Flavour::Redis => debian_program("redis-server", "redis-server"),
    }
}

/// Sends a request on a connection of its own and gives the first line of the answer.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> String {
    let mut client = BufReader::new(TcpStream::connect(address).await.expect("the server listens"));
    client.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = String::new();
    client.read_line(&mut answer).await.expect("the server answers");
    answer
}
