use std::fs::{Permissions, create_dir, set_permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::unprivileged::NOBODY;

/// A temporary folder that the servers' user may write to. It is gone after the test, however that ends: a shell that
/// outlives the test removes it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    janitor: Child,
}

impl Folder {
    pub fn new() -> Self {
        let path = tempfile::Builder::new().prefix("telltail-servers-").tempdir().expect("a temporary folder").keep();
        give_away(&path);
        // The standard input ends with us. What a dying server still writes makes `rm` fail, but not for ever. A process
        // group of its own, or Ctrl-C would end it together with the test.
        let script = "cat; until rm -rf \"$0\" 2>/dev/null; do sleep 0.1; done";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        Self { path, janitor: shell.spawn().expect("sh starts") }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder within it.
    pub fn sub(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        create_dir(&path).expect("a new folder");
        give_away(&path);
        path
    }

    /// Writes a file that the servers may read.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::write(&path, content).expect("a new file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

fn give_away(path: &Path) {
    set_permissions(path, Permissions::from_mode(0o700)).expect("own folder");
    if let Some(nobody) = *NOBODY {
        chown(path, Some(nobody), None).expect("root may give a folder away");
    }
}
