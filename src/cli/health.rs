//! `telltail health`: asks the running agent, for container health checks that have no HTTP client.

use super::ask::ask;
use std::net::SocketAddr;

/// What the agent answers at `/healthz`: ready or not, and the page.
pub async fn health(agent: SocketAddr) -> Result<(bool, String), String> {
    ask(agent, "/healthz?verbose").await
}
