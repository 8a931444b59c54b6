//! One question to the running agent.

use crate::document::Document;
use crate::http::Connection;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The agent answers from memory; whoever waits longer waits in vain.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest answer in bytes. The largest is the status of 64 targets with full histories, less than 1 MiB.
const MAX_ANSWER: usize = 2 * 1024 * 1024;

/// What the agent answers at `path`: success or not, and the body.
pub(super) async fn ask(agent: SocketAddr, path: &str) -> Result<(bool, String), String> {
    let answer = timeout(TIMEOUT, converse(agent, path)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {}", humantime::format_duration(TIMEOUT))))
}

async fn converse(agent: SocketAddr, path: &str) -> Result<(bool, String), String> {
    let stream = TcpStream::connect(agent).await.map_err(|error| error.to_string())?;
    let mut connection = Connection::open(stream).await.map_err(|error| error.to_string())?;
    let request = Request::get(path).header("host", agent.to_string()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let response = connection.send(request).await.map_err(|error| error.to_string())?;
    let success = response.status().is_success();
    let body = connection.text(response.into_body(), MAX_ANSWER).await.map_err(|error| error.to_string())?;
    Ok((success, body))
}

/// The agent's status document, as it came and as it was understood.
pub(super) async fn status(agent: SocketAddr) -> Result<(String, Document), String> {
    let (success, body) = ask(agent, "/api/v1/status").await?;
    if !success {
        return Err("what answers there is no telltail that knows /api/v1/status".to_owned());
    }
    let unread = |error| format!("its answer cannot be read: {error}");
    let document = serde_json::from_str(&body).map(harmless).map_err(unread)?;
    Ok((body, serde_json::from_value(document).map_err(unread)?))
}

/// Whatever answers at the agent's port, its words do nothing to a terminal.
fn harmless(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(|c: char| c.is_control(), "?")),
        Value::Array(values) => values.into_iter().map(harmless).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, harmless(value))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}
