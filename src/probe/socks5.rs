//! A connection through a SOCKS5 proxy, as workers beside a tailscaled in userspace mode make it.
//!
//! tailscaled answers every failed dial with code 1, whatever the cause, and gives up after five seconds.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Host;
use crate::probe::connect::is_not_tried;
use crate::reason::{Failure, Reason};
use crate::shortage::reason_of;

/// Longest time for connecting to the proxy and negotiating the method, but at most half of the probe's timeout. Otherwise
/// a silent proxy in this pod would be reported as a silent target.
const NEGOTIATION: Duration = Duration::from_secs(1);

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const NO_PASSWORD: u8 = 0;
/// Kinds of addresses.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Where a proxy says that its connection begins (BND.ADDR, RFC 1928 section 6). tailscaled's proxy tells its local
/// address: one of the node's own over the tailnet, another where its fallback resolver led outside. It never tells the
/// address that it dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// An address.
    Address(IpAddr),
    /// A name, escaped.
    Name(String),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => write!(f, "\"{name}\""),
        }
    }
}

/// Connects to a target through `proxy`, which resolves a name itself, as it does for workers. The deadline, `limit` from
/// the probe's start, is the caller's.
pub async fn connect(
    proxy: SocketAddr,
    host: &Host,
    port: u16,
    limit: Duration,
) -> Result<(TcpStream, Bound), Failure> {
    let mut stream = timeout(NEGOTIATION.min(limit / 2), async {
        let mut stream = TcpStream::connect(proxy).await.map_err(|error| unconnected(proxy, &error))?;
        negotiate(&mut stream).await?;
        Ok(stream)
    })
    .await
    .unwrap_or_else(|_| {
        Err(Failure::new(Reason::ConnectSocksUnreachable, format_args!("{proxy}: no greeting in time")))
    })?;
    let bound = request(&mut stream, host, port).await?;
    Ok((stream, bound))
}

fn unconnected(proxy: SocketAddr, error: &io::Error) -> Failure {
    let not_tried = is_not_tried(proxy, error);
    let reason = if not_tried { Reason::NodeOutOfResources } else { Reason::ConnectSocksUnreachable };
    Failure::new(reason, format_args!("{proxy}: {error}"))
}

/// Negotiates the method without authentication.
async fn negotiate<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<(), Failure> {
    let invalid = |cause: &str| Failure::new(Reason::ConnectSocksInvalid, cause);
    let mut answer = [0; 2];
    exchange(stream, &[VERSION, 1, NO_PASSWORD], &mut answer).await.map_err(|error| {
        Failure::new(reason_of(&error, Reason::ConnectSocksInvalid), format_args!("greeting: {error}"))
    })?;
    match answer {
        [VERSION, NO_PASSWORD] => Ok(()),
        [VERSION, 2 | 0xff] => Err(invalid("the proxy wants a password")),
        [VERSION, method] => Err(invalid(&format!("the proxy chose method {method}, which was not offered"))),
        other => Err(invalid(&format!("the greeting was answered with \"{}\"", other.escape_ascii()))),
    }
}

