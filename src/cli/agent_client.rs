//! Requests to the running agent.

use crate::admin::PORT;
use crate::config::Listen;
use crate::document::Document;
use crate::http::Connection;
use crate::untrusted::{make_visible_line, redact_secrets};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The agent answers from memory; one that takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest answer in bytes. The largest is the status of 64 targets with full histories, less than 1 MiB.
const MAX_BODY: usize = 2 * 1024 * 1024;

/// A client of the agent at one address. Its errors begin with that address. Another program may listen there, or an agent of
/// another version: of what it sends, secrets are redacted, and texts of the document are in one line.
#[derive(Clone, Copy, Debug)]
pub struct AgentClient {
    address: SocketAddr,
}

impl From<SocketAddr> for AgentClient {
    fn from(address: SocketAddr) -> Self {
        Self { address }
    }
}

impl AgentClient {
    /// A client of the agent that listens as configured; one that listens everywhere is reached on localhost.
    pub fn new(listen: Listen) -> Self {
        match listen {
            Listen::Default => SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)).into(),
            Listen::At(address) => match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())).into(),
                IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())).into(),
                IpAddr::V4(_) | IpAddr::V6(_) => address.into(),
            },
        }
    }

    /// Whether the agent is ready, and its page with every check.
    pub async fn healthz(self) -> Result<(bool, String), String> {
        self.get("/healthz?verbose").await
    }

    /// The agent's metrics.
    pub async fn metrics(self) -> Result<String, String> {
        self.get("/metrics").await.map(|(_, page)| page)
    }

    /// The agent's status document, as sent and as parsed.
    pub async fn status(self) -> Result<(String, Document), String> {
        let (success, body) = self.get("/api/v1/status").await?;
        if !success {
            return Err(format!("{}: not a compatible telltail", self.address));
        }
        let unreadable = |error| format!("{}: cannot read the status: {error}", self.address);
        let document = serde_json::from_str(&body).map(visible).map_err(unreadable)?;
        Ok((body, serde_json::from_value(document).map_err(unreadable)?))
    }

    /// Whether the status code means success, and the body.
    async fn get(self, path: &str) -> Result<(bool, String), String> {
        let result = timeout(TIMEOUT, self.request(path)).await;
        let result =
            result.unwrap_or_else(|_| Err(format!("no answer within {}", humantime::format_duration(TIMEOUT))));
        result.map_err(|error| format!("{}: {error}", self.address))
    }

    async fn request(self, path: &str) -> Result<(bool, String), String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        let mut connection = Connection::open(stream).await.map_err(|error| error.to_string())?;
        let request = Request::get(path).header("host", self.address.to_string()).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| error.to_string())?;
        let response = connection.send(request).await.map_err(|error| error.to_string())?;
        let success = response.status().is_success();
        let body = connection.text(response.into_body(), MAX_BODY).await.map_err(|error| error.to_string())?;
        Ok((success, redact_secrets(&body)))
    }
}

/// The value with every text in one line, and visible.
fn visible(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(make_visible_line(&text)),
        Value::Array(values) => values.into_iter().map(visible).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, visible(value))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}
