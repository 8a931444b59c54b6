//! Addresses: how to connect to a target, where to listen, tailscaled's socket.

use super::{Syntax, keyword, quoted, text_schema};
use crate::config::{DEFAULT_PORT, Host, Listen, Via, host};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Longest path of a unix socket in bytes: `sun_path` of unix(7) without its NUL.
const LONGEST_SOCKET: usize = 107;

/// A shorter number at the end of what is an IPv6 address as a whole may be its last group.
const LEAST_BARE_PORT: u16 = 1000;

/// How to connect. A proxy's host is never resolved: that would start threads and leave the tailnet's names.
pub struct ViaSyntax;

impl Syntax for ViaSyntax {
    type Output = Via;

    fn parse(&self, text: &str) -> Result<Via, String> {
        const FORM: &str = "write a proxy as `socks5://127.0.0.1:1055`, with an IP address or `localhost`";
        let Some(proxy) = text.strip_prefix("socks5://") else {
            if text.contains("://") {
                // A proxy of another kind may carry a password, so nothing of it is repeated.
                return Err(format!("this kind of proxy is not supported; {FORM}"));
            }
            let names = [("auto", Via::Auto), ("localapi", Via::LocalApi), ("tcp", Via::Tcp)];
            let name = keyword(text, &names, |(name, _)| name);
            return name.map(|(_, via)| via).map_err(|sentence| format!("{sentence}; {FORM}"));
        };
        if proxy.contains('@') {
            return Err(
                "the proxy's URL has a user or a password, which telltail does not support: remove it".to_owned()
            );
        }
        let (host, port) = proxy.rsplit_once(':').ok_or_else(|| format!("the proxy has no port; {FORM}"))?;
        let address = match host {
            "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host => host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse(),
        };
        let address = address.map_err(|_| format!("the proxy's host is not an IP address; {FORM}"))?;
        match port.parse() {
            Ok(port) if port > 0 => Ok(Via::Socks5(SocketAddr::new(address, port))),
            _ => Err("the proxy's port is not a number from 1 to 65535".to_owned()),
        }
    }

    fn yaml(&self, value: &Via) -> Option<String> {
        Some(quoted(&value.to_string()))
    }

    fn schema(&self, doc: &str, default: Option<&Via>) -> Value {
        json!({
            "description": doc,
            "type": "string",
            "pattern": "^(?:auto|localapi|tcp|socks5://[^@]+:[0-9]+)$",
            "default": default.map(ToString::to_string),
        })
    }
}

/// An address with a port; port 0 lets the kernel choose. Brackets around IPv6 may be missing.
pub struct ListenAddress;

impl Syntax for ListenAddress {
    type Output = Listen;

    fn parse(&self, text: &str) -> Result<Listen, String> {
        if let Ok(address) = text.parse() {
            return Ok(Listen::At(address));
        }
        match (bare_ipv6(text), text.parse::<Ipv6Addr>()) {
            (Some(address), Ok(_)) if address.port() < LEAST_BARE_PORT => Err(format!(
                "`{text}` is ambiguous, its end may be a port or a part of the address: write `{address}` or \
                 `[{text}]:{DEFAULT_PORT}`"
            )),
            (Some(address), _) => Ok(Listen::At(address)),
            (None, Ok(address)) => Err(format!("`{text}` has no port: write `[{address}]:{DEFAULT_PORT}`")),
            (None, Err(_)) if text.contains("$(") => {
                Err("the value names a variable that Kubernetes has not expanded: define it above in `env`".to_owned())
            }
            (None, Err(_)) => {
                let forms = format!("write `0.0.0.0:{DEFAULT_PORT}` or `[::]:{DEFAULT_PORT}`");
                Err(format!("the value is not an address with a port: {forms}"))
            }
        }
    }

    fn yaml(&self, value: &Listen) -> Option<String> {
        match value {
            Listen::Default => None,
            Listen::At(address) => Some(quoted(&address.to_string())),
        }
    }

    fn unset(&self) -> String {
        format!("[::]:{DEFAULT_PORT}, or 0.0.0.0:{DEFAULT_PORT} where there is no IPv6")
    }

