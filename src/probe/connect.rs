//! The connect stage: a stream to the target's address, by the way that the target names.

use super::socks5;
use crate::config::Via;
use crate::reason::{Failure, Reason};
use crate::tailscale::Dialer;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection to a target, whatever it is made of.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to `target`. It waits as long as the far side is silent: the deadline, `limit` from the probe's start, is the
/// caller's.
pub async fn connect(
    via: Via,
    tun: bool,
    dialer: &Dialer,
    target: SocketAddr,
    limit: Duration,
) -> Result<Box<dyn Stream>, Failure> {
    Ok(match via.in_mode(tun) {
        Via::Auto | Via::LocalApi => Box::new(dialer.dial(target).await?),
        Via::Tcp => Box::new(TcpStream::connect(target).await.map_err(|error| failure(target, &error))?),
        Via::Socks5(proxy) => match socks5::connect(proxy, target, limit).await {
            Ok(stream) => Box::new(stream),
            Err(failure) => return Err(explained(failure, dialer, target).await),
        },
    })
}

/// A SOCKS5 proxy says that it failed, and tailscaled's does not say why. tailscaled itself, asked for the same, does.
async fn explained(failure: Failure, dialer: &Dialer, target: SocketAddr) -> Failure {
    if failure.reason != Reason::ConnectSocksFailed {
        return failure;
    }
    match dialer.dial(target).await {
        Ok(_) => Failure::new(failure.reason, format_args!("{}; tailscaled itself connects", failure.cause)),
        Err(told) if told.reason.is_node_fault() => failure,
        Err(told) => Failure::new(told.reason, format_args!("{}; tailscaled: {}", failure.cause, told.cause)),
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
