use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::eventually::within_reason;

/// Whom servers run as if the tests run as root, which PostgreSQL refuses.
pub(crate) static NOBODY: LazyLock<Option<u32>> = LazyLock::new(|| {
    let uid = fs::metadata("/proc/self").expect("/proc is mounted").uid();
    (uid == 0).then_some(65534)
});

/// A server's process. It is killed when this is dropped and when the thread of the test ends for whatever reason.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    /// Starts a server that writes to `log`, with a standard input that ends with the test.
    pub fn spawn(command: &Command, log: PathBuf) -> Self {
        let output = File::create(&log).expect("a log file");
        let mut command = as_nobody(command);
        command.stdin(Stdio::piped()).stdout(output.try_clone().expect("a second handle")).stderr(output);
        let child = command.process_group(0).spawn().expect("setpriv starts");
        let name = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, child: Mutex::new(child), log }
    }

    /// What the server has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until the log says so.
    pub async fn says(&self, text: &str) {
        self.until(&format!("{text:?} in its log"), async || self.log().contains(text)).await;
    }

    /// Waits for something that a server does; fails with its log if it ends before or takes too long.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let met = within_reason(async || {
            let exit = self.child().try_wait().expect("a child of ours");
            assert!(exit.is_none(), "{} ended with {exit:?} before {what}:\n{}", self.name, self.log());
            holds().await
        });
        assert!(met.await, "{}: not in time: {what}; it has logged:\n{}", self.name, self.log());
    }

    /// Sends a signal, say `STOP`.
    pub fn signal(&self, signal: &str) {
        let id = self.child().id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &id]).status().expect("sh starts");
        assert!(sent.success(), "{} takes no {signal}", self.name);
    }

    /// Waits for the end; the simulated tailscaled goes on meanwhile, so that connections to the server can end.
    pub async fn ended(&self) {
        let ended = async || self.child().try_wait().expect("a child of ours").is_some();
        assert!(within_reason(ended).await, "{} does not end; it has logged:\n{}", self.name, self.log());
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

/// Runs a command of a server's package to its end, and gives what it wrote.
pub(crate) fn run(command: &Command) -> String {
    let output = as_nobody(command).stdin(Stdio::null()).output().expect("setpriv starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// Makes a certificate and its key, which the servers may read.
pub(crate) fn openssl_certificate(certificate: &Path, key: &Path) {
    let mut openssl = Command::new(program("openssl", "openssl"));
    openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]);
    run(openssl.args(["-subj", "/CN=localhost", "-out"]).arg(certificate).arg("-keyout").arg(key));
}

/// The same command without privileges, and killed when the thread ends that starts it: each test has one.
fn as_nobody(command: &Command) -> Command {
    let mut argv: Vec<OsString> = ["setpriv", "--pdeathsig", "KILL"].map(Into::into).into();
    if let Some(nobody) = *NOBODY {
        // A PostgreSQL that is killed leaves shared memory behind, which is gone with the namespace.
        argv.splice(0..0, ["unshare", "--ipc"].map(Into::into));
        argv.extend(
            [format!("--reuid={nobody}"), format!("--regid={nobody}"), "--clear-groups".to_owned()].map(Into::into),
        );
    }
    argv.push(command.get_program().to_owned());
    argv.extend(command.get_args().map(ToOwned::to_owned));
    let mut wrapped = Command::new(&argv[0]);
    wrapped.args(&argv[1..]).current_dir("/");
    for (key, value) in command.get_envs() {
        wrapped.env(key, value.unwrap_or_default());
    }
    wrapped
}

/// A program of a Debian package.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where only root's PATH leads.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing (Debian package {package}): run tests/tailnet/install"))
}

/// What `tests/tailnet/install` has put beside the build.
pub(crate) fn installed(name: &str, package: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is in tests/servers");
    let path = root.join("target/tailnet").join(name);
    assert!(path.is_file(), "{name} is missing (PyPI package {package}): run tests/tailnet/install");
    path
}
