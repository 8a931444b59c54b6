//! The listener that stays answerable: whoever opens connections and stalls loses them, and the kubelet gets its answer.
//!
//! hyper's HTTP/1 server alone waits 30 seconds for a head, reads heads of 400 KiB and takes any number of connections:
//! a thousand clients that send half a head would hold a thousand buffers, and with few file descriptors nobody else
//! would get in. So every connection has a deadline, and when all places are taken the oldest one that has not asked
//! anything yet makes room.

use super::limits::{ACCEPT_PAUSE, Limits, MAX_DROPPED, MAX_HEAD, MAX_HEADERS};
use axum::Router;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// What happened to a client before its request reached the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// It had to make room for another.
    Evicted,
    /// Its head was no HTTP/1 (400) or too large (431).
    Refused(StatusCode),
}

/// Told of every incident; it counts.
pub type Observe = Arc<dyn Fn(ConnectionEvent) + Send + Sync>;

/// Answers requests from `listener` by `router`, one per connection, until it is dropped, which closes every connection.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, observe: Observe) -> Infallible {
    let mut clients = Clients { tasks: JoinSet::new(), open: VecDeque::new(), limits, observe };
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = clients.tasks.join_next() => {
                clients.forget_finished();
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("accepting connections again");
                }
                clients.make_room().await;
                clients.admit(stream, router.clone());
            }
            Err(error) if is_the_connections(&error) => tracing::debug!(%error, "a connection was lost before accept"),
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot accept connections, trying on");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Did only this connection fail, so that the next may work at once? Linux hands its network errors out of accept.
fn is_the_connections(error: &io::Error) -> bool {
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

struct Clients {
    tasks: JoinSet<()>,
    /// In the order of arrival.
    open: VecDeque<Client>,
    limits: Limits,
    observe: Observe,
}

struct Client {
    /// Has its request arrived, and is its answer on the way?
    answering: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Clients {
    fn forget_finished(&mut self) {
        self.open.retain(|client| !client.task.is_finished());
    }

    /// Waits for evicted tasks to be gone, so that there is never more than one socket beyond the limit, and so that the
    /// tasks of new clients get their turn to read before they can become the oldest.
    async fn make_room(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.forget_finished();
        while self.tasks.len() >= self.limits.connections.max(1) {
            let stalling = self.open.iter().position(|client| !client.answering.load(Ordering::Relaxed));
            if let Some(client) = self.open.remove(stalling.unwrap_or(0)) {
                client.task.abort();
                (self.observe)(ConnectionEvent::Evicted);
            }
            self.tasks.join_next().await;
            self.forget_finished();
        }
    }

    fn admit(&mut self, stream: TcpStream, router: Router) {
        let answering = Arc::new(AtomicBool::new(false));
        let (limits, observe) = (self.limits, Arc::clone(&self.observe));
        let conversation = serve_connection(stream, router, limits, Arc::clone(&answering), observe);
        let task = self.tasks.spawn(async move {
            // Either way the connection is closed; a client that ran out of time has learnt nothing or does not read.
            let _ = tokio::time::timeout(limits.lifetime, conversation).await;
        });
        self.open.push_back(Client { answering, task });
    }
}

/// One request, one answer.
async fn serve_connection(
    mut stream: TcpStream,
    router: Router,
    limits: Limits,
    answering: Arc<AtomicBool>,
    observe: Observe,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        answering.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(&mut stream), service)
        .await;
    answering.store(false, Ordering::Relaxed);
    match served {
        Ok(()) => {}
        Err(error) if error.is_parse_too_large() => {
            observe(ConnectionEvent::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        Err(error) if error.is_parse() => observe(ConnectionEvent::Refused(StatusCode::BAD_REQUEST)),
        // Nobody waits for an answer: the head never came, or the client is gone.
        Err(_) => return,
    }
    let _ = tokio::time::timeout(limits.linger, drop_rest(&stream)).await;
}

async fn drop_rest(stream: &TcpStream) {
    let mut left = MAX_DROPPED;
    while left > 0 && stream.readable().await.is_ok() {
        tokio::task::consume_budget().await;
        // Declared here, so that it is not part of every connection's memory.
        let mut scratch = [0; 4096];
        match stream.try_read(&mut scratch) {
            Ok(0) => return,
            Ok(length) => left = left.saturating_sub(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{bind, fixture, routes};
    use super::*;
    use crate::config::{Listen, Mode};
    use axum::routing::get;
    use proptest::prelude::*;
    use std::net::SocketAddr;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    /// Longer than any test takes on a busy machine, shorter than hyper's own 30 s for a head.
    const FOREVER: Duration = Duration::from_secs(25);
    const KUBELET: &[u8] =
        b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:8245\r\nUser-Agent: kube-probe/1.34\r\nAccept: */*\r\n\
        Connection: close\r\n\r\n";
    const HALF: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: ";

    struct Server {
        address: SocketAddr,
        incidents: Arc<Mutex<Vec<ConnectionEvent>>>,
        tasks: JoinSet<Infallible>,
    }

    impl Server {
        fn start(router: Router, limits: Limits) -> Self {
            let listener = bind(Listen::At("127.0.0.1:0".parse().unwrap())).unwrap();
            let address = listener.local_addr().unwrap();
            let incidents = Arc::<Mutex<Vec<_>>>::default();
            let record = Arc::clone(&incidents);
            let observe: Observe = Arc::new(move |incident| record.lock().unwrap().push(incident));
            let mut tasks = JoinSet::new();
            tasks.spawn(serve(listener, router, limits, observe));
            Self { address, incidents, tasks }
        }

        /// The real pages, everything up.
        fn ready(limits: Limits) -> Self {
            let (app, _) = fixture::app(fixture::after(Mode::Strict, &fixture::ALL_UP));
            Self::start(routes::router(app), limits)
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// Everything that the server says to these bytes, up to its end of the connection.
        async fn ask(&self, bytes: &[u8]) -> String {
            let mut stream = self.connect().await;
            let (mut reader, mut writer) = stream.split();
            let mut answer = Vec::new();
            let writing = async {
                // The server may close first; what it said counts.
                let _ = writer.write_all(bytes).await;
            };
            let (read, ()) = tokio::join!(reader.read_to_end(&mut answer), writing);
            read.unwrap();
            String::from_utf8(answer).unwrap()
        }

        async fn status(&self, bytes: &[u8]) -> u16 {
            status(&self.ask(bytes).await)
        }

        async fn assert_kubelet_is_answered(&self, times: usize) {
            for _ in 0..times {
                assert_eq!(self.status(KUBELET).await, 200);
            }
        }

        fn evicted(&self) -> usize {
            self.incidents.lock().unwrap().iter().filter(|incident| **incident == ConnectionEvent::Evicted).count()
        }
    }

    fn status(answer: &str) -> u16 {
        let code = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"))
    }

    /// 1,000, or what half of this process' file descriptors allow.
    fn crowd() -> usize {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let soft = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
        (soft / 2).min(1000)
    }

    async fn in_time(test: impl Future<Output = ()>) {
        tokio::time::timeout(FOREVER, test).await.unwrap();
    }

    #[tokio::test]
    async fn the_kubelet_is_answered_while_a_thousand_half_heads_sit_there() {
        in_time(async {
            let server = Server::ready(Limits { head: FOREVER, lifetime: FOREVER, ..Limits::DEFAULT });
            let mut crowd_of_halves = Vec::new();
            for _ in 0..crowd() {
                let mut stream = server.connect().await;
                stream.write_all(HALF).await.unwrap();
                crowd_of_halves.push(stream);
            }
            server.assert_kubelet_is_answered(50).await;
            assert!(server.evicted() >= crowd() - Limits::DEFAULT.connections, "{}", server.evicted());
        })
        .await;
    }

    #[tokio::test]
    async fn the_kubelet_is_answered_while_clients_drip_and_come_again() {
        in_time(async {
            let server = Server::ready(Limits::DEFAULT);
            let mut drippers = JoinSet::new();
            for _ in 0..100 {
                let address = server.address;
                drippers.spawn(async move {
                    loop {
                        let mut stream = TcpStream::connect(address).await.unwrap();
                        for byte in HALF.iter().cycle() {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            if stream.write_all(&[*byte]).await.is_err() {
                                break;
                            }
                        }
                    }
                });
            }
            for _ in 0..50 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                server.assert_kubelet_is_answered(1).await;
            }
            assert!(server.evicted() > 0);
        })
        .await;
    }

    #[tokio::test]
    async fn who_is_being_answered_is_spared_and_the_oldest_staller_goes() {
        in_time(async {
            let answer = Arc::new(Notify::new());
            let wait = Arc::clone(&answer);
            let router = Router::new()
                .route("/slow", get(|| async move { wait.notified().await }))
                .route("/healthz", get(|| async { "ok" }));
            let server = Server::start(router, Limits { connections: 3, ..Limits::DEFAULT });
            let mut asking = server.connect().await;
            asking.write_all(b"GET /slow HTTP/1.1\r\n\r\n").await.unwrap();
            let mut oldest = server.connect().await;
            oldest.write_all(HALF).await.unwrap();
            let mut younger = server.connect().await;
            younger.write_all(HALF).await.unwrap();
            server.assert_kubelet_is_answered(1).await;
            let mut nothing = [0];
            assert!(matches!(oldest.read(&mut nothing).await, Ok(0) | Err(_)));
            assert_eq!(server.evicted(), 1);
            younger.write_all(b"x\r\n\r\n").await.unwrap();
            answer.notify_one();
            for mut spared in [asking, younger] {
                let mut text = String::new();
                spared.read_to_string(&mut text).await.unwrap();
                assert_eq!(status(&text), 200);
            }
        })
        .await;
    }

    const HUGE: usize = 64 * 1024 * 1024;

    /// A server with two places, both taken by clients that do not read their answers.
    async fn unread(lifetime: Duration) -> (Server, Vec<TcpStream>) {
        let router =
            Router::new().route("/huge", get(|| async { vec![b'x'; HUGE] })).route("/healthz", get(|| async { "ok" }));
        let server = Server::start(router, Limits { connections: 2, lifetime, ..Limits::DEFAULT });
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut stream = server.connect().await;
            stream.write_all(b"GET /huge HTTP/1.1\r\n\r\n").await.unwrap();
            stream.readable().await.unwrap();
            clients.push(stream);
        }
        (server, clients)
    }

    #[tokio::test]
    async fn where_everybody_is_being_answered_the_oldest_goes() {
        in_time(async {
            let (server, _clients) = unread(FOREVER).await;
            server.assert_kubelet_is_answered(1).await;
            assert_eq!(server.evicted(), 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_never_reads_loses_its_place() {
        in_time(async {
            let lifetime = Duration::from_millis(300);
            let (_server, clients) = unread(lifetime).await;
            tokio::time::sleep(lifetime * 2).await;
            for mut stream in clients {
                let mut got = Vec::new();
                let _ = stream.read_to_end(&mut got).await;
                assert!(got.len() < HUGE, "{}", got.len());
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_silent_client_is_sent_away_after_the_time_for_a_head() {
        in_time(async {
            let limits = Limits { head: Duration::from_millis(100), lifetime: FOREVER * 2, ..Limits::DEFAULT };
            let server = Server::ready(limits);
            assert_eq!(server.ask(b"").await, "");
            assert_eq!(server.ask(HALF).await, "");
        })
        .await;
    }

    #[tokio::test]
    async fn other_protocols_get_an_error_or_nothing() {
        in_time(async {
            let server = Server::ready(Limits::DEFAULT);
            let tls: Vec<u8> = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 501]].concat();
            assert_eq!(server.status(&tls).await, 400);
            assert_eq!(server.status(b"SSH-2.0-OpenSSH_9.6\r\n").await, 400);
            assert_eq!(server.status(b"GET /healthz HTTP/3.0\r\n\r\n").await, 400);
            assert_eq!(server.status(b"\0\0\0\0\0\0\0\0").await, 400);
            assert_eq!(server.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await, "");
            server.assert_kubelet_is_answered(1).await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused_and_the_client_can_read_why() {
        in_time(async {
            let server = Server::ready(Limits::DEFAULT);
            let header = format!("GET /healthz HTTP/1.1\r\nX-Filler: {}\r\n\r\n", "x".repeat(1024 * 1024));
            let headers = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
            let uri = format!("GET /healthz?{} HTTP/1.1\r\n\r\n", "x".repeat(64 * 1024));
            let short = |n| format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(n));
            for head in [&header, &headers, &uri, &short(MAX_HEADERS + 1)] {
                assert_eq!(server.status(head.as_bytes()).await, 431, "{head:.40}");
            }
            assert_eq!(server.status(short(MAX_HEADERS).as_bytes()).await, 200);
            let too_large = ConnectionEvent::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            assert_eq!(*server.incidents.lock().unwrap(), [too_large; 4]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_reads_only_after_it_has_written_everything_learns_why() {
        in_time(async {
            let server = Server::ready(Limits { linger: FOREVER, ..Limits::DEFAULT });
            let mut stream = server.connect().await;
            for _ in 0..32 {
                stream.write_all(&[b'x'; 32 * 1024]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(status(&answer), 431);
        })
        .await;
    }

    #[tokio::test]
    async fn a_body_is_refused_unread() {
        in_time(async {
            let server = Server::ready(Limits::DEFAULT);
            for head in [
                "GET /healthz HTTP/1.1\r\nContent-Length: 10\r\n\r\n",
                "GET /healthz HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789",
                "POST /metrics HTTP/1.1\r\nContent-Length: 1000000000000\r\n\r\nx",
                "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
                "GET /nowhere HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            ] {
                let answer = server.ask(head.as_bytes()).await;
                assert_eq!(status(&answer), 413, "{head}");
                assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
            }
            let endless = "5\r\nhello\r\n".repeat(50_000);
            let chunked = format!("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{endless}");
            assert_eq!(server.status(chunked.as_bytes()).await, 413);
            assert_eq!(server.status(b"GET /livez HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await, 200);
        })
        .await;
    }

    #[tokio::test]
    async fn an_ambiguous_length_is_refused() {
        in_time(async {
            let server = Server::ready(Limits::DEFAULT);
            for (headers, expected) in [
                ("Content-Length: 5\r\nContent-Length: 6", 400),
                ("Content-Length: 5, 6", 400),
                ("Content-Length: +5", 400),
                ("Content-Length: 99999999999999999999", 400),
                ("Transfer-Encoding: gzip", 400),
                ("X-Folded: one\r\n two", 400),
                ("X-Name : space", 400),
                // hyper takes the transfer encoding and drops the length, as RFC 9112 allows; the body is refused.
                ("Content-Length: 5\r\nTransfer-Encoding: chunked", 413),
                ("Transfer-Encoding: chunked\r\nContent-Length: 5", 413),
                ("Content-Length: 5\r\nContent-Length: 5", 413),
            ] {
                let request = format!("GET /healthz HTTP/1.1\r\n{headers}\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
                let answer = server.ask(request.as_bytes()).await;
                assert_eq!(status(&answer), expected, "{headers:?}");
                assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn pipelined_requests_get_one_answer_and_the_end() {
        in_time(async {
            let server = Server::ready(Limits::DEFAULT);
            let answer = server.ask(&b"GET /livez HTTP/1.1\r\n\r\n".repeat(10_000)).await;
            assert_eq!(status(&answer), 200);
            assert_eq!(answer.matches("HTTP/1.1").count(), 1);
            let kept_alive = b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
            assert!(server.ask(kept_alive).await.contains("\r\nconnection: close\r\n"));
        })
        .await;
    }

    #[tokio::test]
    async fn upgrades_are_ignored_and_head_has_no_body() {
        in_time(async {
            let server = Server::ready(Limits::DEFAULT);
            let upgrade = b"GET /livez HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            assert_eq!(server.status(upgrade).await, 200);
            assert_eq!(server.status(b"CONNECT 10.0.0.1:22 HTTP/1.1\r\n\r\n").await, 405);
            let head = server.ask(b"HEAD /livez HTTP/1.1\r\n\r\n").await;
            assert!(head.contains("\r\ncontent-length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_ends_its_side_after_asking_is_answered() {
        in_time(async {
            let server = Server::ready(Limits::DEFAULT);
            let mut stream = server.connect().await;
            stream.write_all(KUBELET).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(status(&answer), 200);
        })
        .await;
    }

    #[tokio::test]
    async fn dropping_the_server_closes_every_connection() {
        in_time(async {
            let mut server = Server::ready(Limits { head: FOREVER, lifetime: FOREVER, ..Limits::DEFAULT });
            let mut stream = server.connect().await;
            stream.write_all(HALF).await.unwrap();
            server.assert_kubelet_is_answered(1).await;
            server.tasks.shutdown().await;
            assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
            assert!(TcpStream::connect(server.address).await.is_err());
        })
        .await;
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn junk_gets_a_4xx_or_nothing(junk in prop::collection::vec(any::<u8>(), 1..3000), end in "(\r\n\r\n)?") {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let bytes = [&junk[..], end.as_bytes()].concat();
            let answer = runtime.block_on(async {
                let server = Server::ready(Limits { head: Duration::from_millis(50), ..Limits::DEFAULT });
                let answer = tokio::time::timeout(FOREVER, server.ask(&bytes)).await.unwrap();
                server.assert_kubelet_is_answered(1).await;
                answer
            });
            prop_assert!(answer.is_empty() || (400..500).contains(&status(&answer)), "{}", answer);
        }
    }

    #[test]
    fn only_errors_of_one_connection_are_retried_at_once() {
        // Linux: ECONNABORTED, ECONNRESET, EHOSTUNREACH, then EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL.
        for code in [103, 104, 113] {
            assert!(is_the_connections(&io::Error::from_raw_os_error(code)), "{code}");
        }
        for code in [24, 23, 105, 12, 22] {
            assert!(!is_the_connections(&io::Error::from_raw_os_error(code)), "{code}");
        }
    }
}
