//! How much a client of the HTTP face may take.

use std::time::Duration;

/// How much one client, and all of them together, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. 64: kubelet, Prometheus and a few people need ten, and 64 buffers are half a megabyte.
    pub connections: usize,
    /// Time for the head of a request. 2 s: the kubelet sends it at once and gives up after 1 to 3 s itself.
    pub head: Duration,
    /// Time for the whole connection, so that nobody holds a place by not reading the answer. 10 s: Prometheus' default
    /// scrape timeout.
    pub lifetime: Duration,
    /// Time after the answer in which what the client still sends is read and dropped: closing with unread bytes resets
    /// the connection, and the client might lose the answer. 1 s: several round trips.
    pub linger: Duration,
}

impl Limits {
    /// What the agent runs with.
    pub const DEFAULT: Self = Self {
        connections: 64,
        head: Duration::from_secs(2),
        lifetime: Duration::from_secs(10),
        linger: Duration::from_secs(1),
    };
}

/// Longest head in bytes; a longer one is answered by 431. The smallest that hyper can be told (it panics below); the
/// kubelet sends 120 bytes, a browser less than 2 KiB.
pub(super) const MAX_HEAD: usize = 8 * 1024;
/// Most header lines; more are answered by 431. A browser behind an ingress sends about 25.
pub(super) const MAX_HEADERS: usize = 32;
/// Most bytes that are read and dropped after an answer, so that lingering costs no CPU to speak of.
pub(super) const MAX_DROPPED: usize = 2 * 1024 * 1024;
/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`, 4096 by default. With the 128
/// that `TcpListener::bind` asks for, a burst of connections overflows the queue, and the kubelet's is lost with the rest.
pub(super) const BACKLOG: u32 = 4096;
/// Wait after an accept that failed for want of something: it would fail again at once.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
