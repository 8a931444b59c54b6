//! The socket's path, and what else can be found there.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// What is at the socket's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFile {
    /// Nothing.
    Nothing,
    /// A file that is no socket.
    File,
    /// A folder.
    Folder,
    /// A symbolic link to nowhere.
    DanglingLink,
}

/// A path that ends with its owner, and the folder too if it was made for it.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Socket {
    pub(crate) fn temporary() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Others must be able to walk through: the agent runs under another user id than the real tailscaled.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Socket { path: folder.path().join("tailscaled.sock"), _folder: Some(folder) })
    }

    pub(crate) fn at(path: &Path) -> Self {
        Socket { path: path.to_owned(), _folder: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A new inode at the path, open to everybody as the real one.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        self.clear()?;
        let listener = UnixListener::bind(&self.path)?;
        self.set_mode(0o666)?;
        Ok(listener)
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
    }

    pub(crate) fn place(&self, what: SocketFile) -> io::Result<()> {
        self.clear()?;
        match what {
            SocketFile::Nothing => Ok(()),
            SocketFile::File => fs::write(&self.path, "not a socket"),
            SocketFile::Folder => fs::create_dir(&self.path),
            SocketFile::DanglingLink => symlink("nowhere", &self.path),
        }
    }

    fn clear(&self) -> io::Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_dir() => fs::remove_dir(&self.path),
            Ok(_) => fs::remove_file(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = self.clear();
    }
}
