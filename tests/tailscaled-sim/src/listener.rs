//! A listener that can be closed and opened again at once, and whose connections end with it.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::locked;

/// What has happened at a server so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Requests, in the server's own words: LocalAPI calls, first packets, commands, questions.
    pub requests: u64,
}

pub(crate) trait Accept: Send + 'static {
    type Stream: Send + 'static;
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        TcpListener::poll_accept(self, cx).map_ok(|(stream, _)| stream)
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        UnixListener::poll_accept(self, cx).map_ok(|(stream, _)| stream)
    }
}

/// Owns the task that accepts and, through it, those that serve.
#[derive(Debug)]
pub(crate) struct Listener<L: Accept> {
    shared: Arc<Shared<L>>,
    accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Shared<L> {
    listener: Mutex<Option<L>>,
    opened: Notify,
    connections: Mutex<JoinSet<()>>,
    tally: Counter,
}

/// Counts, and lets a test wait for a count.
#[derive(Clone, Debug)]
pub(crate) struct Counter(Arc<watch::Sender<Tally>>);

/// Counts a connection as open for as long as it lives, however it ends.
struct Open(Counter);

impl Counter {
    pub(crate) fn new() -> Self {
        Counter(Arc::new(watch::Sender::new(Tally::default())))
    }

    pub(crate) fn request(&self) {
        self.0.send_modify(|tally| tally.requests += 1);
    }

    pub(crate) fn now(&self) -> Tally {
        *self.0.borrow()
    }

    pub(crate) async fn until(&self, wanted: impl FnMut(&Tally) -> bool) -> Tally {
        // Cannot fail: the sender is ours.
        self.0.subscribe().wait_for(wanted).await.map_or_else(|_| self.now(), |tally| *tally)
    }
}

impl Open {
    /// The guard and the number of its connection, from 1.
    fn new(counter: &Counter) -> (Self, u64) {
        counter.0.send_modify(|tally| (tally.accepted, tally.open) = (tally.accepted + 1, tally.open + 1));
        (Open(counter.clone()), counter.now().accepted)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.send_modify(|tally| tally.open -= 1);
    }
}

impl<L: Accept> Listener<L> {
    /// Serves every connection with `serve`, which is told its number, as soon as there is a listener.
    pub(crate) fn start<F, S>(tally: Counter, serve: F) -> Self
    where
        F: Fn(L::Stream, u64) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = Mutex::new(None);
        let connections = Mutex::new(JoinSet::new());
        let shared = Arc::new(Shared { listener, opened: Notify::new(), connections, tally });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(Arc::clone(&shared), serve));
        Listener { shared, accepting }
    }

    pub(crate) fn open(&self, listener: L) {
        *locked(&self.shared.listener) = Some(listener);
        self.shared.opened.notify_one();
    }

    /// From here on connecting is refused; connections live on.
    pub(crate) fn close(&self) {
        *locked(&self.shared.listener) = None;
    }

    pub(crate) fn kill_connections(&self) {
        locked(&self.shared.connections).abort_all();
    }
}

impl<L: Accept> Drop for Listener<L> {
    fn drop(&mut self) {
        self.close();
        self.kill_connections();
        self.accepting.abort_all();
    }
}

async fn accept<L, F, S>(shared: Arc<Shared<L>>, serve: F)
where
    L: Accept,
    F: Fn(L::Stream, u64) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    loop {
        let next = std::future::poll_fn(|cx| match &*locked(&shared.listener) {
            Some(listener) => listener.poll_accept(cx),
            None => Poll::Pending,
        });
        let stream = tokio::select! {
            stream = next => stream,
            () = shared.opened.notified() => continue,
        };
        let Ok(stream) = stream else {
            tokio::task::yield_now().await;
            continue;
        };
        let (open, number) = Open::new(&shared.tally);
        let serving = serve(stream, number);
        let mut connections = locked(&shared.connections);
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let _open = open;
            serving.await;
        });
    }
}
