//! Servers on loopback that stand behind the tailnet's ports, and the ways to them that are not the LocalAPI.
//!
//! A [`Server`] speaks in a [`Manner`], which can be changed in flight: [`Postgres`], [`Valkey`], or a bare [`Script`].
//! Replies are scripts too, so that every reply can be cut, dripped, repeated or reset at any byte.

mod dns;
mod dns_message;
pub mod messages;
mod postgres;
mod script;
mod server;
mod socks5;
mod socks5_message;
mod valkey;

pub use dns::Dns;
pub use dns_message::DnsConduct;
pub use postgres::Postgres;
pub use script::Script;
pub use server::{Manner, Server};
pub use socks5::Socks5;
pub use socks5_message::{Socks5Conduct, Socks5Request};
pub use valkey::Valkey;

/// What other programs say first, for ports that another service took.
pub mod banners {
    /// OpenSSH
    pub const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n";
    /// A web server that was spoken to in another protocol.
    pub const HTTP: &[u8] =
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n400 Bad Request";
    /// A TLS server's alert: unexpected message.
    pub const TLS: &[u8] = b"\x15\x03\x01\x00\x02\x02\x0a";
    /// A mail server.
    pub const SMTP: &[u8] = b"220 mail.example.com ESMTP Postfix\r\n";
    /// Memcached, asked what it does not know.
    pub const MEMCACHED: &[u8] = b"ERROR\r\n";
}
