//! A SOCKS5 proxy such as tailscaled's: no authentication, CONNECT only.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::listener::{Counter, Listener};
use crate::services::server::bind;
use crate::services::socks5_message::{Socks5Conduct, Socks5Request, reply, request};
use crate::{Tally, locked};

/// The local address of a connection over the tailnet: a node's own ([`crate::SimState::ips`]).
const OVER_THE_TAILNET: &str = "100.64.0.1";

/// A proxy on a free port of 127.0.0.1. It ends with this handle.
#[derive(Debug)]
pub struct Socks5 {
    shared: Arc<Shared>,
    listening: Listener<TcpListener>,
    addr: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    conduct: Mutex<Socks5Conduct>,
    routes: Mutex<BTreeMap<(String, u16), SocketAddr>>,
    requests: Mutex<Vec<Socks5Request>>,
    counter: Counter,
}

#[allow(clippy::missing_panics_doc, reason = "a machine without a free port is no place for tests")]
impl Socks5 {
    /// Starts one without routes. Needs a Tokio runtime.
    #[must_use]
    pub fn start() -> Self {
        let counter = Counter::new();
        let shared = Arc::new(Shared {
            conduct: Mutex::new(Socks5Conduct::Work),
            routes: Mutex::default(),
            requests: Mutex::default(),
            counter: counter.clone(),
        });
        let serving = Arc::clone(&shared);
        let listening = Listener::start(counter, move |stream, _| {
            let shared = Arc::clone(&serving);
            async move { drop(serve(&shared, stream).await) }
        });
        let (listener, addr) =
            bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap_or_else(|error| panic!("cannot listen: {error}"));
        listening.open(listener);
        Socks5 { shared, listening, addr }
    }

    /// Where it listens, also while it does not.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connects who asks for this host, name or address, to `to`.
    pub fn route(&self, host: &str, port: u16, to: SocketAddr) {
        locked(&self.shared.routes).insert((host.to_owned(), port), to);
    }

    /// From the next step of a client on.
    pub fn behave(&self, conduct: Socks5Conduct) {
        *locked(&self.shared.conduct) = conduct;
    }

    /// Every CONNECT so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Socks5Request> {
        locked(&self.shared.requests).clone()
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

    /// Connections and requests so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.shared.counter.now()
    }

    /// Waits until the tally is as wanted.
    pub async fn until(&self, wanted: impl FnMut(&Tally) -> bool) -> Tally {
        self.shared.counter.until(wanted).await
    }
}

async fn serve(shared: &Shared, mut client: TcpStream) -> std::io::Result<()> {
    let _ = client.set_nodelay(true);
    let count = [client.read_u8().await?, client.read_u8().await?][1];
    client.read_exact(&mut vec![0; usize::from(count)]).await?;
    let conduct = locked(&shared.conduct).clone();
    match conduct {
        Socks5Conduct::Silent => return until_gone(client).await,
        Socks5Conduct::Close => return Ok(()),
        Socks5Conduct::Method(method) => client.write_all(&[5, method]).await?,
        Socks5Conduct::Garbage(bytes) => {
            client.write_all(&bytes).await?;
            return until_gone(client).await;
        }
        Socks5Conduct::Work
        | Socks5Conduct::Reply(_)
        | Socks5Conduct::GarbageReply(_)
        | Socks5Conduct::SilentAtConnect
        | Socks5Conduct::CloseAtConnect
        | Socks5Conduct::Bound(_) => client.write_all(&[5, 0]).await?,
    }
    let (command, request) = request(&mut client).await?;
    let route = locked(&shared.routes).get(&(request.host.clone(), request.port)).copied();
    locked(&shared.requests).push(request);
    shared.counter.request();
    let conduct = locked(&shared.conduct).clone();
    match conduct {
        Socks5Conduct::Reply(code) => client.write_all(&reply(code, "0.0.0.0")).await,
        Socks5Conduct::GarbageReply(bytes) => {
            client.write_all(&bytes).await?;
            until_gone(client).await
        }
        Socks5Conduct::Silent | Socks5Conduct::SilentAtConnect => until_gone(client).await,
        Socks5Conduct::Close | Socks5Conduct::CloseAtConnect => Ok(()),
        Socks5Conduct::Work | Socks5Conduct::Method(_) | Socks5Conduct::Garbage(_) => {
            forward(client, command, route, OVER_THE_TAILNET).await
        }
        Socks5Conduct::Bound(bound) => forward(client, command, route, bound).await,
    }
}

/// Reply 7 for what is not CONNECT, 1 for every failure, as tailscaled has it.
async fn forward(mut client: TcpStream, command: u8, to: Option<SocketAddr>, bound: &str) -> std::io::Result<()> {
    if command != 1 {
        return client.write_all(&reply(7, "0.0.0.0")).await;
    }
    let Some(to) = to else {
        return client.write_all(&reply(1, "0.0.0.0")).await;
    };
    let Ok(mut far) = TcpStream::connect(to).await else {
        return client.write_all(&reply(1, "0.0.0.0")).await;
    };
    client.write_all(&reply(0, bound)).await?;
    tokio::io::copy_bidirectional(&mut client, &mut far).await.map(drop)
}

async fn until_gone(mut client: TcpStream) -> std::io::Result<()> {
    tokio::io::copy(&mut client, &mut tokio::io::sink()).await.map(drop)
}
