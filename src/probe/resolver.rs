//! The pod's own resolver, as `/etc/resolv.conf` describes it and a worker uses it: name servers in their order, and the
//! search list. Not `getaddrinfo`: the image has no NSS, and a C library's answer does not say who gave it.

use super::dns::ask;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// What `/etc/resolv.conf` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
    port: u16,
}

/// What the pod's resolver makes of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The name that was answered, with what the search list added, or the last that was not.
    pub name: String,
    /// Its addresses, or what was seen instead.
    pub addresses: Result<Vec<IpAddr>, String>,
}

/// glibc looks at no more servers and, since 2.26, at any number of search domains; Kubernetes allows 32 of those.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 32;
/// `ndots` without an option; Kubernetes sets 5.
const NDOTS: usize = 1;
const PORT: u16 = 53;

impl Resolver {
    /// Reads a resolv.conf; what is not understood is skipped, as the C library does.
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self { servers: Vec::new(), search: Vec::new(), ndots: NDOTS, port: PORT };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    resolver.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
                }
                // The last one counts.
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

    /// Reads the file; none where it cannot be read or names no server.
    pub fn read(path: &Path) -> Option<Self> {
        Some(Self::parse(&std::fs::read_to_string(path).ok()?)).filter(|resolver| !resolver.servers.is_empty())
    }

    /// The same, at another port: for tests.
    #[must_use]
    pub fn at_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Its name servers.
    pub fn servers(&self) -> &[IpAddr] {
        &self.servers
    }

    /// Looks a name up as a worker's C library does. The deadline for all of it is the caller's.
    pub async fn look_up(&self, name: &str, v6: bool) -> Answer {
        let mut missed = Answer { name: name.to_owned(), addresses: Err("no name server is named".to_owned()) };
        for name in self.candidates(name) {
            let addresses = self.ask(&name, v6).await;
            let found = addresses.is_ok();
            missed = Answer { name, addresses };
            if found {
                break;
            }
        }
        missed
    }

    /// A name with few dots is tried with each search domain before it is tried as it is.
    fn candidates(&self, name: &str) -> Vec<String> {
        let longer = self.search.iter().filter(|domain| !domain.is_empty()).map(|domain| format!("{name}.{domain}"));
        let own = name.to_owned();
        if name.matches('.').count() >= self.ndots {
            return std::iter::once(own).chain(longer).collect();
        }
        longer.chain([own]).collect()
    }

    /// The next server is asked where one knows nothing to say, as C libraries do.
    async fn ask(&self, name: &str, v6: bool) -> Result<Vec<IpAddr>, String> {
        let mut last = Err("no name server is named".to_owned());
        for server in &self.servers {
            let answer = ask(SocketAddr::new(*server, self.port), name, v6).await;
            let knows_nothing = |cause: &String| {
                cause.starts_with("no answer")
                    || ["SERVFAIL", "REFUSED", "NOTIMP"].iter().any(|code| cause.ends_with(code))
            };
            let goes_on = answer.as_ref().is_err_and(knows_nothing);
            last = answer.map_err(|cause| format!("{cause}, asked {server}"));
            if !goes_on {
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
    fn the_search_list_comes_first_for_a_name_with_few_dots() {
        let pod = Resolver::parse(POD);
        assert_eq!(pod.servers(), ["10.96.0.10".parse::<IpAddr>().expect("an address")]);
        assert_eq!(pod.candidates("db"), ["db.prd.svc.cluster.local", "db.svc.cluster.local", "db"]);
        assert_eq!(pod.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f");
        let host = Resolver::parse("nameserver 192.0.2.1\nnameserver nonsense\nsearch lan.\n");
        assert_eq!(host.candidates("db.lab.ts.net"), ["db.lab.ts.net", "db.lab.ts.net.lan"]);
        assert_eq!(host.servers().len(), 1);
    }

    #[test]
    fn a_file_that_is_missing_or_names_no_server_is_no_resolver() {
        assert_eq!(Resolver::read(Path::new("/nonexistent/resolv.conf")), None);
        assert_eq!(Resolver::parse("\u{0}\nnameserver\noptions ndots:x").servers, Vec::<IpAddr>::new());
    }
}
