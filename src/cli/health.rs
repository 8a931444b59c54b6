//! `telltail health`: asks the running agent, for container health checks that have no HTTP client.

use crate::http::Connection;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The agent answers from memory; whoever waits longer waits in vain.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of a page that are read: the metrics of 64 targets have some 800 KiB.
const MAX_PAGE: usize = 2 << 20;

/// What the agent answers at `/healthz`: ready or not, and the page.
pub async fn health(agent: SocketAddr) -> Result<(bool, String), String> {
    page(agent, "/healthz?verbose").await
}

/// A page of the agent, and whether its status is 2xx.
pub async fn page(agent: SocketAddr, path: &str) -> Result<(bool, String), String> {
    let answer = timeout(TIMEOUT, ask(agent, path)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {}", humantime::format_duration(TIMEOUT))))
}

async fn ask(agent: SocketAddr, path: &str) -> Result<(bool, String), String> {
    let stream = TcpStream::connect(agent).await.map_err(|error| error.to_string())?;
    let mut connection = Connection::open(stream).await.map_err(|error| error.to_string())?;
    let request = Request::get(path).header("host", agent.to_string()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let response = connection.send(request).await.map_err(|error| error.to_string())?;
    let ready = response.status().is_success();
    let page = connection.text(response.into_body(), MAX_PAGE).await.map_err(|error| error.to_string())?;
    Ok((ready, page))
}
