//! Prometheus' programs, started on a free port of loopback.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use telltail_tailnet::eventually;

/// Longest wait for a program: a machine under load takes its time.
const LONG: Duration = Duration::from_secs(30);

/// A running Prometheus or Alertmanager. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
    url: String,
}

impl Program {
    /// Starts `command`, to which `--web.listen-address` is added, and waits until it listens. Its log goes into `folder`.
    pub async fn start(command: &mut Command, folder: &Path) -> Self {
        let name = command.get_program().display().to_string();
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).expect("a log file");
        command.arg("--web.listen-address=127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}; tests/watch/install installs it"));
        let mut program = Self { child, log, url: String::new() };
        eventually(&format!("{name} listens"), LONG, async || program.listens()).await;
        program
    }

    fn listens(&mut self) -> bool {
        let log = self.log();
        assert!(self.child.try_wait().expect("a child's state").is_none(), "it ended:\n{log}");
        let line = log.lines().find(|line| line.contains("\"Listening on\""));
        let address = line.and_then(|line| line.split_once("address=")).map(|(_, address)| address);
        self.url = address.map(|address| format!("http://{}", address.trim())).unwrap_or_default();
        address.is_some()
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
