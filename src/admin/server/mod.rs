//! The HTTP server. The kubelet and Prometheus get an answer whatever other clients do.
//!
//! # Threat model
//!
//! Every pod of the cluster and every peer of the tailnet may connect: the kubelet sends no credentials. A client may open
//! connections without end, stall, send anything and read nothing. It must not delay the kubelet's answer, and what it costs
//! in memory, file descriptors and CPU time is bounded. hyper alone takes any number of connections, waits 30 s for a
//! request head and reads heads of 400 KiB.
//!
//! | Client | Defence |
//! |---|---|
//! | opens many connections and sends nothing, or half a head | [`Limits::connections`]: a new connection evicts the oldest one whose request has not arrived within `limits::HEAD_TIME`. Refusing the new one would lock the kubelet out |
//! | the same, with requests whose responses it does not read | where no request is overdue and most connections are being answered, the oldest of those is evicted |
//! | asks for pages and does not read them | [`Limits::bodies`]: where more is being sent, the oldest is evicted; `limits::SEND_BUFFER` bounds what the kernel keeps |
//! | asks for pages in bursts | one page is rendered at a time, and whoever else waits is answered before the next ([`super::routes`]) |
//! | opens a few, and drips bytes or does not read | [`Limits::lifetime`] |
//! | connects in bursts | `limits::BACKLOG`: the kernel queues connections until they are accepted |
//! | sends a large head | `limits::MAX_HEAD`: 431 |
//! | sends a body | refused by the router before it is read: 413 |
//! | smuggles a second request behind an ambiguous length, or pipelines thousands | one request per connection; hyper refuses ambiguous lengths: 400 |
//! | sends without end after the response | `limits::MAX_DISCARDED` and [`Limits::lifetime`] |
//! | is a browser that a website leads here (DNS rebinding) | refused by the router: 421, see `admin::access` |
//! | makes file descriptors run out, here or on the host | a connection that stalls gives its own to the next; where none does, `limits::ACCEPT_PAUSE`: accept would fail in a busy loop |
//!
//! Discarding what a client sends after its response is no defence: closing a socket with unread bytes resets the
//! connection, and the client could lose the 413 or 431 that tells it why.

mod bind;
mod connection;
mod connections;
mod limits;
#[cfg(test)]
mod tests;

pub use bind::{PORT, bind};
pub use limits::Limits;

use crate::shortage::{ShortageLog, is_own_shortage};
use axum::Router;
use connections::OpenConnections;
use hyper::StatusCode;
use limits::ACCEPT_PAUSE;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// What happened to a connection before its request reached the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// Closed to make room for a new one.
    Evicted,
    /// Not accepted yet: telltail itself has no file descriptor or memory for it.
    OutOfResources,
    /// The head was not HTTP/1 (400) or too large (431).
    Refused(StatusCode),
}

/// Called for every event, to count it.
pub type ConnectionObserver = Arc<dyn Fn(ConnectionEvent) + Send + Sync>;

/// Answers requests from `listener` by `router`, one per connection, until it is dropped, which closes every connection.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, observer: ConnectionObserver) -> Infallible {
    let mut connections = OpenConnections::new(router, limits, observer);
    let (mut failing, mut failures) = (false, ShortageLog::default());
    let response_begun = connections.response_begun();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = response_begun.notified() => {
                connections.evict_bodies();
                continue;
            }
            Some(()) = connections.next_closed() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("Accepting connections again");
                }
                connections.make_room().await;
                connections.admit(stream);
            }
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "Connection lost before accept")
            }
            Err(error) => {
                if failures.is_due(Instant::now()) {
                    failing = true;
                    tracing::warn!(%error, "Accept failed; retrying");
                }
                if !is_own_shortage(&error) || !connections.give_way().await {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Linux returns network errors of the connection from accept; the next accept may succeed at once.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::Interrupted
    )
}
