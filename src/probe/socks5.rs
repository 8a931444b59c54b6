//! A connection through a SOCKS5 proxy, as a worker makes it beside a tailscaled in userspace mode.
//!
//! tailscaled answers every failed dial with code 1, whatever went wrong, and gives up after five seconds of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::reason::{Failure, Reason};

/// How long the proxy may take to be reached and to greet. It runs in this pod: a mute one must not be taken for a
/// silent target, which is what the probe's own deadline would say.
const GREETING: Duration = Duration::from_secs(1);

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const NO_PASSWORD: u8 = 0;

/// Connects to `target` through `proxy`. The deadline for the target is the caller's.
pub async fn connect(proxy: SocketAddr, target: SocketAddr) -> Result<TcpStream, Failure> {
    let mut stream = timeout(GREETING, async {
        let mut stream = TcpStream::connect(proxy)
            .await
            .map_err(|error| Failure::new(Reason::ConnectSocksUnreachable, format_args!("{proxy}: {error}")))?;
        greet(&mut stream).await?;
        Ok(stream)
    })
    .await
    .unwrap_or_else(|_| {
        Err(Failure::new(Reason::ConnectSocksUnreachable, format_args!("{proxy}: no greeting in time")))
    })?;
    request(&mut stream, target).await?;
    Ok(stream)
}

/// Offers the one method we have.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<(), Failure> {
    let invalid = |cause: &str| Failure::new(Reason::ConnectSocksInvalid, cause);
    let mut answer = [0; 2];
    exchange(stream, &[VERSION, 1, NO_PASSWORD], &mut answer)
        .await
        .map_err(|error| Failure::new(Reason::ConnectSocksInvalid, format_args!("greeting: {error}")))?;
    match answer {
        [VERSION, NO_PASSWORD] => Ok(()),
        [VERSION, 2 | 0xff] => Err(invalid("the proxy wants a password")),
        [VERSION, method] => Err(Failure::new(
            Reason::ConnectSocksInvalid,
            format_args!("the proxy chose method {method}, which was not offered"),
        )),
        other => Err(Failure::new(
            Reason::ConnectSocksInvalid,
            format_args!("the greeting was answered with \"{}\"", other.escape_ascii()),
        )),
    }
}

/// Asks for the target. Reads no byte more than the reply has: what follows is the target's.
async fn request<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, target: SocketAddr) -> Result<(), Failure> {
    let mut request = vec![VERSION, CONNECT, 0];
    match target.ip() {
        IpAddr::V4(ip) => {
            request.push(1);
            request.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            request.push(4);
            request.extend_from_slice(&ip.octets());
        }
    }
    request.extend_from_slice(&target.port().to_be_bytes());

    let cut = |error: io::Error| Failure::new(Reason::ConnectSocksFailed, format_args!("reply to CONNECT: {error}"));
    let mut reply = [0; 2];
    exchange(stream, &request, &mut reply).await.map_err(cut)?;
    judge(reply)?;

    // The address the proxy connected from; its length decides where the target's bytes begin.
    let mut kind = [0; 2];
    stream.read_exact(&mut kind).await.map_err(cut)?;
    let length = match kind {
        [_, 1] => 4,
        [_, 3] => usize::from(stream.read_u8().await.map_err(cut)?),
        [_, 4] => 16,
        [_, other] => {
            let cause = format_args!("the reply has an address of the unknown kind {other}");
            return Err(Failure::new(Reason::ConnectSocksInvalid, cause));
        }
    };
    let mut rest = [0; u8::MAX as usize + 2];
    stream.read_exact(rest.get_mut(..length + 2).unwrap_or_default()).await.map_err(cut)?;
    Ok(())
}

/// Sends a request and reads an answer of known length.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
    answer: &mut [u8],
) -> io::Result<()> {
    stream.write_all(request).await?;
    stream.flush().await?;
    match stream.read_exact(answer).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(io::Error::new(error.kind(), "the proxy closed the connection"))
        }
        Err(error) => Err(error),
    }
}

/// The first two bytes of the reply.
fn judge(reply: [u8; 2]) -> Result<(), Failure> {
    let (reason, words) = match reply {
        [VERSION, 0] => return Ok(()),
        [VERSION, 1] => (Reason::ConnectSocksFailed, "general failure"),
        [VERSION, 2] => (Reason::ConnectSocksFailed, "forbidden by the proxy's rules"),
        [VERSION, 3] => (Reason::ConnectUnreachable, "network unreachable"),
        [VERSION, 4] => (Reason::ConnectUnreachable, "host unreachable"),
        [VERSION, 5] => (Reason::ConnectRefused, "connection refused"),
        [VERSION, 6] => (Reason::ConnectSocksFailed, "TTL expired"),
        [VERSION, 7] => (Reason::ConnectSocksFailed, "command not supported"),
        [VERSION, 8] => (Reason::ConnectSocksFailed, "address type not supported"),
        [VERSION, _] => (Reason::ConnectSocksFailed, "unknown code"),
        _ => (Reason::ConnectSocksInvalid, "not a SOCKS5 reply"),
    };
    let [_, code] = reply;
    Err(Failure::new(reason, format_args!("the proxy says: {words} (code {code})")))
}
