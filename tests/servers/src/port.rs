use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that Linux gives to outgoing connections: while a server is stopped none of those shall take its
/// port, least of all a probe of ours, which would then connect to itself.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// How many ports each process may try before it meets those of the next process id.
const STRIDE: u32 = 64;

/// A loopback address that nobody listens at.
pub fn free_port() -> SocketAddr {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let start = process::id().wrapping_mul(STRIDE);
    for _ in 0..COUNT {
        let candidate = FIRST + start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let Ok(port) = u16::try_from(candidate) else { continue };
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}
