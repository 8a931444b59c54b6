use std::{
    fs,
    io::Write,
    net::IpAddr,
    process::Command,
    sync::{Arc, Mutex},
};

use telltail_testkit::{
    PATIENCE, Signal, eventually, eventually_some,
    postgres::{Cluster, SUPERUSER},
};

use crate::{
    lab::lock,
    node::Node,
    process::{NodeProcess, Output},
};

const PORT: u16 = 5432;

/// A PostgreSQL server on port 5432 of a node. It runs as the user of PostgreSQL's package, whose name is the superuser's.
#[derive(Debug)]
pub struct Postgres {
    node: Node,
    cluster: Cluster,
    settings: Vec<String>,
    servers: Mutex<Vec<Arc<NodeProcess>>>, // the last one runs
}

impl Postgres {
    pub(crate) async fn start(node: Node, settings: &[(&str, &str)]) -> Self {
        let cluster = Cluster::new(node.folder().join("postgres"));
        let settings = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let postgres = Self { node, cluster, settings, servers: Mutex::default() };
        let mut folder = Command::new("install");
        folder.args(["-d", "-m", "700", "-o", SUPERUSER, "-g", SUPERUSER]).arg(postgres.cluster.data());
        postgres.node.run(&folder).await.expect_success("the data folder");
        postgres.node.run_as(SUPERUSER, &postgres.cluster.initdb()).await.expect_success("initdb");
        // initdb trusts loopback alone, where the clients of a userspace node come from.
        let rules = postgres.cluster.data().join("pg_hba.conf");
        let more = fs::OpenOptions::new().append(true).open(rules);
        more.and_then(|mut more| {
            more.write_all(b"host all all 100.64.0.0/10 trust\nhost all all fd7a:115c:a1e0::/48 trust\n")
        })
        .expect("own folder");
        postgres.start_again().await;
        postgres
    }

    /// Starts a stopped server and waits until it accepts connections.
    pub async fn start_again(&self) {
        self.launch(&[]).await;
        eventually("PostgreSQL accepts connections", PATIENCE, async || {
            self.node.run_as(SUPERUSER, &self.cluster.pg_isready(PORT)).await.code == 0
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
        self.cluster.begin_recovery();
        self.launch(&["restore_command=sleep 86400"]).await;
        self.until_refused("the database system is starting up").await;
    }

    /// Asks the server to end once its clients have gone, with one client that never goes: it stays at
    /// "the database system is shutting down".
    pub async fn shut_down_and_never_finish(&self) -> NodeProcess {
        let client = self.client().await;
        self.server().signal(Signal::Term).await; // "smart": clients may stay
        self.until_refused("the database system is shutting down").await;
        client
    }

    /// Takes every connection that `max_connections` allows, until the result is dropped.
    pub async fn fill(&self) -> Vec<NodeProcess> {
        let max = self.psql("show max_connections").await.stdout.trim().parse().expect("a number");
        let mut clients = Vec::new();
        for _ in 0..max {
            clients.push(self.client().await);
        }
        self.until_refused("too many clients already").await;
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
        self.node.run_as(SUPERUSER, &self.psql_command(sql)).await
    }

    /// What the server has logged since it was first started.
    pub fn log(&self) -> String {
        lock(&self.servers).iter().map(|server| server.log()).collect()
    }

    /// The server's process.
    pub fn server(&self) -> Arc<NodeProcess> {
        lock(&self.servers).last().cloned().expect("started")
    }

    async fn until_refused(&self, refusal: &str) {
        let refused = async || self.psql("select 1").await.stderr.contains(refusal);
        eventually(&format!("PostgreSQL says: {refusal}"), PATIENCE, refused).await;
    }

    /// A client that does nothing: the server notices at once when it is killed, as it would not during a query.
    async fn client(&self) -> NodeProcess {
        let idle = self.psql_command("\\! echo connected; sleep 86400");
        eventually_some("PostgreSQL takes one more client", PATIENCE, async || {
            let client = self.node.spawn_as(SUPERUSER, &idle).await;
            // One that left a moment ago may still have a place, and this one none.
            let settled = async || client.log().contains("connected") || client.exited().await.is_some();
            eventually("a client connects or ends", PATIENCE, settled).await;
            client.exited().await.is_none().then_some(client)
        })
        .await
    }

    fn psql_command(&self, sql: &str) -> Command {
        self.cluster.psql(PORT, &[sql])
    }

    async fn launch(&self, more: &[&str]) {
        let places = [
            format!("listen_addresses={}", joined(&self.node.service_addresses(), ",")),
            format!("unix_socket_directories={}", self.cluster.data().display()),
        ];
        let settings = places.iter().chain(&self.settings).map(String::as_str);
        let server = self.cluster.server(settings.chain(more.iter().copied()));
        let process = self.node.spawn_as(SUPERUSER, &server).await;
        lock(&self.servers).push(Arc::new(process));
    }
}

fn joined(addresses: &[IpAddr], by: &str) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(by)
}
