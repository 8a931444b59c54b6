//! PostgreSQL's commands. Who runs them, where and as whom is the caller's matter: PostgreSQL refuses to run as root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The superuser that [`Cluster::initdb`] makes.
pub const SUPERUSER: &str = "postgres";

/// Files of a database cluster, and the newest installed PostgreSQL to run them.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    data: PathBuf,
}

impl Cluster {
    /// A cluster whose files are in this folder, or will be.
    pub fn new(data: PathBuf) -> Self {
        Self { programs: newest_programs(), data }
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Makes the files. Clients on loopback are trusted.
    pub fn initdb(&self) -> Command {
        let mut initdb = Command::new(self.programs.join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--username", SUPERUSER, "--encoding=UTF8", "--locale=C", "-D"]);
        initdb.arg(&self.data);
        initdb
    }

    /// Runs the server with these settings, each as `name=value`.
    pub fn server(&self, settings: impl IntoIterator<Item: AsRef<str>>) -> Command {
        let mut server = Command::new(self.programs.join("postgres"));
        server.arg("-D").arg(&self.data).args(["-c", "fsync=off"]);
        for setting in settings {
            server.args(["-c", setting.as_ref()]);
        }
        server
    }

    /// Runs statements as the superuser, one by one: a database cannot be made within a transaction.
    pub fn psql(&self, port: u16, statements: &[&str]) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", SUPERUSER]);
        for statement in statements {
            psql.args(["-c", statement]);
        }
        psql
    }

    /// Ends with 0 if the server accepts connections.
    pub fn pg_isready(&self, port: u16) -> Command {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", SUPERUSER]);
        ready
    }

    /// Lets the next server stay at "the database system is starting up", if its `restore_command` never ends.
    pub fn begin_recovery(&self) {
        fs::write(self.data.join("recovery.signal"), "").expect("own folder");
    }
}

/// Debian keeps the servers of each version apart and off the PATH.
fn newest_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let with_server = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("postgres").exists());
    let number = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    with_server.max_by_key(number).expect("postgres is missing (Debian package postgresql): run tests/tailnet/install")
}
