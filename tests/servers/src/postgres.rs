use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::folder::Folder;
use crate::port::free_port;
use crate::process::{Process, openssl_certificate, run};

/// Roles by the way they log in: each is called what `pg_hba.conf` asks of it. A role that is not here has no line.
const HBA: &str = "\
host all postgres,trusted 127.0.0.1/32 trust
host all scram,nobody_knows 127.0.0.1/32 scram-sha-256
host all md5 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
host all rejected 127.0.0.1/32 reject
hostssl all tls_only 127.0.0.1/32 scram-sha-256
";

const ROLES: &str = "\
create role trusted login; create database trusted;
create role scram login password 'x'; create role clear login password 'x'; create role tls_only login password 'x';
set password_encryption = 'md5'; create role md5 login password 'x';
";

/// A PostgreSQL server of the newest installed version.
#[derive(Debug)]
pub struct Postgres {
    // Dropped first: a server shall not outlive its folder.
    server: Process,
    programs: PathBuf,
    data: PathBuf,
    address: SocketAddr,
    settings: Vec<String>,
    folder: Folder,
}

/// A client that is logged in until it is dropped.
#[derive(Debug)]
pub struct Session(#[expect(dead_code, reason = "held open")] TcpStream);

impl Postgres {
    /// Makes a cluster and starts a server with these settings beside the defaults.
    pub async fn start(settings: &[&str]) -> Self {
        let folder = Folder::new();
        let (programs, data, address) = (newest(), folder.sub("data"), free_port());
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]);
        run(initdb.arg(&data));
        fs::write(data.join("pg_hba.conf"), HBA).expect("own folder");
        openssl_certificate(&data.join("server.crt"), &data.join("server.key"));
        let mut settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        settings.push(format!("port={}", address.port()));
        settings.extend(QUIET_PLACE.map(Into::into));
        let server = launch(&programs, &data, &settings, &[], &folder);
        let postgres = Self { server, programs, data, address, settings, folder };
        postgres.ready().await;
        postgres.sql(ROLES);
        postgres
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs statements as the superuser.
    pub fn sql(&self, statements: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-h",
            "127.0.0.1",
            "-p",
            &self.address.port().to_string(),
            "-U",
            "postgres",
        ]);
        // One by one: a database cannot be made within a transaction.
        for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
            psql.args(["-c", statement]);
        }
        run(&psql)
    }

    /// Starts a stopped server.
    pub async fn start_again(&mut self) {
        self.launch(&[]);
        self.ready().await;
    }

    /// Starts a stopped server so that it stays at "the database system is starting up".
    pub async fn start_and_never_finish(&mut self) {
        let _ = fs::remove_file(self.data.join("standby.signal"));
        fs::write(self.data.join("recovery.signal"), "").expect("own folder");
        // The first thing that recovery asks for never comes; `cat` ends with the test, as standard input does.
        self.launch(&["restore_command=cat"]);
        self.server.says("listening on").await;
    }

    /// Starts a stopped server as a standby, which takes queries if it is hot.
    pub async fn start_as_standby(&mut self, hot: bool) {
        fs::write(self.data.join("standby.signal"), "").expect("own folder");
        self.launch(&[if hot { "hot_standby=on" } else { "hot_standby=off" }]);
        self.server.says(if hot { "ready to accept read-only" } else { "consistent recovery state reached" }).await;
    }

    /// Stops the server; clients are cut off.
    pub async fn stop(&self) {
        self.server.signal("INT");
        self.server.ended().await;
    }

    /// Asks the server to end once its clients have gone.
    pub async fn begin_shutdown(&self) {
        self.server.signal("TERM");
        self.server.says("received smart shutdown request").await;
    }

    /// Lets clients and then the server end by themselves, and gives what it has logged in its life.
    pub async fn drain(&self) -> String {
        self.server.signal("TERM");
        self.server.ended().await;
        self.server.log()
    }

    /// Stops the server as it stands: the kernel still accepts connections for it.
    pub fn freeze(&self) {
        self.server.signal("STOP");
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.server.signal("CONT");
    }

    /// Logs a trusted client in, or gives what the server says instead.
    pub async fn log_in(&self, user: &str) -> Result<Session, String> {
        let mut body = vec![0, 3, 0, 0];
        body.extend_from_slice(format!("user\0{user}\0\0").as_bytes());
        let length = u32::try_from(4 + body.len()).expect("a short name");
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        stream.write_all(&[&length.to_be_bytes(), body.as_slice()].concat()).await.expect("the server reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"Z\0\0\0\x05I") {
            if stream.read_buf(&mut answer).await.expect("the server answers") == 0 {
                return Err(String::from_utf8_lossy(&answer).into_owned());
            }
        }
        Ok(Session(stream))
    }

    fn launch(&mut self, more: &[&str]) {
        self.server = launch(&self.programs, &self.data, &self.settings, more, &self.folder);
    }

    async fn ready(&self) {
        self.server.says("database system is ready to accept connections").await;
    }
}

/// Where it is, and nothing of what it logs. It listens at nothing but its port, so that two never meet.
const QUIET_PLACE: [&str; 4] =
    ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "dynamic_shared_memory_type=mmap"];

fn launch(programs: &Path, data: &Path, settings: &[String], more: &[&str], folder: &Folder) -> Process {
    let mut server = Command::new(programs.join("postgres"));
    server.arg("-D").arg(data);
    for setting in settings.iter().map(String::as_str).chain(more.iter().copied()) {
        server.args(["-c", setting]);
    }
    Process::spawn(&server, folder.path().join("postgres.log"))
}

/// Debian keeps the servers of each version apart and off the PATH.
fn newest() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let with_server = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("postgres").exists());
    let number = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    with_server.max_by_key(number).expect("postgres is missing (Debian package postgresql): run tests/tailnet/install")
}
