//! A TCP server whose manner can be changed while it runs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::listener::{Counter, Listener};
use crate::services::Script;
use crate::{Tally, locked};

/// How a server talks.
pub trait Manner: Send + 'static {
    /// Said before anything was heard.
    fn greeting(&self) -> Script;

    /// Takes one whole message off what was heard, and says what to do about it. `begun` is false at first and the
    /// manner's own, for each connection.
    fn answer(&self, heard: &mut BytesMut, begun: &mut bool) -> Option<Script>;
}

/// Plays the script at each connection, then closes it.
impl Manner for Script {
    fn greeting(&self) -> Script {
        self.clone().close()
    }

    fn answer(&self, _: &mut BytesMut, _: &mut bool) -> Option<Script> {
        None
    }
}

/// A server on a free port of 127.0.0.1. It ends with this handle.
#[derive(Debug)]
pub struct Server<M> {
    manner: Arc<Mutex<M>>,
    listening: Listener<TcpListener>,
    addr: SocketAddr,
    counter: Counter,
}

#[allow(clippy::missing_panics_doc, reason = "a machine without a free port is no place for tests")]
impl<M: Manner> Server<M> {
    /// Starts one. Needs a Tokio runtime.
    #[must_use]
    pub fn start(manner: M) -> Self {
        Self::start_on(manner, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts one at another loopback address or a known port, as TUN mode needs it.
    #[must_use]
    pub fn start_on(manner: M, addr: SocketAddr) -> Self {
        let manner = Arc::new(Mutex::new(manner));
        let counter = Counter::new();
        let (speaking, counting) = (Arc::clone(&manner), counter.clone());
        let listening =
            Listener::start(counter.clone(), move |stream, _| serve(Arc::clone(&speaking), stream, counting.clone()));
        let (listener, addr) = bind(addr).unwrap_or_else(|error| panic!("cannot listen at {addr}: {error}"));
        listening.open(listener);
        Server { manner, listening, addr, counter }
    }

    /// Where it listens, also while it does not.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From the next message on, in open connections as well; greetings from the next connection on.
    pub fn behave(&self, manner: M) {
        *locked(&self.manner) = manner;
    }

    /// Ends: connecting is refused, connections are cut.
    pub fn stop(&self) {
        self.listening.close();
        self.listening.kill_connections();
    }

    /// Listens again on the same port.
    pub fn start_again(&self) {
        self.listening.close();
        let (listener, _) = bind(self.addr).unwrap_or_else(|error| panic!("cannot listen again: {error}"));
        self.listening.open(listener);
    }

    /// Cuts all connections.
    pub fn kill_connections(&self) {
        self.listening.kill_connections();
    }

    /// Connections and messages so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.counter.now()
    }

    /// Waits until the tally is as wanted.
    pub async fn until(&self, wanted: impl FnMut(&Tally) -> bool) -> Tally {
        self.counter.until(wanted).await
    }
}

/// Bound without waiting, so that a server is there when its constructor returns.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, addr))
}

async fn serve<M: Manner>(manner: Arc<Mutex<M>>, mut stream: TcpStream, counter: Counter) {
    let _ = stream.set_nodelay(true);
    let (mut heard, mut begun) = (BytesMut::new(), false);
    let greeting = locked(&manner).greeting();
    let mut goes_on = greeting.run(&mut stream, &mut heard).await;
    while goes_on {
        let answer = locked(&manner).answer(&mut heard, &mut begun);
        goes_on = match answer {
            Some(script) => {
                counter.request();
                script.run(&mut stream, &mut heard).await
            }
            None => matches!(stream.read_buf(&mut heard).await, Ok(1..)),
        };
    }
}
