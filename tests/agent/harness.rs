//! An agent in this process, on a simulated tailnet with a fake Postgres, Valkey, name server and SOCKS5 proxy.

use crate::log::Log;
use crate::support::get;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tailscaled_sim::services::{Dns, Postgres, Server, Socks5, Valkey};
use tailscaled_sim::{Mode, Peer, Tailscaled};
use telltail::agent::{self, AgentError, RuntimeEnv, Signal};
use telltail::command_hint::PodContext;
use telltail::config::{Environment, Source};
use telltail::doctor::{self, DoctorReport};
use telltail::probe::dns::MagicDns;
use telltail::probe::resolver::Resolver;
use telltail_testkit::MetricsPage;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long something may take that has to happen. The machine may be busy, and a target that is down is asked every 30 s.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two requests for a page that a test waits for.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// What is around an agent.
pub struct Harness {
    pub tailscaled: Tailscaled,
    pub db: Server<Postgres>,
    pub cache: Server<Valkey>,
    pub dns: Dns,
    pub proxy: Socks5,
    setup: Setup,
}

/// How the targets are reached, and how far they are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Userspace mode, dialled through the LocalAPI.
    Userspace,
    /// The same, and Postgres is asked for a login.
    WithUser,
    /// The same, and nothing is spoken.
    Shallow,
    /// Userspace mode, through the SOCKS5 proxy.
    Proxy,
    /// TUN mode: the kernel dials.
    Tun,
}

/// Name and port of the peers in userspace mode; in TUN mode the port is the server's own.
const DB: (&str, u16) = ("db", 5432);
const CACHE: (&str, u16) = ("cache", 6379);
const SUFFIX: &str = "tail1234.ts.net";

impl Harness {
    /// A tailnet in which all is well.
    pub fn new(setup: Setup) -> Self {
        Self::around(setup, Tailscaled::start())
    }

    /// The same around a tailscaled that is there already, or not yet.
    pub fn around(setup: Setup, tailscaled: Tailscaled) -> Self {
        // In TUN mode the kernel dials the peers' addresses, so these are loopback's.
        let ips = if setup == Setup::Tun { ["127.0.0.11", "127.0.0.12"] } else { ["100.64.0.2", "100.64.0.3"] };
        let at = |ip: &str| match setup {
            Setup::Tun => SocketAddr::new(ip.parse().unwrap(), 0),
            Setup::Userspace | Setup::WithUser | Setup::Shallow | Setup::Proxy => {
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
            }
        };
        let harness = Self {
            db: Server::start_on(Postgres::asking_for_password(), at(ips[0])),
            cache: Server::start_on(Valkey::healthy(), at(ips[1])),
            dns: Dns::start(),
            proxy: Socks5::start(),
            tailscaled,
            setup,
        };
        for ((name, port), ip, server) in [(DB, ips[0], harness.db.addr()), (CACHE, ips[1], harness.cache.addr())] {
            harness.tailscaled.add_peer(Peer::new(name).ip(ip));
            harness.tailscaled.forward(name, port, server);
            harness.proxy.route(name, port, server);
            harness.dns.set(&format!("{name}.{SUFFIX}"), &[ip.parse().unwrap()]);
        }
        if setup == Setup::Tun {
            harness.tailscaled.set_mode(Mode::Tun);
        }
        harness
    }

    /// The targets `db`, required, and `cache`, with these parameters.
    pub fn targets(&self, db: &str, cache: &str) -> String {
        let (user, depth) = match self.setup {
            Setup::WithUser => ("telltail@", "&depth=protocol"),
            Setup::Shallow => ("", "&depth=tcp"),
            Setup::Userspace | Setup::Proxy | Setup::Tun => ("", ""),
        };
        let via = match self.setup {
            Setup::Proxy => format!("&via=socks5://{}", self.proxy.addr()),
            Setup::Userspace | Setup::WithUser | Setup::Shallow | Setup::Tun => String::new(),
        };
        let port = |(_, port), server: SocketAddr| if self.setup == Setup::Tun { server.port() } else { port };
        format!(
            "postgres://{user}db:{}?name=db{depth}{via}{db} valkey://cache:{}?name=cache{depth}{via}{cache}",
            port(DB, self.db.addr()),
            port(CACHE, self.cache.addr()),
        )
    }

    /// An agent with these settings beside the usual ones, which they override.
    pub async fn agent(&self, settings: &[(&str, &str)]) -> Agent {
        self.agent_with(settings, None).await
    }

    /// An agent that also reads a file. Who names targets, here or there, names them all.
    pub async fn agent_with(&self, settings: &[(&str, &str)], file: Option<&Path>) -> Agent {
        Agent::start(self.environment(settings, file), file, self.dns.addr()).await
    }

