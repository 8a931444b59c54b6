//! The pod's resolver as `/etc/resolv.conf` configures it and workers use it: name servers in their order, and the search
//! list. Not `getaddrinfo`: the image has no NSS, and a C library does not report which server answered.

use super::dns::{is_answered, is_conclusive, look_up};
use crate::regular_file;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

/// The configuration in `/etc/resolv.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    servers: Vec<NameServer>,
    search: Vec<String>,
    ndots: usize,
    port: u16,
}

/// A name server; a link-local address has a zone, the interface that it is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NameServer {
    address: IpAddr,
    zone: Option<String>,
}

/// The result of looking a name up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupResult {
    /// The name that was found, with its search domain, or the last that was not.
    pub name: String,
    /// Its addresses, or the cause of the failure.
    pub addresses: Result<Vec<IpAddr>, String>,
}

/// glibc uses at most three servers and, since 2.26, any number of search domains; Kubernetes allows 32.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 32;
/// `ndots` without an option; Kubernetes sets 5.
const NDOTS: usize = 1;
const PORT: u16 = 53;
/// Far above any real file: 32 search domains are at most 8 KiB.
const READ_LIMIT: u64 = 64 * 1024;
/// Not reached: a parsed configuration has a server.
const NO_SERVER: &str = "no name server is named";
/// sysfs has a folder for each interface of the pod.
const INTERFACES: &str = "/sys/class/net";

impl Resolver {
    /// Parses a resolv.conf. Unknown lines and servers that are no address are skipped. If none is left, this machine is the
    /// server: both as in the C library (resolv.conf(5)).
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self { servers: Vec::new(), search: Vec::new(), ndots: NDOTS, port: PORT };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver.servers.extend(words.next().and_then(NameServer::parse)),
                // The last line counts.
                Some("search" | "domain") => {
                    resolver.search = words.take(MAX_SEARCH).map(|word| word.trim_matches('.').to_owned()).collect();
                }
                Some("options") => {
                    let ndots = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    resolver.ndots = ndots.unwrap_or(resolver.ndots);
                }
                _ => {}
            }
        }
        resolver.servers.truncate(MAX_SERVERS);
        if resolver.servers.is_empty() {
            resolver.servers.push(NameServer { address: Ipv4Addr::LOCALHOST.into(), zone: None });
        }
        resolver
    }

    /// Reads the file. One that is missing or cannot be read is empty for the C library.
    pub fn read(path: &Path) -> Self {
        Self::parse(&String::from_utf8_lossy(&regular_file::read(path, READ_LIMIT).unwrap_or_default()))
    }

    /// The same with another port, for tests.
    #[must_use]
    pub fn at_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The addresses of its name servers.
    pub fn servers(&self) -> Vec<IpAddr> {
        self.servers.iter().map(|server| server.address).collect()
    }

    /// Looks a name up as a worker's C library does. The deadline for all of it is the caller's.
    pub async fn look_up(&self, name: &str, v6: bool) -> LookupResult {
        let mut result = LookupResult { name: name.to_owned(), addresses: Err(NO_SERVER.to_owned()) };
        for name in self.candidates(name) {
            let addresses = self.query_servers(&name, v6).await;
            // Where no server answers, none is asked for the next domain.
            let done = addresses.as_ref().map_or_else(|cause| !is_answered(cause), |_| true);
            result = LookupResult { name, addresses };
            if done {
                break;
            }
        }
        result
    }

    /// A name with fewer than `ndots` dots is tried with each search domain before it is tried alone.
    fn candidates(&self, name: &str) -> Vec<String> {
        let with_domain =
            self.search.iter().filter(|domain| !domain.is_empty()).map(|domain| format!("{name}.{domain}"));
        let own = name.to_owned();
        if name.matches('.').count() >= self.ndots {
            return std::iter::once(own).chain(with_domain).collect();
        }
        with_domain.chain([own]).collect()
    }

    /// Goes on to the next server unless one knows the name or that there is none, as C libraries do.
    async fn query_servers(&self, name: &str, v6: bool) -> Result<Vec<IpAddr>, String> {
        let mut last = Err(NO_SERVER.to_owned());
        for server in &self.servers {
            let answer = match server.socket_address(self.port) {
                Some(server) => look_up(server, name, v6).await,
                None => Err("no interface for a link-local address".to_owned()),
            };
            let done = answer.as_ref().map_or_else(|cause| is_conclusive(cause), |_| true);
            last = answer.map_err(|cause| format!("{cause}, asked {server}"));
            if done {
                break;
            }
        }
        last
    }
}

