//! A container as a process: a root of its own, the pod's volumes in it, and the rights that its security context leaves.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::spec::{Container, SecurityContext};

/// A program in place of an image: what the image would start, and what of this machine it finds where.
#[derive(Debug, Clone)]
pub struct Image {
    /// As the image's own; a container's `command` replaces it.
    pub entrypoint: Vec<String>,
    /// Files and folders of this machine and their place in the container, read-only.
    pub contents: Vec<(PathBuf, PathBuf)>,
}

/// Something mounted into a container.
#[derive(Debug)]
pub(super) struct Mount {
    pub source: PathBuf,
    pub target: PathBuf,
    pub folder: bool,
    pub read_only: bool,
}

/// Where the container's root is mounted, in a mount namespace that nobody else sees.
const ROOT: &str = "/mnt";

/// The shell script's beginning: the parts of a root that a container runtime makes. Programs here are not static as in
/// an image, so `/usr` of this machine is there as well.
const PREPARE: &str = "set -eu
mount -t tmpfs -o mode=755 root /mnt
cd /mnt
mkdir -p dev etc proc usr
for name in bin lib lib64 sbin; do ln -s usr/$name $name; done
mount --bind /usr usr
mount -o remount,bind,ro usr
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
";

/// The command that becomes the container's first process, as root in a mount namespace of its own.
pub(super) fn command(container: &Container, argv: &[String], mounts: &[Mount], host_name: &str) -> Command {
    let mut script = PREPARE.to_owned();
    let _ = writeln!(script, "hostname {}", quoted(host_name));
    for mount in mounts {
        script.push_str(&mount.lines());
    }
    if container.security_context.read_only_root_filesystem {
        script.push_str("mount -o remount,ro /mnt\nmount -o remount,ro /mnt/dev\n");
    }
    let _ = writeln!(script, "exec chroot /mnt /usr/bin/setpriv {} -- \"$@\"", container.security_context.options());
    let mut command = Command::new("sh");
    command.args(["-c", &script, &container.name]).args(argv);
    command
}

impl Mount {
    /// A read-only mount of something that every container has.
    pub(super) fn read_only(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        let source = source.into();
        let folder = fs::metadata(&source).is_ok_and(|meta| meta.is_dir());
        Self { source, target: target.into(), folder, read_only: true }
    }

    fn lines(&self) -> String {
        let inside = Path::new(ROOT).join(self.target.strip_prefix("/").unwrap_or(&self.target));
        let target = quoted(&inside.to_string_lossy());
        let source = quoted(&self.source.to_string_lossy());
        // What is there already may be read-only.
        let place = if self.folder { "mkdir -p" } else { "install -D /dev/null" };
        let mut lines = format!("[ -e {target} ] || {place} {target}\nmount --bind {source} {target}\n");
        if self.read_only {
            let _ = writeln!(lines, "mount -o remount,bind,ro {target}");
        }
        lines
    }
}

impl SecurityContext {
    /// What makes a process with these rights.
    fn options(&self) -> String {
        assert!(self.capabilities.drop == ["ALL"], "{:?}: the default set is not known here", self.capabilities.drop);
        assert!(
            !(self.run_as_non_root && self.run_as_user == 0),
            "the kubelet refuses root where runAsNonRoot is true"
        );
        let kept: String = self.capabilities.add.iter().map(|name| format!(",+{}", name.to_lowercase())).collect();
        let escalation = if self.allow_privilege_escalation { "" } else { " --no-new-privs" };
        format!(
            "--reuid={} --regid={} --clear-groups --inh-caps=-all --bounding-set=-all{kept}{escalation}",
            self.run_as_user, self.run_as_group
        )
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
