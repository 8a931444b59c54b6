//! The open connections, and which of them makes room for a new one.

use super::connection::{self, ResponseProgress};
use super::limits::{ACCEPT_PAUSE, HEAD_TIME};
use super::{ConnectionEvent, ConnectionObserver, Limits};
use axum::Router;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{Instant, timeout};

pub(super) struct OpenConnections {
    tasks: JoinSet<()>,
    /// The oldest first.
    open: VecDeque<OpenConnection>,
    response_begun: Arc<Notify>,
    router: Router,
    limits: Limits,
    observer: ConnectionObserver,
}

struct OpenConnection {
    since: Instant,
    progress: Arc<ResponseProgress>,
    task: AbortHandle,
}

impl OpenConnection {
    /// Has its request not arrived yet?
    fn stalls(&self) -> bool {
        !self.progress.answering.load(Ordering::Relaxed)
    }
}

impl OpenConnections {
    pub(super) fn new(router: Router, limits: Limits, observer: ConnectionObserver) -> Self {
        let response_begun = Arc::default();
        Self { tasks: JoinSet::new(), open: VecDeque::new(), response_begun, router, limits, observer }
    }

    /// Notified when [`Self::evict_bodies`] may have something to do.
    pub(super) fn response_begun(&self) -> Arc<Notify> {
        Arc::clone(&self.response_begun)
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
            match self.next_evicted() {
                Ok(index) => {
                    self.evict(index);
                    if self.next_closed().await.is_none() {
                        break;
                    }
                    // Only now the requests that have arrived meanwhile are seen.
                    yield_now().await;
                }
                // Whatever closes meanwhile makes room as well.
                Err(wait) => drop(timeout(wait, self.next_closed()).await),
            }
        }
    }

    /// The connection that makes room: the oldest one whose request is overdue. Where none is, it is the oldest that is being answered
    /// if those are the majority; else the time until a request is overdue.
    fn next_evicted(&self) -> Result<usize, Duration> {
        // They are in the order of their age.
        let Some((index, oldest)) = self.open.iter().enumerate().find(|(_, open)| open.stalls()) else { return Ok(0) };
        let wait = HEAD_TIME.saturating_sub(oldest.since.elapsed());
        let stalling = self.open.iter().filter(|open| open.stalls()).count();
        if wait.is_zero() {
            Ok(index)
        } else if stalling < self.open.len() / 2 {
            Ok(self.open.iter().position(|open| !open.stalls()).unwrap_or(index))
        } else {
            Err(wait)
        }
    }

    /// Evicts until the bodies that are being sent are within the limit, the oldest connection first. The last one stays.
    pub(super) fn evict_bodies(&mut self) {
        let body = |open: &OpenConnection| open.progress.body.load(Ordering::Relaxed);
        let mut bodies: u64 = self.open.iter().map(body).sum();
        while bodies > self.limits.bodies {
            let mut sending = self.open.iter().enumerate().filter(|(_, open)| body(open) > 0);
            let (Some((oldest, open)), Some(_)) = (sending.next(), sending.next()) else { return };
            bodies -= body(open);
            self.evict(oldest);
        }
    }

    /// Evicts the oldest connection that stalls after accept failed for lack of resources; is there one? Without a descriptor
    /// accept fails also where nobody waits, so that a new connection, whose request is about to be read, is not meant.
    pub(super) async fn give_way(&mut self) -> bool {
        (self.observer)(ConnectionEvent::OutOfResources);
        let stalls = |open: &OpenConnection| open.stalls() && open.since.elapsed() >= ACCEPT_PAUSE;
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
        let progress = Arc::<ResponseProgress>::default();
        let (router, observer) = (self.router.clone(), Arc::clone(&self.observer));
        let served =
            connection::serve_connection(stream, router, Arc::clone(&progress), self.response_begun(), observer);
        let lifetime = self.limits.lifetime;
        let task = self.tasks.spawn(async move {
            // Out of time or not, the connection is closed.
            let _ = tokio::time::timeout(lifetime, served).await;
        });
        self.open.push_back(OpenConnection { since: Instant::now(), progress, task });
    }
}