impl NameServer {
    fn parse(text: &str) -> Option<Self> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone.to_owned())),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        (zone.is_none() || address.is_ipv6()).then_some(Self { address, zone })
    }

    /// None for a link-local address without an interface: the C library cannot connect to it.
    fn socket_address(&self, port: u16) -> Option<SocketAddr> {
        let IpAddr::V6(address) = self.address else { return Some(SocketAddr::new(self.address, port)) };
        let zone = self.zone.as_deref().map_or(0, zone_index);
        let is_reachable = zone != 0 || !address.is_unicast_link_local();
        is_reachable.then(|| SocketAddrV6::new(address, port, 0, zone).into())
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// The number of an interface, by its number or name; 0 if there is none.
fn zone_index(zone: &str) -> u32 {
    let number = |text: &str| text.trim().parse().ok();
    let by_name = |name| number(&std::fs::read_to_string(Path::new(INTERFACES).join(name).join("ifindex")).ok()?);
    // No name of an interface has a slash, but this one comes from a file.
    number(zone).or_else(|| Some(zone).filter(|zone| !zone.contains('/')).and_then(by_name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UdpSocket;

    const POD: &str =
        "search prd.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\n# no\noptions ndots:5 edns0\n";

    #[test]
    fn the_search_list_is_tried_first_for_a_name_with_few_dots() {
        let pod = Resolver::parse(POD);
        assert_eq!(pod.servers(), ["10.96.0.10".parse::<IpAddr>().expect("an address")]);
        assert_eq!(pod.candidates("db"), ["db.prd.svc.cluster.local", "db.svc.cluster.local", "db"]);
        assert_eq!(pod.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f");
        let host = Resolver::parse("nameserver 192.0.2.1\nnameserver nonsense\nsearch lan.\n");
        assert_eq!(host.candidates("db.lab.ts.net"), ["db.lab.ts.net", "db.lab.ts.net.lan"]);
        assert_eq!(host.servers().len(), 1);
    }

    #[test]
    fn without_a_file_or_a_usable_server_this_machine_is_asked() {
        let local = ["127.0.0.1".parse::<IpAddr>().expect("an address")];
        assert_eq!(Resolver::read(Path::new("/nonexistent/resolv.conf")).servers(), local);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fifo = folder.path().join("resolv.conf");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("coreutils").success());
        assert_eq!(Resolver::read(&fifo).servers(), local);
        for text in ["", "\u{0}\nnameserver\noptions ndots:x", "nameserver dns.example.com", "nameserver 10.0.0.1%eth0"]
        {
            assert_eq!(Resolver::parse(text).servers(), local, "{text:?}");
        }
    }

    #[test]
    fn a_server_may_have_a_zone() {
        let resolver = Resolver::parse("nameserver fe80::1%eth0\nnameserver fe80::2%7\nnameserver ::1%lo\n");
        let shown: Vec<_> = resolver.servers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["fe80::1%eth0", "fe80::2%7", "::1%lo"]);
        let addresses: Vec<_> = resolver.servers.iter().map(|server| server.socket_address(53)).collect();
        assert_eq!(addresses[1], Some("[fe80::2%7]:53".parse().expect("an address")));
        assert_eq!(addresses[2], Some("[::1%1]:53".parse().expect("an address")), "lo is always the first");
        for zone in ["no-such-interface", "", "../../../proc/self", "-1"] {
            assert_eq!(zone_index(zone), 0, "{zone}");
        }
    }

    /// A socket of the family, and its port.
    async fn socket(address: &str) -> (UdpSocket, u16) {
        let socket = UdpSocket::bind(address).await.expect("a port");
        let port = socket.local_addr().expect("bound").port();
        (socket, port)
    }

    /// Answers the next query: no such name, or the name is at 100.64.0.2.
    async fn answer(socket: &UdpSocket, found: bool) {
        let mut query = [0; 512];
        let (length, from) = socket.recv_from(&mut query).await.expect("a query");
        let name = query[12..length].iter().position(|byte| *byte == 0).expect("a question");
        let mut answer = query[..12 + name + 5].to_vec();
        let code = if found { 0x80 } else { 0x83 };
        answer[2..12].copy_from_slice(&[0x81, code, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
        if found {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 100, 64, 0, 2]);
        }
        socket.send_to(&answer, from).await.expect("a client");
    }

    #[tokio::test]
    async fn a_server_with_a_zone_is_asked() {
        let (socket, port) = socket("[::1]:0").await;
        let resolver = Resolver::parse("nameserver ::1%lo\nsearch prd\n").at_port(port);
        let server = async {
            answer(&socket, false).await;
            answer(&socket, true).await;
        };
        let (found, ()) = tokio::join!(resolver.look_up("db", false), server);
        assert_eq!(found, LookupResult { name: "db".to_owned(), addresses: Ok(vec!["100.64.0.2".parse().unwrap()]) });
    }

    #[tokio::test]
    async fn servers_that_do_not_answer_are_asked_once_and_named() {
        let (_silent, port) = socket("127.0.0.1:0").await;
        let resolver = Resolver::parse("nameserver nonsense\nsearch a b c d e\n").at_port(port);
        let LookupResult { name, addresses } = resolver.look_up("db", false).await;
        assert_eq!((name.as_str(), addresses), ("db.a", Err("no answer within 1 s, asked 127.0.0.1".to_owned())));
        // An address that cannot be sent to does not hide the next server.
        let (socket, port) = socket("127.0.0.1:0").await;
        let resolver = Resolver::parse("nameserver fe80::1%no-such\nnameserver 127.0.0.1\n").at_port(port);
        let (found, ()) = tokio::join!(resolver.look_up("db", false), answer(&socket, true));
        assert!(found.addresses.is_ok(), "{found:?}");
    }
}
