//! The pod's resolver as `/etc/resolv.conf` configures it and workers use it: name servers in their order, and the search
//! list. Not `getaddrinfo`: the image has no NSS, and a C library does not report which server answered.

use super::dns::look_up;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// The configuration in `/etc/resolv.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
    port: u16,
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

impl Resolver {
    /// Parses a resolv.conf. Unknown lines are skipped, as in the C library.
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self { servers: Vec::new(), search: Vec::new(), ndots: NDOTS, port: PORT };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    resolver.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
                }
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
        resolver
    }

    /// Reads the file; none if it cannot be read or has no server.
    pub fn read(path: &Path) -> Option<Self> {
        Some(Self::parse(&std::fs::read_to_string(path).ok()?)).filter(|resolver| !resolver.servers.is_empty())
    }

    /// The same with another port, for tests.
    #[must_use]
    pub fn at_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Its name servers.
    pub fn servers(&self) -> &[IpAddr] {
        &self.servers
    }

    /// Looks a name up as a worker's C library does. The deadline for all of it is the caller's.
    pub async fn look_up(&self, name: &str, v6: bool) -> LookupResult {
        let mut result = LookupResult { name: name.to_owned(), addresses: Err("no name server is named".to_owned()) };
        for name in self.candidates(name) {
            let addresses = self.query_servers(&name, v6).await;
            let found = addresses.is_ok();
            result = LookupResult { name, addresses };
            if found {
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

    /// Goes on to the next server after a timeout or a server error, as C libraries do.
    async fn query_servers(&self, name: &str, v6: bool) -> Result<Vec<IpAddr>, String> {
        let mut last = Err("no name server is named".to_owned());
        for server in &self.servers {
            let answer = look_up(SocketAddr::new(*server, self.port), name, v6).await;
            let is_server_error = |cause: &String| {
                cause.starts_with("no answer")
                    || ["SERVFAIL", "REFUSED", "NOTIMP"].iter().any(|code| cause.ends_with(code))
            };
            let try_next = answer.as_ref().is_err_and(is_server_error);
            last = answer.map_err(|cause| format!("{cause}, asked {server}"));
            if !try_next {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn without_a_file_or_a_server_there_is_no_resolver() {
        assert_eq!(Resolver::read(Path::new("/nonexistent/resolv.conf")), None);
        assert_eq!(Resolver::parse("\u{0}\nnameserver\noptions ndots:x").servers, Vec::<IpAddr>::new());
    }
}
