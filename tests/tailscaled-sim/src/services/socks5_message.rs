//! Requests and replies of SOCKS5, and what can become of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How the proxy treats its clients.
#[derive(Clone, Debug)]
pub enum Socks5Conduct {
    /// Forwards along its routes; anything else is reply 1, as with tailscaled.
    Work,
    /// This reply code to every CONNECT.
    Reply(u8),
    /// This method (0xff: none acceptable) in answer to the greeting.
    Method(u8),
    /// These bytes in answer to the greeting.
    Garbage(Bytes),
    /// These bytes in answer to CONNECT.
    GarbageReply(Bytes),
    /// Nothing, ever.
    Silent,
    /// Nothing after the method was chosen.
    SilentAtConnect,
    /// Hangs up after the greeting.
    Close,
    /// Hangs up after CONNECT.
    CloseAtConnect,
    /// Works, and tells this bound address or name in its reply.
    Bound(&'static str),
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socks5Request {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

pub(crate) async fn request(client: &mut TcpStream) -> std::io::Result<(u8, Socks5Request)> {
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    let host = match head[3] {
        1 => IpAddr::from(Ipv4Addr::from_bits(client.read_u32().await?)).to_string(),
        4 => IpAddr::from(Ipv6Addr::from_bits(client.read_u128().await?)).to_string(),
        _ => {
            let mut name = vec![0; usize::from(client.read_u8().await?)];
            client.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
    };
    Ok((head[1], Socks5Request { host, port: client.read_u16().await? }))
}

pub(crate) fn reply(code: u8, bound: &str) -> Vec<u8> {
    let address = match bound.parse() {
        Ok(IpAddr::V4(ip)) => [&[1], &ip.octets()[..]].concat(),
        Ok(IpAddr::V6(ip)) => [&[4], &ip.octets()[..]].concat(),
        Err(_) => [&[3, u8::try_from(bound.len()).unwrap_or(u8::MAX)], bound.as_bytes()].concat(),
    };
    [&[5, code, 0], &address[..], &[0, 0]].concat()
}