    fn environment(&self, settings: &[(&str, &str)], file: Option<&Path>) -> Environment {
        let targets = self.targets("", "");
        let usual = [
            ("TELLTAIL_TARGETS", if file.is_some() { "" } else { &targets }),
            ("TELLTAIL_INTERVAL", "1600ms"),
            ("TELLTAIL_TIMEOUT", "790ms"),
            ("TELLTAIL_DRAIN", "0s"),
            ("TELLTAIL_SOCKET", self.tailscaled.socket().to_str().unwrap()),
        ];
        let usual = usual.into_iter().filter(|(name, _)| !settings.iter().any(|(other, _)| name == other));
        usual.chain(settings.iter().copied()).collect()
    }

    /// What the doctor finds here and now, as the agent with these settings is configured.
    pub async fn doctor(&self, settings: &[(&str, &str)], resolver: Option<Resolver>) -> DoctorReport {
        let environment = self.environment(settings, None);
        let config = Source::new(environment, None).load().expect("a configuration that holds").config;
        let pod = PodContext { socket: config.socket.clone(), ..PodContext::default() };
        let (uid, socket_owner) = (65532, Some(65533));
        let place = doctor::DoctorEnv { magic_dns: MagicDns::at(self.dns.addr()), resolver, uid, socket_owner, pod };
        doctor::examine(&config, &place, None).await
    }

    /// How often tailscaled was asked for this, say `status`.
    pub fn calls(&self, call: &str) -> usize {
        self.tailscaled.requests().iter().filter(|request| request.path.ends_with(call)).count()
    }

    /// Nothing was asked of tailscaled but what it is there for.
    pub fn nothing_unexpected(&self) {
        assert_eq!(self.tailscaled.unexpected_requests(), Vec::<String>::new());
        for request in self.tailscaled.requests() {
            let (method, path) = (request.method.as_str(), request.path.trim_start_matches("/localapi/v0/"));
            let reads = matches!((method, path), ("GET", "status" | "derpmap" | "watch-ipn-bus" | "prefs"));
            assert!(reads || matches!((method, path), ("POST", "dial" | "ping")), "{request:?}");
        }
    }
}

/// A running agent.
pub struct Agent {
    pub address: SocketAddr,
    pub log: Log,
    pub signals: mpsc::Sender<Signal>,
    running: JoinSet<Result<(), AgentError>>,
}

impl Agent {
    async fn start(environment: Environment, file: Option<&Path>, magic_dns: SocketAddr) -> Self {
        let log = Log::keep();
        let mut source = Source::new(environment, file.map(Path::to_owned));
        let config = source.load().expect("a configuration that holds").config;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (signals, receiver) = mpsc::channel(8);
        let magic_dns = MagicDns::at(magic_dns);
        let place =
            RuntimeEnv { pod_uid: "a-pod".to_owned(), pod_name: None, magic_dns, dropped_lines: Default::default() };
        let mut running = JoinSet::new();
        running.spawn(agent::run(config, source, place, listener, receiver));
        Self { address, log, signals, running }
    }

    /// Status and body of a page.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = timeout(PATIENCE, get(self.address, path)).await;
        answer.ok().flatten().unwrap_or_else(|| panic!("no answer to {path}"))
    }

    /// The metrics as they are now.
    pub async fn metrics(&self) -> MetricsPage {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        assert!(!text.contains("login.tailscale.com"), "the AuthURL is a secret");
        let mut comments = text.lines().filter(|line| line.starts_with('#'));
        assert!(comments.all(|line| line.starts_with("# HELP ") || line.starts_with("# TYPE ")), "{text}");
        MetricsPage::parse(text)
    }

    /// Waits until the metrics are as wanted.
    pub async fn until(&self, what: &str, mut wanted: impl FnMut(&MetricsPage) -> bool) -> MetricsPage {
        let begun = Instant::now();
        loop {
            let page = self.metrics().await;
            if wanted(&page) {
                return page;
            }
            if begun.elapsed() > PATIENCE {
                panic!("not in time: {what}\n{}\n{:#?}", self.get("/healthz?verbose").await.1, self.log.lines());
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until `/healthz` answers 200.
    pub async fn ready(&self) -> MetricsPage {
        self.until("ready", |page| page.is("telltail_ready", &[])).await
    }

    /// Waits for so many more probes of a target than there are now.
    pub async fn probes(&self, target: &str, more: u32) -> MetricsPage {
        let probes = |page: &MetricsPage| page.sum("telltail_probes_total", &[("target", target)]);
        let wanted = probes(&self.metrics().await) + f64::from(more);
        self.until("more probes", |page| probes(page) >= wanted).await
    }

    /// Signals the end and waits for it.
    pub async fn stop(mut self) -> Log {
        self.signals.send(Signal::Shutdown).await.expect("an agent");
        self.ended().await;
        self.log
    }

    /// Waits for the end, which has to be a good one.
    pub async fn ended(&mut self) {
        let ended = timeout(PATIENCE, self.running.join_next()).await.expect("an end");
        ended.expect("it was started").expect("no panic").expect("an end in order");
    }
}
