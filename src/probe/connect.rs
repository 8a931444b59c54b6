//! The connect stage: a stream to the target's address, over the target's `via`.

use super::resolve::Resolved;
use super::socks5::{self, Bound};
use crate::config::{Target, Via};
use crate::network_mode::NetworkMode;
use crate::reason::{Failure, Reason};
use crate::shortage::is_own_shortage;
use crate::tailscale::Dialer;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection to a target.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to a target. It waits as long as the target is silent: the deadline, `target.timeout` from the probe's start,
/// is the caller's.
pub async fn connect(
    target: &Target,
    resolved: &Resolved,
    mode: NetworkMode,
    dialer: &Dialer,
) -> Result<Box<dyn Stream>, Failure> {
    let address = SocketAddr::new(resolved.peer.address, target.port);
    Ok(match target.via.effective(mode) {
        Via::Auto | Via::LocalApi => Box::new(dialer.dial(address).await?),
        Via::Tcp => Box::new(TcpStream::connect(address).await.map_err(|error| failure(address, &error))?),
        Via::Socks5(proxy) => match by_proxy(proxy, target, &resolved.own_addresses).await {
            Ok(stream) => Box::new(stream),
            Err(failure) => return Err(with_cause(failure, dialer, address).await),
        },
    })
}

/// The last quarter of the probe's time is for asking tailscaled why the proxy says nothing.
async fn by_proxy(proxy: SocketAddr, target: &Target, own: &[IpAddr]) -> Result<TcpStream, Failure> {
    let limit = target.timeout * 3 / 4;
    let connecting = socks5::connect(proxy, &target.host, target.port, target.timeout);
    let (stream, bound) = timeout(limit, connecting).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        Err(Failure::new(
            Reason::ConnectSocksFailed,
            format_args!("no reply to CONNECT {} within {limit}", target.host),
        ))
    })?;
    match bound {
        Bound::Address(address) if own.contains(&address) => Ok(stream),
        other @ (Bound::Address(_) | Bound::Name(_)) => {
            let cause = format_args!("the proxy's connection to {} begins at {other}, not at {own:?}", target.host);
            Err(Failure::new(Reason::ConnectSocksElsewhere, cause))
        }
    }
}

/// tailscaled's SOCKS5 proxy does not report why a connection failed. A dial by LocalAPI does.
async fn with_cause(failure: Failure, dialer: &Dialer, target: SocketAddr) -> Failure {
    if failure.reason != Reason::ConnectSocksFailed {
        return failure;
    }
    match dialer.dial(target).await {
        Ok(_) => {
            Failure::new(failure.reason, format_args!("{}; tailscaled itself connects to {target}", failure.cause))
        }
        Err(dial) if dial.reason.is_node_fault() => failure,
        Err(dial) => Failure::new(dial.reason, format_args!("{}; tailscaled: {}", failure.cause, dial.cause)),
    }
}

/// Could a connection not even be tried, because telltail or the pod has run out of something?
pub(super) fn is_not_tried(target: SocketAddr, error: &io::Error) -> bool {
    is_own_shortage(error) || error.kind() == ErrorKind::AddrNotAvailable && has_source_address(target)
}

/// The kernel words two things alike: the local ports are used up, and the pod has no address of this family, which is a
/// fault of its network. A UDP socket tells them apart; it sends nothing.
fn has_source_address(target: SocketAddr) -> bool {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let connected = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(target));
    connected.map_or_else(|error| error.kind() != ErrorKind::AddrNotAvailable, |()| true)
}

fn failure(target: SocketAddr, error: &io::Error) -> Failure {
    let kind = error.kind();
    let reason = if is_not_tried(target, error) {
        Reason::NodeOutOfResources
    } else if matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) {
        Reason::ConnectRefused
    } else if kind == ErrorKind::TimedOut {
        Reason::ConnectTimeout
    } else if matches!(kind, ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) {
        Reason::ConnectUnreachable
    } else {
        Reason::ConnectFailed
    };
    Failure::new(reason, format_args!("{target}: {error}"))
}
