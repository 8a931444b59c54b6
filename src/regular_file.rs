//! Reading files that somebody else provides: never waiting for them.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// `open` and `read` return at once instead of waiting for another process; no effect on regular files. The value of Linux on
/// x86-64 and arm64 (asm-generic/fcntl.h).
const O_NONBLOCK: i32 = 0o4000;

/// The first `limit` bytes of a file. Links are followed, for Kubernetes mounts ConfigMaps and Secrets as links; what they lead
/// to must be a regular file.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Before it is opened, because opening a device can have effects, and opening a socket fails without a reason.
    require_regular(&fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
    // Afterwards too, because it may have been replaced in between.
    require_regular(&file.metadata()?)?;
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content)?;
    Ok(content)
}

fn require_regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let name = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::other(format!("is {name}, not a regular file")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    #[test]
    fn only_regular_files_are_read_also_behind_links() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "0123456789").expect("a file");
        assert!(Command::new("mkfifo").arg(path("fifo")).status().expect("coreutils").success());
        let _socket = UnixListener::bind(path("socket")).expect("a socket");
        fs::create_dir(path("folder")).expect("a folder");
        symlink("/dev/zero", path("device")).expect("a link");
        // As Kubernetes mounts a ConfigMap.
        symlink("file", path("..data")).expect("a link");
        symlink("..data", path("linked")).expect("a link");
        symlink("loop", path("loop")).expect("a link");

        for name in ["file", "linked"] {
            assert_eq!(read(&path(name), 4).expect("a regular file"), b"0123");
        }
        for (name, kind) in
            [("fifo", "a FIFO"), ("socket", "a socket"), ("folder", "a directory"), ("device", "a device")]
        {
            symlink(name, path(&format!("to-{name}"))).expect("a link");
            for name in [name.to_owned(), format!("to-{name}")] {
                let error = read(&path(&name), 4).expect_err("not regular").to_string();
                assert_eq!(error, format!("is {kind}, not a regular file"));
            }
        }
        assert!(read(&path("loop"), 4).is_err() && read(&path("absent"), 4).is_err());
    }

    #[test]
    fn what_was_swapped_for_a_fifo_does_not_block_the_open() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().expect("coreutils").success());
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(fifo).expect("no wait for a writer");
        assert!(require_regular(&file.metadata().expect("it is open")).is_err());
    }
}
