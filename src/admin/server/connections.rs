//! The open connections, and which of them makes room for a new one.

use super::connection;
use super::limits::ACCEPT_PAUSE;
use super::{ConnectionEvent, ConnectionObserver, Limits};
use axum::Router;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

pub(super) struct OpenConnections {
    tasks: JoinSet<()>,
    /// The oldest first.
    open: VecDeque<OpenConnection>,
    router: Router,
    limits: Limits,
    observer: ConnectionObserver,
}

struct OpenConnection {
    /// Has the request arrived, and is its response on the way?
    answering: Arc<AtomicBool>,
    since: Instant,
    task: AbortHandle,
}

impl OpenConnection {
    /// Has its request not arrived yet?
    fn stalls(&self) -> bool {
        !self.answering.load(Ordering::Relaxed)
    }
}

impl OpenConnections {
    pub(super) fn new(router: Router, limits: Limits, observer: ConnectionObserver) -> Self {
        Self { tasks: JoinSet::new(), open: VecDeque::new(), router, limits, observer }
    }

    /// Waits until a connection has closed; none if none is open. Safe to cancel.
    pub(super) async fn next_closed(&mut self) -> Option<()> {
        let _ = self.tasks.join_next().await?;
        self.forget_closed();
        Some(())
    }

    fn forget_closed(&mut self) {
        self.open.retain(|connection| !connection.task.is_finished());
    }

    /// Evicts until a new connection is within the limit. It waits until evicted tasks have ended, so that there is never
    /// more than one socket beyond the limit, and so that new connections are read before they can become the oldest.
    pub(super) async fn make_room(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.forget_closed();
        while self.tasks.len() >= self.limits.connections {
            let stalling = self.open.iter().position(OpenConnection::stalls);
            self.evict(stalling.unwrap_or(0));
            if self.next_closed().await.is_none() {
                break;
            }
        }
    }

    /// Evicts the oldest connection that stalls after accept failed for lack of resources; is there one? Without a descriptor
    /// accept fails also where nobody waits, so that a new connection, whose request is about to be read, is not meant.
    pub(super) async fn give_way(&mut self) -> bool {
        (self.observer)(ConnectionEvent::OutOfResources);
        let stalls = |connection: &OpenConnection| connection.stalls() && connection.since.elapsed() >= ACCEPT_PAUSE;
        let Some(stalling) = self.open.iter().position(stalls) else { return false };
        self.evict(stalling);
        self.next_closed().await.is_some()
    }

    fn evict(&mut self, index: usize) {
        if let Some(connection) = self.open.remove(index) {
            connection.task.abort();
            (self.observer)(ConnectionEvent::Evicted);
        }
    }

    pub(super) fn admit(&mut self, stream: TcpStream) {
        let answering = Arc::new(AtomicBool::new(false));
        let observer = Arc::clone(&self.observer);
        let served = connection::serve_connection(stream, self.router.clone(), Arc::clone(&answering), observer);
        let lifetime = self.limits.lifetime;
        let task = self.tasks.spawn(async move {
            // Out of time or not, the connection is closed.
            let _ = tokio::time::timeout(lifetime, served).await;
        });
        self.open.push_back(OpenConnection { answering, since: Instant::now(), task });
    }
}
