//! A `telltail` that runs as a process of its own.

use crate::support::{get, line};
use serde_json::{Map, Value};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tailscaled_sim::services::{Postgres, Server, Valkey};
use tailscaled_sim::{Peer, Tailscaled};
use telltail_testkit::Process;
use tokio::time::timeout;

pub const TARGETS: &str = "postgres://db:5432,valkey://cache:6379?required=false";

/// The program, without anything of this process's environment.
pub fn telltail(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telltail"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Status and outputs of a command that ends by itself. The simulation lives in this thread, so it goes on meanwhile.
pub async fn output(command: Command) -> Output {
    let agent = Agent::start(command);
    let status = agent.ended().await;
    Output { status, stdout: agent.read("stdout"), stderr: agent.read("stderr") }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A simulated tailnet with the two targets.
pub struct TestTailnet {
    pub tailscaled: Tailscaled,
    pub db: Server<Postgres>,
    pub cache: Server<Valkey>,
}

impl TestTailnet {
    pub fn new() -> Self {
        let tailnet = Self {
            tailscaled: Tailscaled::start(),
            db: Server::start(Postgres::asking_for_password()),
            cache: Server::start(Valkey::healthy()),
        };
        for (name, ip, port, server) in
            [("db", "100.64.0.2", 5432, tailnet.db.addr()), ("cache", "100.64.0.3", 6379, tailnet.cache.addr())]
        {
            tailnet.tailscaled.add_peer(Peer::new(name).ip(ip));
            tailnet.tailscaled.forward(name, port, server);
        }
        tailnet
    }

    /// A command that finds this tailnet's tailscaled.
    pub fn telltail(&self, arguments: &[&str]) -> Command {
        let mut command = telltail(arguments);
        command.env("TELLTAIL_SOCKET", self.tailscaled.socket()).env("TELLTAIL_TARGETS", TARGETS);
        command
    }

    /// An agent in this tailnet, quick and on a free port, otherwise as `change` makes it.
    pub fn run(&self, change: impl FnOnce(&mut Command)) -> Agent {
        let mut command = self.quick(&["run"]);
        change(&mut command);
        Agent::start(command)
    }

    /// Its command.
    pub fn quick(&self, arguments: &[&str]) -> Command {
        let mut command = self.telltail(arguments);
        command.env("TELLTAIL_INTERVAL", "200ms").env("TELLTAIL_TIMEOUT", "90ms");
        command.env("TELLTAIL_LISTEN", "127.0.0.1:0").env("TELLTAIL_DRAIN", "0s");
        command
    }
}

/// `telltail` and its outputs.
pub struct Agent {
    process: Process,
    folder: tempfile::TempDir,
}

impl Agent {
    pub fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| folder.path().join(name));
        Self { process: Process::spawn_with_stderr(&mut command, stdout, &stderr), folder }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).expect("it was created")
    }

    /// The lines of its log that are whole, held against the rules for a line.
    pub fn log(&self) -> Vec<Map<String, Value>> {
        let log = text(&self.read("stdout"));
        log.split_inclusive('\n').filter(|piece| piece.ends_with('\n')).map(|piece| line(piece.trim_end())).collect()
    }

    pub fn stderr(&self) -> String {
        text(&self.read("stderr"))
    }

    /// The lines with this message.
    pub fn log_lines(&self, message: &str) -> Vec<Map<String, Value>> {
        self.log().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// Waits for the first line with this message.
    pub async fn until_logged(&self, message: &str) -> Map<String, Value> {
        self.process.until_some(message, async || self.log_lines(message).into_iter().next()).await
    }

    /// Waits for something that it does.
    pub async fn until_some<T>(&self, what: &str, value: impl AsyncFnMut() -> Option<T>) -> T {
        self.process.until_some(what, value).await
    }

    /// Where it listens.
    pub async fn address(&self) -> SocketAddr {
        let started = self.until_logged("Started").await;
        started["address"].as_str().and_then(|address| address.parse().ok()).expect("an address")
    }

    /// Waits until a page answers with this status.
    pub async fn until(&self, path: &str, status: u16) {
        let address = self.address().await;
        let answers = async || get(address, path).await.is_some_and(|(now, _)| now == status);
        self.process.until(&format!("{path} answers {status}"), answers).await;
    }

    /// Waits until this holds.
    pub async fn until_page(&self, holds: impl AsyncFnMut() -> bool) {
        self.process.until("a page", holds).await;
    }

    /// The status of a page, which is there within the second that the kubelet waits by default.
    pub async fn soon(&self, path: &str) -> u16 {
        let address = self.address().await;
        let answer = timeout(Duration::from_secs(1), get(address, path)).await;
        answer.ok().flatten().unwrap_or_else(|| panic!("no answer to {path} within a second")).0
    }

    /// Sends a signal, by the name that `kill` knows, so many times.
    pub fn signal(&self, name: &str, times: u32) {
        let script = format!("i=0; while [ $i -lt {times} ]; do kill -{name} {}; i=$((i+1)); done", self.process.id());
        // It may have ended meanwhile.
        let _ = Command::new("/bin/sh").args(["-c", &script]).stderr(Stdio::null()).status();
    }

    /// Sends a signal to the process that it has started.
    pub fn signal_child(&self, name: &str) {
        let task = self.proc().join("task").join(self.process.id().to_string()).join("children");
        let child = fs::read_to_string(task).expect("alive");
        let sent = Command::new("/bin/sh").args(["-c", &format!("kill -{name} {child}")]).status();
        assert!(sent.expect("a shell").success(), "{child}");
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it, which has to be in order.
    pub async fn ends(&self) {
        self.signal("TERM", 1);
        assert_eq!(self.ended().await.code(), Some(0));
    }

    pub async fn ended(&self) -> ExitStatus {
        self.process.wait().await
    }

    /// Its folder in `/proc`.
    pub fn proc(&self) -> PathBuf {
        Path::new("/proc").join(self.process.id().to_string())
    }

    /// A line of `/proc/PID/status`; none once it has ended.
    fn status(&self, name: &str) -> Option<String> {
        let status = fs::read_to_string(self.proc().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().to_owned())
    }

    /// A figure of `/proc/PID/status`.
    pub fn figure(&self, name: &str) -> u64 {
        self.status(name).expect("a figure").trim_end_matches(" kB").parse().expect("a number")
    }

    /// Does it catch SIGTERM yet, or hold it back?
    pub fn catches_signals(&self) -> bool {
        const SIGTERM: u64 = 1 << (15 - 1);
        let has = |mask: &str| self.status(mask).and_then(|mask| u64::from_str_radix(&mask, 16).ok());
        ["SigCgt", "SigBlk"].into_iter().filter_map(has).any(|mask| mask & SIGTERM != 0)
    }

    pub fn has_ended(&self) -> bool {
        self.process.exited().is_some()
    }
}
