use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use telltail_testkit::{Process, debian_program};

/// Whom servers run as if the tests run as root, which PostgreSQL refuses.
pub(crate) static NOBODY: LazyLock<Option<u32>> = LazyLock::new(|| {
    let uid = fs::metadata("/proc/self").expect("/proc is mounted").uid();
    (uid == 0).then_some(65534)
});

/// Starts a server that writes to `log`.
pub(crate) fn spawn(command: &Command, log: PathBuf) -> Process {
    // Or Ctrl-C would reach the server before the test ends.
    Process::spawn(unprivileged(command).process_group(0), log)
}

/// Runs a command of a server's package to its end, and gives what it wrote.
pub(crate) fn run(command: &Command) -> String {
    let output = unprivileged(command).stdin(Stdio::null()).output().expect("setpriv starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// Makes a certificate and its key, which the servers may read.
pub(crate) fn openssl_certificate(certificate: &Path, key: &Path) {
    let mut openssl = Command::new(debian_program("openssl", "openssl"));
    openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]);
    run(openssl.args(["-subj", "/CN=localhost", "-out"]).arg(certificate).arg("-keyout").arg(key));
}

/// The same command without privileges, and killed when the thread ends that starts it: each test has one.
fn unprivileged(command: &Command) -> Command {
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
