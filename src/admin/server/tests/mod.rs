//! A server on a free port, and clients that send bytes.

mod requests;
mod stalling;

use super::*;
use crate::admin::{fixture, routes};
use crate::config::{Listen, Mode};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Longer than any test takes on a busy machine.
const FOREVER: Duration = Duration::from_secs(25);
const KUBELET: &[u8] =
    b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:8245\r\nUser-Agent: kube-probe/1.34\r\nAccept: */*\r\n\
    Connection: close\r\n\r\n";
const HALF: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: ";

struct Server {
    address: SocketAddr,
    events: Arc<Mutex<Vec<ConnectionEvent>>>,
    tasks: JoinSet<Infallible>,
}

impl Server {
    fn start(router: Router, limits: Limits) -> Self {
        let listener = bind(Listen::At("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.local_addr().unwrap();
        let events = Arc::<Mutex<Vec<_>>>::default();
        let record = Arc::clone(&events);
        let observer: ConnectionObserver = Arc::new(move |event| record.lock().unwrap().push(event));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, router, limits, observer));
        Self { address, events, tasks }
    }

    /// The real pages, everything up.
    fn ready(limits: Limits) -> Self {
        let (app, _) = fixture::app(fixture::after(Mode::Strict, &fixture::ALL_UP));
        Self::start(routes::router(app), limits)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        let (mut reader, mut writer) = stream.split();
        let mut answer = Vec::new();
        let writing = async {
            // The server may respond and close before it has read everything.
            let _ = writer.write_all(bytes).await;
        };
        let (read, ()) = tokio::join!(reader.read_to_end(&mut answer), writing);
        read.unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn status(&self, bytes: &[u8]) -> u16 {
        status(&self.exchange(bytes).await)
    }

    async fn assert_kubelet_is_answered(&self, times: usize) {
        for _ in 0..times {
            assert_eq!(self.status(KUBELET).await, 200);
        }
    }

    fn evicted(&self) -> usize {
        self.events.lock().unwrap().iter().filter(|event| **event == ConnectionEvent::Evicted).count()
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

#[test]
fn only_errors_of_one_connection_are_retried_at_once() {
    // Linux: ECONNABORTED, ECONNRESET, EHOSTUNREACH, then EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL.
    for code in [103, 104, 113] {
        assert!(concerns_one_connection(&io::Error::from_raw_os_error(code)), "{code}");
    }
    for code in [24, 23, 105, 12, 22] {
        assert!(!concerns_one_connection(&io::Error::from_raw_os_error(code)), "{code}");
    }
}
