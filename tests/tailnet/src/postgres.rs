use std::{
    fs,
    io::Write,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    eventually, eventually_some,
    lab::lock,
    node::Node,
    process::{Output, Process, Signal},
};

const START: Duration = Duration::from_secs(30);
/// PostgreSQL refuses to run as root; its package makes this user.
const POSTGRES_USER: &str = "postgres";

/// A PostgreSQL server on port 5432 of a node.
#[derive(Debug)]
pub struct Postgres {
    node: Node,
    programs: PathBuf,
    data: PathBuf,
    settings: Vec<String>,
    servers: Mutex<Vec<Arc<Process>>>, // the last one runs
}

impl Postgres {
    pub(crate) async fn start(node: Node, settings: &[(&str, &str)]) -> Self {
        let data = node.folder().join("postgres");
        let postgres = Self {
            node,
            programs: newest_postgres(),
            data,
            settings: settings.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            servers: Mutex::default(),
        };
        let mut folder = Command::new("install");
        folder.args(["-d", "-m", "700", "-o", POSTGRES_USER, "-g", POSTGRES_USER]).arg(&postgres.data);
        postgres.node.run(&folder).await.expect_success("the data folder");
        let mut initdb = postgres.command("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "-D"]).arg(&postgres.data);
        postgres.node.run_as(POSTGRES_USER, &initdb).await.expect_success("initdb");
        // initdb trusts loopback alone, where the clients of a userspace node come from.
        let rules = postgres.data.join("pg_hba.conf");
        let more = fs::OpenOptions::new().append(true).open(rules);
        more.and_then(|mut more| more.write_all(b"host all all 100.64.0.0/10 trust\n")).expect("own folder");
        postgres.start_again().await;
        postgres
    }

    /// Starts a stopped server and waits until it accepts connections.
    pub async fn start_again(&self) {
        self.launch(&[]).await;
        eventually("PostgreSQL accepts connections", START, async || {
            let mut ready = self.command("pg_isready");
            ready.args(["-h", "127.0.0.1", "-U", POSTGRES_USER]);
            self.node.run_as(POSTGRES_USER, &ready).await.code == 0
        })
        .await;
    }

    /// Stops the server; its port then refuses connections.
    pub async fn stop(&self) {
        let server = self.server();
        server.signal(Signal::Int).await; // "fast": clients are cut off
        server.wait().await;
    }

    /// Stops the server and starts it so that it stays at "the database system is starting up".
    pub async fn restart_and_never_finish(&self) {
        self.stop().await;
        // The first thing that archive recovery asks for never comes.
        fs::write(self.data.join("recovery.signal"), "").expect("own folder");
        self.launch(&["restore_command=sleep 86400"]).await;
        self.says("the database system is starting up").await;
    }

    /// Asks the server to end once its clients have gone, with one client that never goes: it stays at
    /// "the database system is shutting down".
    pub async fn shut_down_and_never_finish(&self) -> Process {
        let client = self.client().await;
        self.server().signal(Signal::Term).await; // "smart": clients may stay
        self.says("the database system is shutting down").await;
        client
    }

    /// Takes every connection that `max_connections` allows, until the result is dropped.
    pub async fn fill(&self) -> Vec<Process> {
        let max = self.psql("show max_connections").await.stdout.trim().parse().expect("a number");
        let mut clients = Vec::new();
        for _ in 0..max {
            clients.push(self.client().await);
        }
        self.says("too many clients already").await;
        clients
    }

    /// Stops the server as it stands: the kernel still accepts connections for it.
    pub async fn freeze(&self) {
        self.server().freeze().await;
    }

    /// Lets a frozen server go on.
    pub async fn thaw(&self) {
        self.server().thaw().await;
    }

    /// Runs one statement as the superuser.
    pub async fn psql(&self, sql: &str) -> Output {
        self.node.run_as(POSTGRES_USER, &self.psql_command(sql)).await
    }

    /// What the server has logged since it was first started.
    pub fn log(&self) -> String {
        lock(&self.servers).iter().map(|server| server.log()).collect()
    }

    /// The server's process.
    pub fn server(&self) -> Arc<Process> {
        lock(&self.servers).last().cloned().expect("started")
    }

    async fn says(&self, refusal: &str) {
        let refused = async || self.psql("select 1").await.stderr.contains(refusal);
        eventually(&format!("PostgreSQL says: {refusal}"), START, refused).await;
    }

    /// A client that does nothing: the server notices at once when it is killed, as it would not during a query.
    async fn client(&self) -> Process {
        let idle = self.psql_command("\\! echo connected; sleep 86400");
        eventually_some("PostgreSQL takes one more client", START, async || {
            let client = self.node.spawn_as(POSTGRES_USER, &idle).await;
            // One that left a moment ago may still have a place, and this one none.
            let settled = async || client.log().contains("connected") || client.exited().await.is_some();
            eventually("a client connects or ends", START, settled).await;
            client.exited().await.is_none().then_some(client)
        })
        .await
    }

    fn psql_command(&self, sql: &str) -> Command {
        let mut psql = self.command("psql");
        psql.args(["-X", "-A", "-t", "-h", "127.0.0.1", "-U", POSTGRES_USER, "-c", sql]);
        psql
    }

    async fn launch(&self, more: &[&str]) {
        let mut server = self.command("postgres");
        server.arg("-D").arg(&self.data);
        server.arg("-c").arg(format!("listen_addresses={}", joined(&self.node.service_addresses(), ",")));
        server.arg("-c").arg(format!("unix_socket_directories={}", self.data.display()));
        server.args(["-c", "fsync=off"]);
        for setting in self.settings.iter().map(String::as_str).chain(more.iter().copied()) {
            server.args(["-c", setting]);
        }
        let process = self.node.spawn_as(POSTGRES_USER, &server).await;
        lock(&self.servers).push(Arc::new(process));
    }

    fn command(&self, program: &str) -> Command {
        Command::new(self.programs.join(program))
    }
}

/// Debian keeps the servers of each version apart and off the PATH.
fn newest_postgres() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let with_server = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("postgres").exists());
    let number =
        |bin: &PathBuf| bin.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse::<u32>().ok());
    with_server.max_by_key(number).expect("PostgreSQL is missing; run tests/tailnet/install")
}

fn joined(addresses: &[Ipv4Addr], by: &str) -> String {
    addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(by)
}