/// Requests a connection to the target. Reads not a byte beyond the reply: what follows is the target's.
async fn request<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, host: &Host, port: u16) -> Result<Bound, Failure> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host {
        Host::Ip(IpAddr::V4(ip)) => {
            request.push(IPV4);
            request.extend_from_slice(&ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            request.push(IPV6);
            request.extend_from_slice(&ip.octets());
        }
        Host::Name(name) => {
            // A configured name has at most 253 bytes.
            request.extend_from_slice(&[NAME, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());

    let cut = |error: io::Error| {
        Failure::new(reason_of(&error, Reason::ConnectSocksFailed), format_args!("reply to CONNECT: {error}"))
    };
    let mut reply = [0; 2];
    exchange(stream, &request, &mut reply).await.map_err(cut)?;
    judge(reply)?;

    let mut kind = [0; 2];
    stream.read_exact(&mut kind).await.map_err(cut)?;
    let bound = match kind {
        [_, IPV4] => Bound::Address(IpAddr::from(stream.read_u32().await.map_err(cut)?.to_be_bytes())),
        [_, IPV6] => Bound::Address(IpAddr::from(stream.read_u128().await.map_err(cut)?.to_be_bytes()).to_canonical()),
        [_, NAME] => {
            let mut name = vec![0; usize::from(stream.read_u8().await.map_err(cut)?)];
            stream.read_exact(&mut name).await.map_err(cut)?;
            Bound::Name(name.escape_ascii().to_string())
        }
        [_, other] => {
            let cause = format_args!("the reply has an address of the unknown kind {other}");
            return Err(Failure::new(Reason::ConnectSocksInvalid, cause));
        }
    };
    // What follows the port is the target's.
    stream.read_u16().await.map_err(cut)?;
    Ok(bound)
}

/// Sends a request and reads a reply of known length.
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

/// The meaning of the first two bytes of the reply.
fn judge(reply: [u8; 2]) -> Result<(), Failure> {
    let (reason, meaning) = match reply {
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
    Err(Failure::new(reason, format_args!("the proxy says: {meaning} (code {code})")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::duplex;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::probe::scripted_peer::{AfterScript, ScriptedPeer, splits};

    const LIMIT: Duration = Duration::from_secs(3);
    const PORT: u16 = 5432;

    fn target() -> Host {
        Host::Ip(IpAddr::from([100, 64, 0, 2]))
    }

    /// Negotiation and request as `connect` makes them, on a paused clock; the slug of the failure and its cause.
    fn run(peer: &mut ScriptedPeer, host: &Host) -> (&'static str, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let outcome = runtime.expect("a runtime").block_on(async {
            timeout(Duration::from_secs(3), async {
                negotiate(peer).await?;
                request(peer, host, PORT).await
            })
            .await
        });
        match outcome {
            Ok(Ok(bound)) => ("connected", bound.to_string()),
            Ok(Err(failure)) => (failure.reason.slug(), failure.cause),
            Err(_) => ("deadline", String::new()),
        }
    }

    #[test]
    fn every_reply_of_a_proxy_has_its_outcome_in_any_chunks() {
        let v6 = [&b"\x05\0\x05\0\0\x04"[..], &[0xfd; 16], b"\x04\x1b"].concat();
        let rows: Vec<(&str, &[u8], AfterScript, &str, &str)> = vec![
            ("connected", b"\x05\0\x05\0\0\x01\0\0\0\0\0\0", AfterScript::Silence, "connected", "0.0.0.0"),
            ("connected, v6", &v6, AfterScript::Silence, "connected", "fdfd:fdfd:"),
            ("connected, name", b"\x05\0\x05\0\0\x03\x02d\n\0\x01", AfterScript::Silence, "connected", "d\\n"),
            ("connected, empty name", b"\x05\0\x05\0\0\x03\0\0\x01", AfterScript::Silence, "connected", ""),
            (
                "failure",
                b"\x05\0\x05\x01\0\x01\0\0\0\0\0\0",
                AfterScript::Close,
                "connect_socks_failed",
                "general failure",
            ),
            ("short failure", b"\x05\0\x05\x01", AfterScript::Close, "connect_socks_failed", "(code 1)"),
            ("rules", b"\x05\0\x05\x02\0", AfterScript::Reset, "connect_socks_failed", "rules"),
            ("network", b"\x05\0\x05\x03", AfterScript::Silence, "connect_unreachable", "network unreachable"),
            ("host", b"\x05\0\x05\x04", AfterScript::Silence, "connect_unreachable", "host unreachable"),
            ("refused", b"\x05\0\x05\x05", AfterScript::Silence, "connect_refused", "connection refused"),
            ("ttl", b"\x05\0\x05\x06", AfterScript::Silence, "connect_socks_failed", "TTL expired"),
            ("command", b"\x05\0\x05\x07", AfterScript::Silence, "connect_socks_failed", "command not supported"),
            ("address type", b"\x05\0\x05\x08", AfterScript::Silence, "connect_socks_failed", "address type"),
            ("unknown", b"\x05\0\x05\x5b", AfterScript::Silence, "connect_socks_failed", "unknown code (code 91)"),
            ("password", b"\x05\x02", AfterScript::Silence, "connect_socks_invalid", "wants a password"),
            ("no method", b"\x05\xff", AfterScript::Close, "connect_socks_invalid", "wants a password"),
            ("a method of its own", b"\x05\x01", AfterScript::Close, "connect_socks_invalid", "method 1"),
            ("SOCKS4", b"\0\x5b\0\0\0\0\0\0", AfterScript::Close, "connect_socks_invalid", "\\x00["),
            ("HTTP proxy", b"HTTP/1.1 400 Bad Request\r\n", AfterScript::Close, "connect_socks_invalid", "\"HT\""),
            ("SOCKS5, then not", b"\x05\0\x04\0", AfterScript::Close, "connect_socks_invalid", "not a SOCKS5 reply"),
            ("strange address", b"\x05\0\x05\0\0\x09", AfterScript::Close, "connect_socks_invalid", "unknown kind 9"),
            ("closed", b"", AfterScript::Close, "connect_socks_invalid", "closed the connection"),
            ("reset", b"", AfterScript::Reset, "connect_socks_invalid", "reset"),
            ("closed at the request", b"\x05\0", AfterScript::Close, "connect_socks_failed", "closed the connection"),
            ("reset at the request", b"\x05\0\x05", AfterScript::Reset, "connect_socks_failed", "reset"),
            ("reply cut", b"\x05\0\x05\0\0\x04\0", AfterScript::Close, "connect_socks_failed", "end of file"),
            ("silent at the request", b"\x05\0", AfterScript::Silence, "deadline", ""),
        ];
        for (name, answer, then, expected, cause) in rows {
            for chunks in splits(answer) {
                let (slug, cause_text) = run(&mut ScriptedPeer::new(chunks.clone(), then), &target());
                assert_eq!(slug, expected, "{name} {chunks:?} {cause_text}");
                assert!(cause_text.contains(cause), "{name} {chunks:?} {cause_text:?}");
            }
        }
    }

    #[test]
    fn the_request_has_the_target_as_it_is_written() {
        let ok = b"\x05\0\x05\0\0\x01\0\0\0\0\0\0";
        let mut peer = ScriptedPeer::new([ok.to_vec()], AfterScript::Silence);
        run(&mut peer, &target());
        assert_eq!(peer.received, b"\x05\x01\0\x05\x01\0\x01\x64\x40\0\x02\x15\x38");
        let mut peer = ScriptedPeer::new([ok.to_vec()], AfterScript::Silence);
        run(&mut peer, &Host::Ip("fd7a:115c:a1e0::2".parse().expect("an address")));
        let expected = [&b"\x05\x01\0\x05\x01\0\x04\xfd\x7a\x11\x5c\xa1\xe0"[..], &[0; 9], b"\x02\x15\x38"].concat();
        assert_eq!(peer.received, expected);
        let mut peer = ScriptedPeer::new([ok.to_vec()], AfterScript::Silence);
        run(&mut peer, &Host::Name("db.ts".to_owned()));
        assert_eq!(peer.received, b"\x05\x01\0\x05\x01\0\x03\x05db.ts\x15\x38");
    }

    #[tokio::test]
    async fn bytes_behind_the_reply_belong_to_the_target() {
        let (mut ours, mut theirs) = duplex(1);
        let proxy = async {
            theirs.read_exact(&mut [0; 3]).await.expect("a greeting");
            theirs.write_all(b"\x05\0").await.expect("a pipe");
            theirs.read_exact(&mut [0; 10]).await.expect("a request");
            theirs.write_all(b"\x05\0\0\x01\0\0\0\0\0\0-ERR full").await.expect("a pipe");
        };
        let client = async {
            negotiate(&mut ours).await.expect("a greeting");
            request(&mut ours, &target(), PORT).await.expect("a reply");
            let mut rest = [0; 9];
            ours.read_exact(&mut rest).await.expect("the target's bytes");
            rest
        };
        let ((), rest) = tokio::join!(proxy, client);
        assert_eq!(&rest, b"-ERR full");
    }

    #[tokio::test]
    async fn a_missing_or_silent_proxy_is_not_reported_as_a_silent_target() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let short = Duration::from_millis(200);
        let mute = timeout(short, connect(address, &target(), PORT, short)).await.expect("before the limit");
        let mute = mute.expect_err("no greeting");
        assert_eq!(mute.reason, Reason::ConnectSocksUnreachable, "{mute}");
        assert!(mute.cause.contains("no greeting in time"), "{mute}");

        drop(listener);
        let away = connect(address, &target(), PORT, LIMIT).await.expect_err("no proxy");
        assert_eq!(away.reason, Reason::ConnectSocksUnreachable, "{away}");
        assert!(away.cause.contains("refused"), "{away}");
    }

    #[tokio::test]
    async fn a_real_socket_is_connected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut proxy = JoinSet::new();
        proxy.spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.read_exact(&mut [0; 3]).await.expect("a greeting");
            stream.write_all(b"\x05\0").await.expect("a connection");
            stream.read_exact(&mut [0; 10]).await.expect("a request");
            stream.write_all(b"\x05\0\0\x01\x64\x40\0\x01\0\0N").await.expect("a connection");
        });
        let (mut stream, bound) = connect(address, &target(), PORT, LIMIT).await.expect("a connection");
        assert_eq!(bound, Bound::Address(IpAddr::from([100, 64, 0, 1])));
        assert_eq!(stream.read_u8().await.expect("a byte"), b'N');
    }

    proptest! {
        #[test]
        fn no_reply_panics_or_is_read_without_bound(
            answer in proptest::collection::vec(any::<u8>(), 0..600),
            start in proptest::sample::select(vec![&b""[..], b"\x05", b"\x05\0\x05", b"\x05\0\x05\0\0\x03"]),
            then in proptest::sample::select(vec![AfterScript::Close, AfterScript::Reset, AfterScript::Silence, AfterScript::Repeat]),
        ) {
            let mut peer = ScriptedPeer::new([start.to_vec(), answer], then);
            let (_, cause) = run(&mut peer, &target());
            prop_assert!(cause.is_ascii() && cause.len() <= 1024);
            prop_assert!(peer.bytes_sent <= 2 + 2 + 2 + 1 + 255 + 2);
        }
    }
}
