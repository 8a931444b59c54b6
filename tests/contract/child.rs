//! Runs one test of this program in its own process: as another user, or alone.

use super::SOON;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use tokio::time::timeout;

/// As in a distroless container.
pub const USER: &str = "65532";

/// Runs the ignored test `test` of this program through `wrapper`, a command that takes the program as last argument.
/// Returns the output of the test, panics if it failed.
pub async fn run(wrapper: &[&str], test: &str, environment: &[(&str, &OsStr)]) -> String {
    // Another user may have no access to cargo's folder.
    let folder = tempfile::Builder::new().prefix("telltail-test-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join(test);
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--ignored", "--exact", test, "--nocapture"]).envs(environment.iter().copied());
    command.current_dir("/").stdin(Stdio::null());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // A thread, because a simulated tailscaled may run on this one.
    let waiting = std::thread::spawn(move || sender.send(command.output()));
    let output = timeout(3 * SOON, receiver).await.unwrap().unwrap().expect("the wrapper is installed");
    waiting.join().unwrap().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = !output.status.success() || !stdout.contains("1 passed");
    assert!(!failed, "{test}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

/// The wrapper that runs a program as [`USER`]; it needs root.
pub fn as_user() -> [&'static str; 6] {
    ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]
}

/// Our own user.
pub fn uid() -> u32 {
    Path::new("/proc/self").metadata().unwrap().uid()
}
