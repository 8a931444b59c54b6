//! A `telltail` that runs as a process of its own.

use crate::support::{get, line};
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tailscaled_sim::services::{Postgres, Server, Valkey};
use tailscaled_sim::{Peer, Tailscaled};
use tokio::time::{Instant, sleep};

/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

pub const TARGETS: &str = "postgres://db:5432,valkey://cache:6379?required=false";

/// The program, without anything of this process's environment.
pub fn telltail(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telltail"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// What a command that ends by itself says. The simulation lives in this thread, so it goes on meanwhile.
pub async fn output(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let mut child = Owned(Some(child));
    ended(&mut child).await;
    child.0.take().expect("it was there").wait_with_output().expect("its output")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The tailnet of the two targets.
pub struct World {
    pub tailscaled: Tailscaled,
    pub db: Server<Postgres>,
    pub cache: Server<Valkey>,
}

impl World {
    pub fn new() -> Self {
        let world = Self {
            tailscaled: Tailscaled::start(),
            db: Server::start(Postgres::asking_for_password()),
            cache: Server::start(Valkey::healthy()),
        };
        for (name, ip, port, server) in
            [("db", "100.64.0.2", 5432, world.db.addr()), ("cache", "100.64.0.3", 6379, world.cache.addr())]
        {
            world.tailscaled.add_peer(Peer::new(name).ip(ip));
            world.tailscaled.forward(name, port, server);
        }
        world
    }

    /// A command that finds this world's tailscaled.
    pub fn telltail(&self, arguments: &[&str]) -> Command {
        let mut command = telltail(arguments);
        command.env("TELLTAIL_SOCKET", self.tailscaled.socket()).env("TELLTAIL_TARGETS", TARGETS);
        command
    }

    /// An agent in this world, quick and on a free port, otherwise as `change` makes it.
    pub fn run(&self, change: impl FnOnce(&mut Command)) -> Agent {
        let mut command = self.telltail(&["run"]);
        command.env("TELLTAIL_INTERVAL", "200ms").env("TELLTAIL_TIMEOUT", "90ms");
        command.env("TELLTAIL_LISTEN", "127.0.0.1:0").env("TELLTAIL_DRAIN", "0s");
        change(&mut command);
        Agent::start(command)
    }
}

/// A process that ends with its owner.
struct Owned(Option<Child>);

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn ended(child: &mut Owned) -> ExitStatus {
    let begun = Instant::now();
    loop {
        let running = child.0.as_mut().expect("it was started");
        if let Some(status) = running.try_wait().expect("a child of ours") {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        sleep(Duration::from_millis(5)).await;
    }
}

/// `telltail run`.
pub struct Agent {
    child: Owned,
    folder: tempfile::TempDir,
}

impl Agent {
    fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name| File::create(folder.path().join(name)).expect("a file");
        command.stdout(file("stdout")).stderr(file("stderr"));
        Self { child: Owned(Some(command.spawn().expect("a process"))), folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.0.as_ref().expect("it was started").id()
    }

    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect("UTF-8")
    }

    /// The lines of its log that are whole, held against the rules for a line.
    pub fn log(&self) -> Vec<Map<String, Value>> {
        let said = self.said("stdout");
        said.split_inclusive('\n').filter(|piece| piece.ends_with('\n')).map(|piece| line(piece.trim_end())).collect()
    }

    pub fn stderr(&self) -> String {
        self.said("stderr")
    }

    /// The lines with this message.
    pub fn saying(&self, message: &str) -> Vec<Map<String, Value>> {
        self.log().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// Waits until it has said so.
    pub async fn until_said(&mut self, message: &str) -> Map<String, Value> {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.saying(message).into_iter().next() {
                return line;
            }
            let ended = self.child.0.as_mut().expect("it was started").try_wait().expect("a child of ours");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{message}: {ended:?}\n{}", self.said("stdout"));
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Where it listens.
    pub async fn address(&mut self) -> SocketAddr {
        let started = self.until_said("Started").await;
        started["address"].as_str().and_then(|address| address.parse().ok()).expect("an address")
    }

    /// Waits until a page answers with this status.
    pub async fn until(&mut self, path: &str, status: u16) -> String {
        let (address, begun) = (self.address().await, Instant::now());
        loop {
            match get(address, path).await {
                Some((now, body)) if now == status => return body,
                other => {
                    let ended = self.child.0.as_mut().expect("it was started").try_wait().expect("a child of ours");
                    let said = self.said("stdout");
                    assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{path}: {other:?}, {ended:?}\n{said}");
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends a signal, by the name that `kill` knows, so many times.
    pub fn signal(&self, name: &str, times: u32) {
        let script = format!("i=0; while [ $i -lt {times} ]; do kill -{name} {}; i=$((i+1)); done", self.pid());
        // It may have ended meanwhile.
        let _ = Command::new("/bin/sh").args(["-c", &script]).stderr(Stdio::null()).status();
    }

    pub async fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child).await
    }

    /// A figure of `/proc/PID/status`.
    pub fn figure(&self, name: &str) -> u64 {
        let status = fs::read_to_string(Path::new("/proc").join(self.pid().to_string()).join("status")).expect("alive");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a figure");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}
