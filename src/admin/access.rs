//! Who gets the pages that name addresses and causes.
//!
//! A website can have its own name resolve to the pod's address (DNS rebinding). The browser of a person who visits it and can
//! reach the pod takes the pod's pages for that website's, and lets it read them. But it sends the website's name in `Host`. So a
//! page is for names that are the pod's, and for addresses: those are not resolved. What the kubelet and Prometheus ask for is
//! for everyone: they come with any name, or none.

use super::response::text;
use crate::config::{Config, PageAccess};
use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use std::net::{IpAddr, SocketAddr};

/// In the extensions of a request: does its connection come from this pod?
#[derive(Clone, Copy, Debug)]
pub(super) struct FromThisPod(pub bool);

impl FromThisPod {
    /// Of a connection between these addresses. A program in the pod that connects to the pod's own address comes from there.
    pub(super) fn of(peer: SocketAddr, local: SocketAddr) -> Self {
        let peer = peer.ip().to_canonical();
        Self(peer.is_loopback() || peer == local.ip().to_canonical())
    }
}

/// The response to a request that gets no page.
pub(super) fn refusal(config: &Config, pod_name: Option<&str>, request: &Request) -> Option<Response<Body>> {
    let local = request.extensions().get::<FromThisPod>().is_some_and(|from| from.0);
    if config.pages == PageAccess::Loopback && !local {
        let sentence = "this page is for connections from the pod itself, such as kubectl port-forward; TELLTAIL_PAGES=all \
                        (`pages` in the file) opens it\n";
        return Some(text(StatusCode::FORBIDDEN, sentence));
    }
    let allowed = |name: &str| {
        let names = config.allowed_hosts.iter().map(String::as_str).chain(pod_name).chain(["localhost"]);
        let name = name.strip_suffix('.').unwrap_or(name);
        name.parse::<IpAddr>().is_ok() || names.into_iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    };
    let hosts = requested_hosts(request.headers(), request.uri());
    let known = hosts.is_some_and(|hosts| !hosts.is_empty() && hosts.iter().all(|host| allowed(host)));
    let sentence = "this page is not served under the name in Host: use an IP address or localhost, or name the host in \
                    TELLTAIL_ALLOWED_HOSTS (`allowed_hosts` in the file)\n";
    (!known).then(|| text(StatusCode::MISDIRECTED_REQUEST, sentence))
}

/// Every name or address that the request was sent to, without port and brackets; none if one is malformed.
fn requested_hosts(headers: &HeaderMap, uri: &Uri) -> Option<Vec<String>> {
    let headers = headers.get_all(header::HOST).into_iter().map(|value| Authority::try_from(value.as_bytes()).ok());
    // The form of request for proxies has a name of its own.
    let all = headers.chain(uri.authority().cloned().map(Some));
    all.map(|authority| host(&authority?)).collect()
}

/// The host, if nothing but a port stands beside it: no user, nothing behind a bracket.
fn host(authority: &Authority) -> Option<String> {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (rest.is_empty() || rest.starts_with(':')).then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Gate, Mode};

    fn status(hosts: &[&str], uri: &str, pages: PageAccess, from: Option<FromThisPod>) -> u16 {
        let allowed_hosts = vec!["telltail.example".to_owned()];
        let config = Config { allowed_hosts, pages, ..super::super::fixture::config(Mode::Strict, Gate::Tailnet) };
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().extend(
            from.map(|from| {
                let mut extensions = axum::http::Extensions::new();
                extensions.insert(from);
                extensions
            })
            .unwrap_or_default(),
        );
        refusal(&config, Some("worker-1"), &request).map_or(200, |response| response.status().as_u16())
    }

    #[test]
    fn a_page_is_for_addresses_and_names_that_are_the_pods() {
        for host in [
            "10.1.2.3",
            "10.1.2.3:8245",
            "[fd00::5]:8245",
            "[::1]",
            "localhost:8245",
            "LOCALHOST",
            "localhost.",
            "worker-1:80",
            "Worker-1",
            "telltail.example",
            "TELLTAIL.example.:443",
        ] {
            assert_eq!(status(&[host], "/", PageAccess::All, None), 200, "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8245",
            "telltail.example.evil",
            "worker-1.evil",
            "localhost.evil",
            "10.1.2.3.evil",
            "10.1.2.3@evil.example",
            "10.1.2.3@10.1.2.3",
            "evil.example@10.1.2.3",
            "localhost@10.1.2.3",
            "0x7f.1",
            "[::1",
            "a b",
            "[::1]evil",
        ] {
            assert_eq!(status(&[host], "/", PageAccess::All, None), 421, "{host}");
        }
        assert_eq!(status(&[], "/", PageAccess::All, None), 421, "no Host");
        assert_eq!(status(&["localhost", "evil.example"], "/", PageAccess::All, None), 421, "two of them");
        assert_eq!(status(&["localhost"], "http://evil.example/", PageAccess::All, None), 421, "the form for proxies");
        assert_eq!(status(&[], "http://localhost:8245/", PageAccess::All, None), 200);
    }

    #[test]
    fn pages_for_loopback_are_for_connections_from_this_pod() {
        let of = |peer: &str, local: &str| Some(FromThisPod::of(peer.parse().unwrap(), local.parse().unwrap()));
        for (from, expected) in [
            (of("127.0.0.1:9", "127.0.0.1:8245"), 200),
            (of("[::ffff:127.0.0.1]:9", "[::ffff:127.0.0.1]:8245"), 200),
            (of("[::1]:9", "[::1]:8245"), 200),
            (of("10.1.2.3:9", "10.1.2.3:8245"), 200),
            (of("10.1.2.4:9", "10.1.2.3:8245"), 403),
            (of("[fd00::1]:9", "[fd00::2]:8245"), 403),
            (None, 403),
        ] {
            assert_eq!(status(&["localhost"], "/", PageAccess::Loopback, from), expected, "{from:?}");
        }
        let local = of("127.0.0.1:9", "127.0.0.1:8245");
        assert_eq!(status(&["evil.example"], "/", PageAccess::Loopback, local), 421, "both hold");
    }
}
