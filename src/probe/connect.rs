//! The connect stage: a stream to the target's address, over the target's `via`.

use super::socks5;
use crate::config::Via;
use crate::network_mode::NetworkMode;
use crate::reason::{Failure, Reason};
use crate::tailscale::Dialer;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection to a target.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to `target`. It waits as long as the target is silent: the deadline, `limit` from the probe's start, is the
/// caller's.
pub async fn connect(
    via: Via,
    mode: NetworkMode,
    dialer: &Dialer,
    target: SocketAddr,
    limit: Duration,
) -> Result<Box<dyn Stream>, Failure> {
    Ok(match via.effective(mode) {
        Via::Auto | Via::LocalApi => Box::new(dialer.dial(target).await?),
        Via::Tcp => Box::new(TcpStream::connect(target).await.map_err(|error| failure(target, &error))?),
        Via::Socks5(proxy) => match socks5::connect(proxy, target, limit).await {
            Ok(stream) => Box::new(stream),
            Err(failure) => return Err(with_cause(failure, dialer, target).await),
        },
    })
}

/// tailscaled's SOCKS5 proxy does not report why a connection failed. A dial by LocalAPI does.
async fn with_cause(failure: Failure, dialer: &Dialer, target: SocketAddr) -> Failure {
    if failure.reason != Reason::ConnectSocksFailed {
        return failure;
    }
    match dialer.dial(target).await {
        Ok(_) => Failure::new(failure.reason, format_args!("{}; tailscaled itself connects", failure.cause)),
        Err(dial) if dial.reason.is_node_fault() => failure,
        Err(dial) => Failure::new(dial.reason, format_args!("{}; tailscaled: {}", failure.cause, dial.cause)),
    }
}

fn failure(target: SocketAddr, error: &std::io::Error) -> Failure {
    let kind = error.kind();
    let reason = if matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) {
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
