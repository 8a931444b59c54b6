use std::fs;
use std::net::SocketAddr;

use telltail_testkit::postgres::Cluster;
use telltail_testkit::{Process, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::folder::Folder;
use crate::port::free_port;
use crate::unprivileged::{openssl_certificate, run, spawn};

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
    cluster: Cluster,
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
        let (cluster, address) = (Cluster::new(folder.sub("data")), free_port());
        let data = cluster.data();
        run(&cluster.initdb());
        fs::write(data.join("pg_hba.conf"), HBA).expect("own folder");
        openssl_certificate(&data.join("server.crt"), &data.join("server.key"));
        let mut settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        settings.push(format!("port={}", address.port()));
        settings.extend(ISOLATED.map(Into::into));
        let server = launch(&cluster, &settings, &[], &folder);
        let postgres = Self { server, cluster, address, settings, folder };
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
        let statements: Vec<_> = statements.split(';').filter(|statement| !statement.trim().is_empty()).collect();
        run(&self.cluster.psql(self.address.port(), &statements))
    }

    /// Starts a stopped server.
    pub async fn start_again(&mut self) {
        self.launch(&[]);
        self.ready().await;
    }

    /// Starts a stopped server so that it stays at "the database system is starting up".
    pub async fn start_and_never_finish(&mut self) {
        let _ = fs::remove_file(self.cluster.data().join("standby.signal"));
        self.cluster.begin_recovery();
        // The first thing that recovery asks for never comes; `cat` ends with the test, as standard input does.
        self.launch(&["restore_command=cat"]);
        self.server.until_logged("listening on").await;
    }

    /// Starts a stopped server as a standby, which takes queries if it is hot.
    pub async fn start_as_standby(&mut self, hot: bool) {
        fs::write(self.cluster.data().join("standby.signal"), "").expect("own folder");
        self.launch(&[if hot { "hot_standby=on" } else { "hot_standby=off" }]);
        self.server
            .until_logged(if hot { "ready to accept read-only" } else { "consistent recovery state reached" })
            .await;
    }

    /// Stops the server; clients are cut off.
    pub async fn stop(&self) {
        self.server.signal(Signal::Int);
        self.server.wait().await;
    }

    /// Asks the server to end once its clients have gone.
    pub async fn begin_shutdown(&self) {
        self.server.signal(Signal::Term);
        self.server.until_logged("received smart shutdown request").await;
    }

    /// Lets clients and then the server end by themselves, and gives what it has logged in its life.
    pub async fn drain(&self) -> String {
        self.server.signal(Signal::Term);
        self.server.wait().await;
        self.server.log()
    }

    /// Stops the server as it stands: the kernel still accepts connections for it.
    pub fn freeze(&self) {
        self.server.signal(Signal::Stop);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.server.signal(Signal::Cont);
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
        self.server = launch(&self.cluster, &self.settings, more, &self.folder);
    }

    async fn ready(&self) {
        self.server.until_logged("database system is ready to accept connections").await;
    }
}

/// Where it listens, and nothing of what it logs. It listens at nothing but its port, so that two never meet.
const ISOLATED: [&str; 3] =
    ["listen_addresses=127.0.0.1", "unix_socket_directories=", "dynamic_shared_memory_type=mmap"];

fn launch(cluster: &Cluster, settings: &[String], more: &[&str], folder: &Folder) -> Process {
    let settings = settings.iter().map(String::as_str).chain(more.iter().copied());
    spawn(&cluster.server(settings), folder.path().join("postgres.log"))
}
