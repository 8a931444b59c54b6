//! The servers behind the tailnet, seen by a client that reads bytes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::{drain, silent, soon, take};
use tailscaled_sim::services::{
    Dns, DnsConduct, Postgres, Script, Server, Socks5, Socks5Conduct, Valkey, banners, messages,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

const GSSENC: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const STARTUP: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0tt\0\0\0";

async fn talk(addr: SocketAddr, say: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(say).await.unwrap();
    stream
}

#[tokio::test]
async fn postgres_answers_each_first_packet() {
    let server = Server::start(Postgres::asking_for_password());
    let mut stream = talk(server.addr(), GSSENC).await;
    assert_eq!(take(&mut stream, 1).await, b"N");
    stream.write_all(SSL).await.unwrap();
    assert_eq!(take(&mut stream, 1).await, b"N");
    stream.write_all(&STARTUP[..5]).await.unwrap();
    assert!(silent(&mut stream).await);
    stream.write_all(&STARTUP[5..]).await.unwrap();
    assert_eq!(take(&mut stream, messages::sasl().len()).await, messages::sasl());
    stream.write_all(b"p\0\0\0\x05\0").await.unwrap();
    assert!(drain(&mut stream).await.windows(6).any(|bytes| bytes == b"C28P01"));
    assert_eq!((server.tally().accepted, server.tally().requests), (1, 4));
}

#[tokio::test]
async fn postgres_refuses_a_login_but_not_the_question_before_it() {
    let server = Server::start(Postgres::starting());
    for (manner, code) in [
        (Postgres::starting(), "C57P03\0"),
        (Postgres::full(), "C53300\0"),
        (Postgres::shutting_down(), "C57P03\0"),
        (Postgres::refusing("3D000", "database \"x\" does not exist"), "C3D000\0"),
    ] {
        server.behave(manner);
        let mut stream = talk(server.addr(), &[GSSENC, STARTUP].concat()).await;
        let heard = String::from_utf8(drain(&mut stream).await).unwrap();
        assert!(heard.starts_with("NE") && heard.contains(code), "{heard:?}");
    }
    server.behave(Postgres::before_12());
    assert!(drain(&mut talk(server.addr(), GSSENC).await).await.starts_with(b"E"));
    server.behave(Postgres::trusting());
    let mut stream = talk(server.addr(), STARTUP).await;
    assert!(take(&mut stream, 9).await.starts_with(b"R\0\0\0\x08\0\0\0\0"));
    stream.write_all(b"X\0\0\0\x04").await.unwrap();
    assert!(drain(&mut stream).await.ends_with(b"Z\0\0\0\x05I"));
}

#[tokio::test]
async fn postgres_hangs_up_on_lengths_that_cannot_be() {
    let server = Server::start(Postgres::asking_for_password());
    for length in [0_u32, 3, 7, 10_001, u32::MAX, 1 << 31] {
        let mut stream = talk(server.addr(), &[&length.to_be_bytes()[..], b"abcdefgh"].concat()).await;
        assert_eq!(drain(&mut stream).await, b"", "{length}");
    }
}

#[tokio::test]
async fn every_reply_can_be_spoilt() {
    let server = Server::start(Postgres::frozen());
    assert!(silent(&mut talk(server.addr(), GSSENC).await).await);
    let error = messages::error("57P03", "no");
    for at in [0, 1, error.len()] {
        server.behave(Postgres::always(&Script::close_at(&error, at)));
        assert_eq!(drain(&mut talk(server.addr(), STARTUP).await).await, error[..at]);
        server.behave(Postgres::always(&Script::reset_at(&error, at)));
        let mut stream = talk(server.addr(), STARTUP).await;
        let mut heard = Vec::new();
        let kind = soon(stream.read_to_end(&mut heard)).await.unwrap_err().kind();
        assert_eq!((heard, kind), (error[..at].to_vec(), ErrorKind::ConnectionReset));
    }
    let lying = messages::with_length(b'R', 0x7fff_ffff, b"");
    server.behave(
        Postgres::asking_for_password().greeting(Script::say(messages::notice("hi"))).startup(Script::say(&lying)),
    );
    let mut stream = talk(server.addr(), STARTUP).await;
    let start = messages::notice("hi").len();
    assert_eq!(take(&mut stream, start + lying.len()).await[start..], lying);
    drop(stream);
    server.behave(Postgres::always(&Script::new().send_split("one by one", 1)));
    assert_eq!(take(&mut talk(server.addr(), GSSENC).await, 10).await, b"one by one");
    server.behave(Postgres::always(&Script::new().drip("slow", Duration::from_millis(2)).close()));
    assert_eq!(drain(&mut talk(server.addr(), GSSENC).await).await, b"slow");
    server.behave(Postgres::always(&Script::new().flood(messages::notice("again"))));
    let mut stream = talk(server.addr(), GSSENC).await;
    assert_eq!(take(&mut stream, 8 << 20).await.len(), 8 << 20);
    drop(stream);
    soon(server.until(|tally| tally.open == 0)).await;
}

#[tokio::test]
async fn valkey_answers_a_ping_in_every_spelling() {
    let server = Server::start(Valkey::healthy());
    let mut stream = talk(server.addr(), b"PING\r\nping\n*1\r\n$4\r\nPING\r\n").await;
    assert_eq!(take(&mut stream, 21).await, b"+PONG\r\n+PONG\r\n+PONG\r\n");
    stream.write_all(b"*1\r\n$4\r\nPI").await.unwrap();
    assert!(silent(&mut stream).await);
    stream.write_all(b"NG\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nQUIT\r\n").await.unwrap();
    assert_eq!(drain(&mut stream).await, b"+PONG\r\n-ERR unknown command 'GET'\r\n+OK\r\n");
    assert_eq!(server.tally().requests, 6);
}

#[tokio::test]
async fn valkey_refuses_in_its_own_words() {
    let server = Server::start(Valkey::healthy());
    for (manner, start) in [
        (Valkey::asking_for_password(), "-NOAUTH "),
        (Valkey::loading(), "-LOADING "),
        (Valkey::master_down(), "-MASTERDOWN "),
        (Valkey::busy(), "-BUSY "),
        (Valkey::misconf(), "-MISCONF "),
        (Valkey::failing("READONLY no"), "-READONLY no\r\n"),
    ] {
        server.behave(manner);
        let mut stream = talk(server.addr(), b"PING\r\n").await;
        assert_eq!(take(&mut stream, start.len()).await, start.as_bytes());
    }
    for (manner, start) in [(Valkey::full(), "-ERR max number of clients"), (Valkey::protected(), "-DENIED ")] {
        server.behave(manner);
        let mut stream = TcpStream::connect(server.addr()).await.unwrap();
        assert!(drain(&mut stream).await.starts_with(start.as_bytes()));
    }
    server.behave(Valkey::frozen());
    assert!(silent(&mut talk(server.addr(), b"PING\r\n").await).await);
    let push = ">2\r\n+invalidate\r\n_\r\n+PONG\r\n";
    server.behave(Valkey::answering(Script::new().send_split(push, 3)));
    assert_eq!(take(&mut talk(server.addr(), b"PING\r\n").await, push.len()).await, push.as_bytes());
}

#[tokio::test]
async fn a_held_connection_meets_the_new_manner_at_once() {
    let server = Server::start(Valkey::healthy());
    let mut stream = talk(server.addr(), b"PING\r\n").await;
    assert_eq!(take(&mut stream, 7).await, b"+PONG\r\n");
    server.behave(Valkey::failing("LOADING"));
    stream.write_all(b"PING\r\n").await.unwrap();
    assert_eq!(take(&mut stream, 10).await, b"-LOADING\r\n");
    server.kill_connections();
    assert_eq!(drain(&mut stream).await, b"");
    assert_eq!(soon(server.until(|tally| tally.open == 0)).await.accepted, 1);
}

#[tokio::test]
async fn a_server_stops_and_comes_back_on_its_port() {
    let server = Server::start(Script::say(banners::SSH));
    assert!(drain(&mut talk(server.addr(), b"").await).await.starts_with(b"SSH-"));
    server.stop();
    assert_eq!(TcpStream::connect(server.addr()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    server.start_again();
    server.behave(Script::new().receive(4).send(banners::HTTP));
    assert!(drain(&mut talk(server.addr(), b"PING").await).await.starts_with(b"HTTP/1.1 400"));
    let addr = server.addr();
    drop(server);
    assert_eq!(TcpStream::connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

fn connect_request(host: &[u8]) -> Vec<u8> {
    [b"\x05\x01\0\x05\x01\0", host, b"\x15\x38"].concat()
}

#[tokio::test]
async fn a_proxy_forwards_by_address_and_name() {
    let server = Server::start(Script::say("hello").hold());
    let proxy = Socks5::start();
    for (bytes, host) in [
        (&b"\x01\x64\x40\0\x02"[..], "100.64.0.2"),
        (b"\x03\x02db", "db"),
        (b"\x04\xfd\x7a\x11\x5c\xa1\xe0\0\0\0\0\0\0\0\0\0\x02", "fd7a:115c:a1e0::2"),
    ] {
        assert_eq!(drain_reply(&proxy, bytes).await, b"\x05\0\x05\x01\0\x01\0\0\0\0\0\0", "no route to {host}");
        proxy.route(host, 5432, server.addr());
        for (bound, kind, length) in [("10.0.0.7", 1, 4), ("proxy", 3, 6), ("::", 4, 16)] {
            proxy.behave(Socks5Conduct::Bound(bound));
            let mut stream = talk(proxy.addr(), &connect_request(bytes)).await;
            let heard = take(&mut stream, 2 + 4 + length + 2 + 5).await;
            assert_eq!(heard[..6], [5, 0, 5, 0, 0, kind]);
            assert!(heard.ends_with(b"hello"));
        }
        proxy.behave(Socks5Conduct::Work);
    }
    let requests = proxy.requests();
    assert_eq!((requests.len(), requests[4].host.as_str(), requests[4].port), (12, "db", 5432));
    server.stop();
    assert_eq!(drain_reply(&proxy, b"\x03\x02db").await[3], 1);
}

async fn drain_reply(proxy: &Socks5, host: &[u8]) -> Vec<u8> {
    drain(&mut talk(proxy.addr(), &connect_request(host)).await).await
}

#[tokio::test]
async fn a_proxy_fails_in_every_way() {
    let proxy = Socks5::start();
    for code in 1..=8 {
        proxy.behave(Socks5Conduct::Reply(code));
        assert_eq!(drain_reply(&proxy, b"\x03\x02db").await[..4], [5, 0, 5, code]);
    }
    proxy.behave(Socks5Conduct::Method(0xff));
    assert_eq!(take(&mut talk(proxy.addr(), b"\x05\x01\0").await, 2).await, [5, 0xff]);
    proxy.behave(Socks5Conduct::Close);
    assert_eq!(drain(&mut talk(proxy.addr(), b"\x05\x01\0").await).await, b"");
    proxy.behave(Socks5Conduct::CloseAtConnect);
    assert_eq!(drain_reply(&proxy, b"\x03\x02db").await, [5, 0]);
    proxy.behave(Socks5Conduct::Silent);
    assert!(silent(&mut talk(proxy.addr(), b"\x05\x01\0").await).await);
    for (conduct, heard) in [
        (Socks5Conduct::SilentAtConnect, &b"\x05\0"[..]),
        (Socks5Conduct::Garbage(banners::SSH.into()), banners::SSH),
        (Socks5Conduct::GarbageReply(b"\x04\x5a"[..].into()), b"\x05\0\x04\x5a"),
    ] {
        proxy.behave(conduct);
        let mut stream = talk(proxy.addr(), &connect_request(b"\x03\x02db")).await;
        assert_eq!(take(&mut stream, heard.len()).await, heard);
        assert!(silent(&mut stream).await);
    }
    proxy.stop();
    assert_eq!(TcpStream::connect(proxy.addr()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    proxy.start_again();
    proxy.behave(Socks5Conduct::Work);
    assert_eq!(drain(&mut talk(proxy.addr(), b"\x05\x01\0\x05\x03\0\x03\x02db\0\x01").await).await[3], 7);
}

/// A question for `DB.tail`, of this type.
fn question(kind: u8) -> Vec<u8> {
    [b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x02DB\x04tail\0\0", &[kind][..], b"\0\x01"].concat()
}

async fn resolve(dns: &Dns, kind: u8) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&question(kind), dns.addr()).await.unwrap();
    let mut answer = vec![0; 2048];
    let length = tokio::time::timeout(common::NOTHING, socket.recv(&mut answer)).await.ok()?.unwrap();
    Some(answer[..length].to_vec())
}

async fn resolve_over_tcp(dns: &Dns) -> Vec<u8> {
    let question = question(1);
    let mut stream = talk(dns.addr(), &[&[0, u8::try_from(question.len()).unwrap()], &question[..]].concat()).await;
    let length = soon(stream.read_u16()).await.unwrap();
    take(&mut stream, usize::from(length)).await
}

#[tokio::test]
async fn a_name_server_answers_from_its_records() {
    let dns = Dns::start();
    let code = |answer: &[u8]| (answer[3] & 15, answer[7]);
    assert_eq!(code(&resolve(&dns, 1).await.unwrap()), (2, 0), "unknown: SERVFAIL");
    let [v4, v6]: [IpAddr; 2] = ["100.64.0.2".parse().unwrap(), "fd7a:115c:a1e0::2".parse().unwrap()];
    dns.set("db.tail.", &[v4]);
    let answer = resolve(&dns, 1).await.unwrap();
    assert_eq!(answer[..2], [0xab, 0xcd]);
    assert_eq!(answer[12..12 + 13], question(1)[12..]);
    assert!(answer.ends_with(b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\x64\x40\0\x02"));
    assert_eq!(code(&resolve(&dns, 28).await.unwrap()), (0, 0), "known, but not of this type");
    dns.set("db.tail", &[v4, v6]);
    dns.set_ttl(0);
    assert!(
        resolve(&dns, 28)
            .await
            .unwrap()
            .ends_with(b"\0\x1c\0\x01\0\0\0\0\0\x10\xfd\x7a\x11\x5c\xa1\xe0\0\0\0\0\0\0\0\0\0\x02")
    );
    assert!(resolve_over_tcp(&dns).await.ends_with(b"\x64\x40\0\x02"));
    dns.set("db.tail", &[v4; 500]);
    assert_eq!(resolve(&dns, 1).await.unwrap()[2] & 2, 2, "too long for UDP");
    assert_eq!(resolve_over_tcp(&dns).await[6..8], 500_u16.to_be_bytes());
    assert_eq!(dns.questions(), vec!["db.tail"; 7]);
}

#[tokio::test]
async fn a_name_server_misbehaves() {
    let dns = Dns::start();
    dns.set("db.tail", &["192.0.2.1".parse().unwrap()]);
    for code in 1..=5 {
        dns.behave(DnsConduct::Code(code));
        let answer = resolve(&dns, 1).await.unwrap();
        assert_eq!((answer[3] & 15, answer[7]), (code, 0));
    }
    dns.behave(DnsConduct::Silent);
    assert_eq!(resolve(&dns, 1).await, None);
    dns.behave(DnsConduct::Truncated);
    assert_eq!(resolve(&dns, 1).await.unwrap()[2] & 2, 2);
    assert!(resolve_over_tcp(&dns).await.ends_with(&[192, 0, 2, 1]));
    dns.behave(DnsConduct::TruncatedSilentTcp);
    assert_eq!(resolve(&dns, 1).await.unwrap()[2] & 2, 2);
    assert!(silent(&mut talk(dns.addr(), &[&[0, 25], &question(1)[..]].concat()).await).await);
    dns.behave(DnsConduct::WrongId);
    assert_eq!(resolve(&dns, 1).await.unwrap()[..2], [!0xab, !0xcd]);
    dns.behave(DnsConduct::WrongQuestion);
    assert!(resolve(&dns, 1).await.unwrap()[12..].starts_with(b"\x05other"));
    dns.behave(DnsConduct::Garbage(b"rubbish"[..].into()));
    assert_eq!(resolve(&dns, 1).await.unwrap(), b"\xab\xcdrubbish");
    dns.behave(DnsConduct::PointerLoop);
    let answer = resolve(&dns, 1).await.unwrap();
    assert_eq!(answer[25..27], [0xc0, 25], "a pointer to itself");
    dns.behave(DnsConduct::LyingCount);
    assert_eq!(resolve(&dns, 1).await.unwrap()[7], 7);
    dns.behave(DnsConduct::AliasLoop);
    assert!(resolve(&dns, 1).await.unwrap().ends_with(b"\0\x05\0\x01\0\0\0\x05\0\x02\xc0\x0c"));
}

#[tokio::test]
async fn a_name_server_ends() {
    let mut dns = Dns::start();
    dns.stop();
    assert_eq!(TcpStream::connect(dns.addr()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(dns.tally().requests, 0);
}
