//! How much a client may take.

use std::time::Duration;

/// How much one client, and all of them together, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. 64: kubelet, Prometheus and a few people need ten, and 64 buffers are half a megabyte.
    pub connections: usize,
    /// Time for a whole connection: request, response, and until the client closes. 10 s: Prometheus' default scrape
    /// timeout. The kubelet gives up after 1 to 3 s.
    pub lifetime: Duration,
    /// Bytes of the bodies that are being sent, together. 4 MiB: a page of 64 targets has half a megabyte, and the chart
    /// gives the container 32 MiB.
    pub bodies: u64,
}

impl Limits {
    /// What the agent runs with.
    pub const DEFAULT: Self = Self { connections: 64, lifetime: Duration::from_secs(10), bodies: 4 << 20 };
}

/// A client's request may come so much later than its connection before it can be evicted: a machine that is busy runs others
/// between the two. 64 connections that stall then leave room for 2,560 new ones a second.
pub(super) const HEAD_TIME: Duration = Duration::from_millis(25);
/// Longest head in bytes. 8 KiB: hyper panics below; the kubelet sends 120 bytes, a browser less than 2 KiB.
pub(super) const MAX_HEAD: usize = 8 * 1024;
/// Most bytes that are read and discarded after a response, to bound their CPU time.
pub(super) const MAX_DISCARDED: usize = 2 * 1024 * 1024;
/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`, 4096 by default. With the 128
/// that `TcpListener::bind` asks for, a burst overflows the queue, and the kubelet's connection is lost with the rest.
pub(super) const BACKLOG: u32 = 4096;
/// Bytes that the kernel keeps of a response for a client that does not read; it takes the double. Left to itself, it takes
/// megabytes, which count as the container's memory. 64 KiB: more than the metrics of four targets.
pub(super) const SEND_BUFFER: u32 = 64 * 1024;
/// Wait after an accept that failed for lack of file descriptors or memory.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
