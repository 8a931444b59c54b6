//! Prometheus' programs, started on a free port of loopback.

use std::path::Path;
use std::process::Command;
use telltail_testkit::Process;

/// A running Prometheus or Alertmanager. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    process: Process,
    url: String,
}

impl Program {
    /// Starts `command`, to which `--web.listen-address` is added, and waits until it listens. Its log goes into `folder`.
    /// `tests/watch/install` installs both programs.
    pub async fn start(command: &mut Command, folder: &Path) -> Self {
        let name = command.get_program().display().to_string();
        let process =
            Process::spawn(command.arg("--web.listen-address=127.0.0.1:0"), folder.join(format!("{name}.log")));
        let url = process.until_some("it listens", async || listens_at(&process.log())).await;
        Self { process, url }
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn listens_at(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("\"Listening on\""))?;
    let (_, address) = line.split_once("address=")?;
    Some(format!("http://{}", address.trim()))
}
