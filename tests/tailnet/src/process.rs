use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use telltail_testkit::Signal;

use crate::lab::Lab;

/// A process in a node's namespace, with a process group of its own. Dropping it kills the group.
///
/// The lab starts it and speaks for it: it is no child of the test, as [`telltail_testkit::Process`] is.
#[derive(Debug)]
pub struct NodeProcess {
    lab: Arc<Lab>,
    id: u64,
    log: PathBuf,
}

/// What a command has answered.
#[derive(Debug, Clone, Deserialize)]
pub struct Output {
    /// Exit code; minus the signal's number where a signal ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// What a process has cost since it started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time, in steps of 10 ms.
    pub cpu: Duration,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Threads it has now.
    pub threads: u64,
}

impl NodeProcess {
    pub(crate) async fn spawn(lab: &Arc<Lab>, node: &str, user: Option<&str>, command: &Command, log: PathBuf) -> Self {
        Self::start(lab, describe(node, user, command), log).await
    }

    pub(crate) async fn spawn_container(lab: &Arc<Lab>, node: &str, command: &Command, log: PathBuf) -> Self {
        let mut args = describe(node, None, command);
        args["container"] = json!(true);
        Self::start(lab, args, log).await
    }

    async fn start(lab: &Arc<Lab>, mut args: Value, log: PathBuf) -> Self {
        args["log"] = json!(log);
        let answer = lab.ask("spawn", args).await;
        Self { lab: Arc::clone(lab), id: answer["process"].as_u64().expect("spawn answers a number"), log }
    }

    /// What the process has written so far, to both outputs.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The file behind [`NodeProcess::log`].
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Sends a signal to the process alone.
    pub async fn signal(&self, signal: Signal) {
        self.lab.ask("signal", self.signal_args(signal, false)).await;
    }

    /// Stops the process and its group as they stand.
    pub async fn freeze(&self) {
        self.lab.ask("signal", self.signal_args(Signal::Stop, true)).await;
    }

    /// Lets a frozen process go on.
    pub async fn thaw(&self) {
        self.lab.ask("signal", self.signal_args(Signal::Cont, true)).await;
    }

    /// Kills the process and its group, and waits for its end.
    pub async fn kill(&self) {
        self.lab.ask("signal", self.signal_args(Signal::Kill, true)).await;
        self.wait().await;
    }

    /// Asks the process to end, waits, and gives its exit code.
    pub async fn terminate(&self) -> i32 {
        self.signal(Signal::Term).await;
        self.wait().await
    }

    /// Waits for the end, and gives the exit code, or minus the signal that ended it.
    pub async fn wait(&self) -> i32 {
        let answer = self.lab.ask("wait", json!({"process": self.id, "block": true})).await;
        exit_code(&answer).expect("an ended process has a code")
    }

    /// The exit code, or nothing while the process runs.
    pub async fn exited(&self) -> Option<i32> {
        exit_code(&self.lab.ask("wait", json!({"process": self.id})).await)
    }

    /// What the process has cost so far.
    pub async fn usage(&self) -> Usage {
        let answer = self.lab.ask("usage", json!({"process": self.id})).await;
        let number = |key: &str| answer[key].as_u64().expect("usage answers numbers");
        Usage {
            cpu: Duration::from_millis(number("cpu_ms")),
            rss_bytes: number("rss_bytes"),
            threads: number("threads"),
        }
    }

    fn signal_args(&self, signal: Signal, group: bool) -> Value {
        json!({"process": self.id, "signal": signal as i32, "group": group})
    }
}

impl Output {
    /// Panics with what the command wrote, unless it ended with 0.
    pub fn expect_success(&self, what: &str) {
        assert!(self.code == 0, "{what}: exit code {}\n{}{}", self.code, self.stdout, self.stderr);
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.lab.tell("signal", self.signal_args(Signal::Kill, true));
    }
}

pub(crate) async fn run(lab: &Lab, node: &str, user: Option<&str>, command: &Command) -> Output {
    parse(lab.ask("run", describe(node, user, command)).await)
}

pub(crate) fn parse<T: DeserializeOwned>(answer: Value) -> T {
    serde_json::from_value(answer).unwrap_or_else(|error| panic!("the lab's answer: {error}"))
}

fn describe(node: &str, user: Option<&str>, command: &Command) -> Value {
    let text = |s: &OsStr| s.to_str().expect("arguments are text").to_owned();
    let argv: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).map(text).collect();
    let env: Vec<_> =
        command.get_envs().filter_map(|(key, value)| Some(format!("{}={}", text(key), text(value?)))).collect();
    json!({"node": node, "user": user, "argv": argv, "env": env})
}

fn exit_code(answer: &Value) -> Option<i32> {
    answer["code"].as_i64().and_then(|code| code.try_into().ok())
}
