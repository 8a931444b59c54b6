//! A name server that answers questions for A and AAAA as MagicDNS does, or otherwise.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::listener::{Counter, Listener};
use crate::services::dns_message::{DnsConduct, NOERROR, Question, head, parse, plain, record, reply};
use crate::services::server::bind;
use crate::{Tally, locked};

/// A name server on a free port of 127.0.0.1, over UDP and TCP. It ends with this handle.
#[derive(Debug)]
pub struct Dns {
    shared: Arc<Shared>,
    listening: Listener<TcpListener>,
    answering: JoinSet<()>,
    addr: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    conduct: Mutex<DnsConduct>,
    records: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    ttl: Mutex<u32>,
    questions: Mutex<Vec<String>>,
    counter: Counter,
}

#[allow(clippy::missing_panics_doc, reason = "a machine without a free port is no place for tests")]
impl Dns {
    /// Starts one without records. Needs a Tokio runtime.
    #[must_use]
    pub fn start() -> Self {
        let counter = Counter::new();
        let shared = Arc::new(Shared {
            conduct: Mutex::new(DnsConduct::Work),
            records: Mutex::default(),
            ttl: Mutex::new(5),
            questions: Mutex::default(),
            counter: counter.clone(),
        });
        let (socket, listener, addr) = pair().unwrap_or_else(|error| panic!("cannot listen: {error}"));
        let serving = Arc::clone(&shared);
        let listening = Listener::start(counter, move |stream, _| {
            let shared = Arc::clone(&serving);
            async move { drop(serve_tcp(&shared, stream).await) }
        });
        listening.open(listener);
        let mut answering = JoinSet::new();
        answering.spawn(serve_udp(Arc::clone(&shared), socket));
        Dns { shared, listening, answering, addr }
    }

    /// Where it listens, UDP and TCP.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A name's addresses; whole name, with or without the final dot.
    pub fn set(&self, name: &str, ips: &[IpAddr]) {
        locked(&self.shared.records).insert(plain(name), ips.to_vec());
    }

    /// Time to live of its records; 5 at first, as MagicDNS has it.
    pub fn set_ttl(&self, seconds: u32) {
        *locked(&self.shared.ttl) = seconds;
    }

    /// From the next question on.
    pub fn behave(&self, conduct: DnsConduct) {
        *locked(&self.shared.conduct) = conduct;
    }

    /// Every name asked for, in lower case.
    #[must_use]
    pub fn questions(&self) -> Vec<String> {
        locked(&self.shared.questions).clone()
    }

    /// TCP connections, and questions over either.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.shared.counter.now()
    }

    /// Ends for good.
    pub fn stop(&mut self) {
        self.listening.close();
        self.listening.kill_connections();
        self.answering.abort_all();
    }
}

/// The same port for both: tried until one is free for both.
fn pair() -> io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (listener, addr) = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        match std::net::UdpSocket::bind(addr) {
            Ok(socket) => {
                socket.set_nonblocking(true)?;
                return Ok((UdpSocket::from_std(socket)?, listener, addr));
            }
            Err(_) if tries < 16 => {}
            Err(error) => return Err(error),
        }
    }
}

async fn serve_udp(shared: Arc<Shared>, socket: UdpSocket) {
    let mut question = [0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut question).await else {
            continue;
        };
        if let Some(answer) = answer(&shared, &question[..length], true) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn serve_tcp(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        if let Some(answer) = answer(shared, &question, false) {
            let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await?;
        }
    }
}

fn answer(shared: &Shared, message: &[u8], udp: bool) -> Option<Vec<u8>> {
    let question = parse(message)?;
    locked(&shared.questions).push(question.name.clone());
    shared.counter.request();
    let found = locked(&shared.records).get(&question.name).cloned();
    let ttl = *locked(&shared.ttl);
    let id = [message[0], message[1]];
    let known = |cut| reply(id, &question, found.as_deref(), ttl, cut);
    let bare = |code| head(id, question.bytes, code, false, 0);
    let looped = |kind, data: &[u8]| {
        let mut reply = head(id, question.bytes, NOERROR, false, 1);
        record(&mut reply, kind, ttl, data);
        reply
    };
    let conduct = locked(&shared.conduct).clone();
    match conduct {
        DnsConduct::Silent => None,
        DnsConduct::TruncatedSilentTcp if !udp => None,
        DnsConduct::Truncated | DnsConduct::TruncatedSilentTcp if udp => {
            Some(head(id, question.bytes, NOERROR, true, 0))
        }
        DnsConduct::Work | DnsConduct::Truncated | DnsConduct::TruncatedSilentTcp => Some(known(udp)),
        DnsConduct::Code(code) => Some(bare(code)),
        DnsConduct::Garbage(bytes) => Some([&id[..], &bytes].concat()),
        DnsConduct::WrongId => Some(reply([!id[0], !id[1]], &question, found.as_deref(), ttl, udp)),
        DnsConduct::WrongQuestion => {
            let other =
                Question { name: String::new(), kind: question.kind, bytes: b"\x05other\x07example\0\0\x01\0\x01" };
            Some(reply(id, &other, found.as_deref(), ttl, udp))
        }
        DnsConduct::PointerLoop => {
            let mut reply = head(id, question.bytes, NOERROR, false, 1);
            let here = u16::try_from(reply.len()).unwrap_or(0) | 0xc000;
            reply.extend(here.to_be_bytes());
            reply.extend(b"\0\x01\0\x01\0\0\0\x05\0\x04\x64\x40\0\x02");
            Some(reply)
        }
        DnsConduct::LyingCount => Some(head(id, question.bytes, NOERROR, false, 7)),
        DnsConduct::AliasLoop => Some(looped(5, b"\xc0\x0c")),
    }
}
