//! The UDP socket of a DNS query.

use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// hickory's runtime, but with [`DnsSocket`].
#[derive(Clone)]
pub(super) struct DnsRuntime(pub TokioRuntimeProvider);

type Opening<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;
type HickorySocket = <TokioRuntimeProvider as RuntimeProvider>::Udp;

impl RuntimeProvider for DnsRuntime {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = DnsSocket;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        local: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        self.0.connect_tcp(server, local, timeout)
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Opening<Self::Udp> {
        let socket = self.0.bind_udp(local, server);
        Box::pin(async { socket.await.map(DnsSocket) })
    }
}

/// Discards responses that announce more than one question, for they answer no query of ours: hickory 0.26 reserves room for
/// as many as are announced before it reads one, 5.8 MB for 65,535.
pub(super) struct DnsSocket(HickorySocket);

impl DnsUdpSocket for DnsSocket {
    type Time = TokioTime;

    fn poll_recv_from(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            let (length, from) = ready!(DnsUdpSocket::poll_recv_from(&self.0, cx, buffer))?;
            if announced_questions(buffer.get(..length).unwrap_or_default()) <= 1 {
                return Poll::Ready(Ok((length, from)));
            }
        }
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, bytes: &[u8], server: SocketAddr) -> Poll<io::Result<usize>> {
        DnsUdpSocket::poll_send_to(&self.0, cx, bytes, server)
    }
}

/// QDCOUNT of the header (RFC 1035, 4.1.1); none in a shorter message.
fn announced_questions(message: &[u8]) -> u16 {
    match *message {
        [_, _, _, _, high, low, ..] => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}
