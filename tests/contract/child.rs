//! Running one test of this program in a process of its own: as another user, or where nothing else happens.

use super::SOON;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use tokio::time::timeout;

/// As in a distroless container.
pub const USER: &str = "65532";

/// Runs the ignored test `test` of this program through `wrapper`, a command whose last argument becomes the program;
/// gives what the test printed, panics if it failed.
pub async fn run(wrapper: &[&str], test: &str, environment: &[(&str, &OsStr)]) -> String {
    // Another user may not be able to reach the folder where cargo put this program.
    let folder = tempfile::Builder::new().prefix("telltail-test-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join(test);
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--ignored", "--exact", test, "--nocapture"]).envs(environment.iter().copied());
    command.current_dir("/").stdin(Stdio::null());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // A simulated tailscaled may live in this thread and must go on answering.
    let waiting = std::thread::spawn(move || sender.send(command.output()));
    let output = timeout(3 * SOON, receiver).await.unwrap().unwrap().expect("the wrapper is installed");
    waiting.join().unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = !output.status.success() || !said.contains("1 passed");
    assert!(!failed, "{test}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// What makes a program run as [`USER`]; only root can do so.
pub fn as_user() -> [&'static str; 6] {
    ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]
}

/// Our own user.
pub fn uid() -> u32 {
    Path::new("/proc/self").metadata().unwrap().uid()
}
