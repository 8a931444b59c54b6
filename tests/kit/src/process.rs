use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::wait::{PATIENCE, wait};

/// The signals that tests send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Reload.
    Hup = 1,
    /// What Ctrl-C sends.
    Int = 2,
    /// Cannot be caught.
    Kill = 9,
    /// Pauses PgBouncer.
    Usr1 = 10,
    /// What the kubelet sends.
    Term = 15,
    /// Go on after [`Signal::Stop`].
    Cont = 18,
    /// Stand still; the process is not notified.
    Stop = 19,
}

/// A child process with a log file. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    /// Starts a program that writes both outputs to `log`. Its standard input ends with this process.
    pub fn spawn(command: &mut Command, log: PathBuf) -> Self {
        let output = File::create(&log).expect("a log file");
        let errors = output.try_clone().expect("a second handle");
        Self::start(command.stdout(output).stderr(errors), log)
    }

    /// Like [`Process::spawn`], with a file of its own for standard error.
    pub fn spawn_with_stderr(command: &mut Command, log: PathBuf, stderr: &Path) -> Self {
        let [output, errors] = [&log, stderr].map(|file| File::create(file).expect("a log file"));
        Self::start(command.stdout(output).stderr(errors), log)
    }

    /// Like [`Process::spawn`], with another place for standard output; only standard error goes to `log`.
    pub fn spawn_with_stdout(command: &mut Command, stdout: impl Into<Stdio>, log: PathBuf) -> Self {
        let errors = File::create(&log).expect("a log file");
        Self::start(command.stdout(stdout).stderr(errors), log)
    }

    fn start(command: &mut Command, log: PathBuf) -> Self {
        let program = command.get_program().display().to_string();
        let child = command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let name = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, child: Mutex::new(child), log }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until the log contains a text.
    pub async fn until_logged(&self, text: &str) {
        self.until(&format!("{text:?} in its log"), async || self.log().contains(text)).await;
    }

    /// Waits for a condition; fails with the log if the process ends before or takes too long.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        self.until_some(what, async || holds().await.then_some(())).await;
    }

    /// Like [`Process::until`], for a condition that yields a value.
    pub async fn until_some<T>(&self, what: &str, mut value: impl AsyncFnMut() -> Option<T>) -> T {
        let found = wait(PATIENCE, async || {
            let exit = self.exited();
            assert!(exit.is_none(), "{} ended with {exit:?} before {what}:\n{}", self.name, self.log());
            value().await
        });
        found.await.unwrap_or_else(|| panic!("{}: not in time: {what}; it has logged:\n{}", self.name, self.log()))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let (number, id) = (signal as i32, self.id());
        let sent = Command::new("sh").args(["-c", &format!("kill -{number} {id}")]).status().expect("sh starts");
        assert!(sent.success(), "{} takes no {signal:?}", self.name);
    }

    /// The exit status, or nothing while it runs.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("a child of ours")
    }

    /// Waits for the end. Other tasks of the test go on meanwhile, so that connections to it can end.
    pub async fn wait(&self) -> ExitStatus {
        let ended = wait(PATIENCE, async || self.exited()).await;
        ended.unwrap_or_else(|| panic!("{} does not end; it has logged:\n{}", self.name, self.log()))
    }

    /// Kills it and waits for the end.
    pub fn kill(&self) {
        let mut child = self.child();
        // One that has ended already needs no kill.
        let _ = child.kill();
        let _ = child.wait();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_supervised_from_its_first_line_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'echo reloaded; exit 3' HUP; echo ready; while :; do sleep 0.01; done"]);
        let process = Process::spawn(&mut command, folder.path().join("shell.log"));
        process.until_logged("ready").await;
        assert_eq!(process.exited(), None);
        process.signal(Signal::Hup);
        assert_eq!(process.wait().await.code(), Some(3));
        assert_eq!(process.log(), "ready\nreloaded\n");
    }
    #[tokio::test]
    async fn standard_error_can_be_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let stderr = folder.path().join("stderr");
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo error >&2"]);
        let process = Process::spawn_with_stderr(&mut command, folder.path().join("stdout"), &stderr);
        assert_eq!(process.wait().await.code(), Some(0));
        assert_eq!((process.log().as_str(), fs::read_to_string(stderr).unwrap().as_str()), ("out\n", "error\n"));
    }
}
