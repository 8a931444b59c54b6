use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::join_all;
use tailscaled_sim::{Peer, Tailscaled};
use telltail::agent::MAGIC_DNS;
use telltail::config::{self, Environment, Target};
use telltail::probe::peer_filter::PeerFilter;
use telltail::probe::resolve::resolve;
use telltail::probe::{self, ProbeContext, ProbeMemory};
use telltail::probe_result::ProbeResult;
use telltail::tailscale::LocalApi;

/// Port of the tailnet's peer behind which the server is.
const PORT: u16 = 7;

/// telltail's probes beside a simulated tailscaled, in whose tailnet there is one server.
#[derive(Debug)]
pub struct Telltail {
    tailscaled: Tailscaled,
    server: SocketAddr,
}

/// How a probe connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialVia {
    /// tailscaled dials, as in userspace mode.
    LocalApi,
    /// telltail itself dials, as in TUN mode.
    Tcp,
}

/// One target, probed again and again as the prober does.
pub struct Probing {
    target: Target,
    memory: ProbeMemory,
    local: LocalApi,
}

impl Telltail {
    /// Puts telltail into a tailnet with this server.
    pub fn beside(server: SocketAddr) -> Self {
        let tailscaled = Tailscaled::start();
        tailscaled.add_peer(Peer::new("far").ip("100.64.0.2"));
        tailscaled.forward("far", PORT, server);
        tailscaled.add_peer(Peer::new("near").ip(&server.ip().to_string()));
        Self { tailscaled, server }
    }

    /// A target by its URL, in which `HERE` is the server.
    pub fn probing(&self, url: &str, way: DialVia) -> Probing {
        let (place, via) = match way {
            DialVia::LocalApi => (format!("far:{PORT}"), "localapi"),
            DialVia::Tcp => (format!("near:{}", self.server.port()), "tcp"),
        };
        let more = if url.contains('?') { "&" } else { "?" };
        let url = format!("{}{more}timeout=2s&via={via}", url.replace("HERE", &place));
        let environment = Environment::from_iter([("TELLTAIL_TARGETS", url.as_str())]);
        let loaded = config::load(&environment, None).unwrap_or_else(|problems| panic!("{url}: {problems}"));
        let target = Target::clone(&loaded.config.targets[0]);
        let local = LocalApi::new(Some(self.tailscaled.socket().to_owned()), Arc::new(|_, _| {}));
        Probing { target, memory: ProbeMemory::default(), local }
    }

    /// Probes each URL once by each way, all at once, and compares with the expected verdicts (see [`verdict`]).
    pub async fn sees(&self, when: &str, rows: &[(&str, &str)]) {
        let probes = both_ways(rows).map(async |(url, expected, way)| {
            let probe = self.probing(url, way).probe().await;
            let seen = verdict(&probe);
            let cause = probe.outcome.err().map(|failure| failure.cause).unwrap_or_default();
            (seen != expected).then(|| format!("{url} {way:?}: {seen}, not {expected}; {cause}"))
        });
        let wrong: Vec<_> = join_all(probes).await.into_iter().flatten().collect();
        assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
    }

    /// Probes each URL `count` times in a row by each way; every verdict must be as expected.
    pub async fn keeps_seeing(&self, count: u32, rows: &[(&str, &str)]) {
        join_all(both_ways(rows).map(async |(url, expected, way)| {
            let mut probing = self.probing(url, way);
            for number in 0..count {
                let probe = probing.probe().await;
                assert_eq!(verdict(&probe), expected, "{url} {way:?}, probe {number}: {:?}", probe.outcome);
            }
        }))
        .await;
    }
}

impl Probing {
    /// Status, then one probe.
    pub async fn probe(&mut self) -> ProbeResult {
        let filter = PeerFilter::of([&self.target]);
        let status = self
            .local
            .status(true, &|status, peer| filter.matches(status, peer))
            .await
            .expect("the simulation answers");
        let resolution = resolve(&status, &self.target.host);
        let context = ProbeContext {
            mode: status.mode,
            dialer: self.local.dialer(),
            dns: &MAGIC_DNS,
            decides: true,
            keeps_connections: true,
        };
        probe::run(&self.target, &resolution, &mut self.memory, context).await
    }
}

fn both_ways<'a>(rows: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a str, DialVia)> {
    rows.iter().flat_map(|(url, expected)| [(*url, *expected, DialVia::LocalApi), (*url, *expected, DialVia::Tcp)])
}

/// What a table writes for a probe: the slug of the detail, or slug and scope of the reason.
pub fn verdict(probe: &ProbeResult) -> String {
    match &probe.outcome {
        Ok(detail) => detail.slug().to_owned(),
        Err(failure) => format!("{} {}", failure.reason.slug(), failure.reason.scope().slug()),
    }
}

/// An address of this machine that is not loopback, for servers which treat the two differently.
pub(crate) fn own_address() -> IpAddr {
    // Connecting a UDP socket sends nothing; it only asks the routing table (TEST-NET-1).
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).expect("this test needs a route to somewhere");
    socket.local_addr().expect("connected").ip()
}