    fn schema(&self, doc: &str, _: Option<&Listen>) -> Value {
        text_schema(&format!("{doc} Default {}.", self.unset()))
    }
}

/// An IPv6 address with a port but without brackets, as Kubernetes makes it of `$(POD_IP):8245`.
fn bare_ipv6(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    Some((address.parse::<Ipv6Addr>().ok()?, port.parse().ok().filter(|_| digits)?).into())
}

/// Names of hosts, separated by commas or spaces.
pub struct HostNames;

impl Syntax for HostNames {
    type Output = Vec<String>;

    fn parse(&self, text: &str) -> Result<Vec<String>, String> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        words
            .map(|word| match host::parse(word)? {
                Host::Name(name) => Ok(name),
                Host::Ip(_) => Err("an address is served in any case: remove it".to_owned()),
            })
            .collect()
    }

    fn yaml(&self, value: &Vec<String>) -> Option<String> {
        (!value.is_empty()).then(|| quoted(&value.join(",")))
    }

    fn unset(&self) -> String {
        "none".to_owned()
    }

    fn schema(&self, doc: &str, _: Option<&Vec<String>>) -> Value {
        text_schema(&format!("{doc} Default {}.", self.unset()))
    }
}

/// The path of tailscaled's socket.
pub struct SocketPath;

impl Syntax for SocketPath {
    type Output = Option<PathBuf>;

    fn parse(&self, text: &str) -> Result<Option<PathBuf>, String> {
        if !text.starts_with('/') {
            return Err("the value is not an absolute path".to_owned());
        }
        if text.len() > LONGEST_SOCKET {
            return Err(format!("the path is {} bytes long, a socket's has at most {LONGEST_SOCKET}", text.len()));
        }
        if text.contains('\0') {
            return Err("the path contains a NUL".to_owned());
        }
        Ok(Some(PathBuf::from(text)))
    }

    fn yaml(&self, value: &Option<PathBuf>) -> Option<String> {
        value.as_ref().map(|path| quoted(&path.to_string_lossy()))
    }

    fn unset(&self) -> String {
        "/var/run/tailscale/tailscaled.sock or /tmp/tailscaled.sock, whichever answers".to_owned()
    }

    fn schema(&self, doc: &str, _: Option<&Option<PathBuf>>) -> Value {
        text_schema(&format!("{doc} Default {}.", self.unset()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_address_needs_no_brackets() {
        let rows = [
            ("10.1.2.3:8245", "10.1.2.3:8245"),
            ("[fd00:10::5]:8245", "[fd00:10::5]:8245"),
            ("fd00:10::5:8245", "[fd00:10::5]:8245"),
            ("2001:db8:1:2:3:4:5:6:8245", "[2001:db8:1:2:3:4:5:6]:8245"),
            ("2001:db8:1:2:3:4:5:6:80", "[2001:db8:1:2:3:4:5:6]:80"),
            ("fd00::a:65535", "[fd00::a]:65535"),
            ("::ffff:10.1.2.3:8245", "[::ffff:10.1.2.3]:8245"),
            ("::1:8245", "[::1]:8245"),
            (":::8245", "[::]:8245"),
        ];
        for (text, expected) in rows {
            assert_eq!(ListenAddress.parse(text), Ok(Listen::At(expected.parse().expect("an address"))), "{text}");
        }
    }

    #[test]
    fn what_may_be_an_address_alone_is_refused_with_both_readings() {
        let rows = [
            ("fd00::5:80", "write `[fd00::5]:80` or `[fd00::5:80]:8245`"),
            ("fd00::8245", "has no port: write `[fd00::8245]:8245`"),
            ("fd00::5:cafe", "has no port"),
            ("fd00::5:0824", "has no port"),
            ("fd00::5:0", "has no port"),
            ("2001:db8:1:2:3:4:5:6", "has no port"),
            ("::", "has no port: write `[::]:8245`"),
            ("fd00::5:99999", "not an address with a port"),
            ("fd00::5:+8245", "not an address with a port"),
            (":8245", "not an address with a port"),
            ("$(POD_IP):8245", "has not expanded"),
        ];
        for (text, expected) in rows {
            let problem = ListenAddress.parse(text).expect_err(text);
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
