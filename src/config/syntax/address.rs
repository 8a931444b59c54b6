//! Addresses: how to connect to a target, where to listen, tailscaled's socket.

use super::{Syntax, keyword, quoted, text_schema};
use crate::config::problem::quote_untrusted;
use crate::config::{DEFAULT_PORT, Listen, Via};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Longest path of a unix socket in bytes: `sun_path` of unix(7) without its NUL.
const LONGEST_SOCKET: usize = 107;

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

/// An address with a port; port 0 lets the kernel choose.
pub struct ListenAddress;

impl Syntax for ListenAddress {
    type Output = Listen;

    fn parse(&self, text: &str) -> Result<Listen, String> {
        text.parse().map(Listen::At).map_err(|_| {
            let forms = format!("write `0.0.0.0:{DEFAULT_PORT}` or `[::]:{DEFAULT_PORT}`");
            format!("{} is not an address with a port: {forms}", quote_untrusted(text))
        })
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

/// The path of tailscaled's socket.
pub struct SocketPath;

impl Syntax for SocketPath {
    type Output = Option<PathBuf>;

    fn parse(&self, text: &str) -> Result<Option<PathBuf>, String> {
        if !text.starts_with('/') {
            return Err(format!("{} is not an absolute path", quote_untrusted(text)));
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
