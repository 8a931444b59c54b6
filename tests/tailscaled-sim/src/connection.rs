//! One connection to the LocalAPI: requests in, answers out, by the rules of the real one.

use std::sync::{Arc, Mutex};

use tokio::net::{TcpStream, UnixStream};

use crate::answer::{Answer, Body};
use crate::listening::Counter;
use crate::misbehaviour::Conduct;
use crate::plan::{Plan, plan};
use crate::status::Status;
use crate::wire::{Gone, Pace, Wire};
use crate::{Call, Misbehaviour, Request, World, locked};

/// What the handle changes and every request looks at.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) world: Mutex<World>,
    pub(crate) conduct: Mutex<Conduct>,
    pub(crate) chunk: Mutex<Option<usize>>,
    pub(crate) requests: Mutex<Vec<Request>>,
    /// What it could not make sense of: a test that sees one asks for something not simulated.
    pub(crate) unexpected: Mutex<Vec<String>>,
    pub(crate) counter: Counter,
}

impl Daemon {
    pub(crate) fn new() -> Self {
        Daemon {
            world: Mutex::default(),
            conduct: Mutex::default(),
            chunk: Mutex::default(),
            requests: Mutex::default(),
            unexpected: Mutex::default(),
            counter: Counter::new(),
        }
    }

    fn unexpected(&self, what: String) {
        locked(&self.unexpected).push(what);
    }
}

pub(crate) async fn serve(daemon: Arc<Daemon>, stream: UnixStream, number: u64) {
    // Once for the connection, as in reality.
    let uid = stream.peer_cred().ok().map(|cred| cred.uid());
    let mut wire = Wire::new(stream);
    while let Ok(request) = wire.request().await {
        wire.pace = Pace::Free;
        let request = match request {
            Ok(request) => Request { connection: number, uid, ..request },
            Err(malformed) => {
                daemon.unexpected(format!("bad request: {}", malformed.0));
                let kind = "Content-Type: text/plain; charset=utf-8\r\nConnection: close";
                let answer = format!("HTTP/1.1 {0}\r\n{kind}\r\n\r\n{0}", malformed.0);
                let _ = wire.send(answer.as_bytes()).await;
                return;
            }
        };
        locked(&daemon.requests).push(request.clone());
        daemon.counter.request();
        if answer(&daemon, &mut wire, &request).await.is_err() || !request.keeps_alive() {
            return;
        }
    }
}

async fn answer(daemon: &Daemon, wire: &mut Wire, request: &Request) -> Result<(), Gone> {
    let call = match request.path.as_str() {
        "/localapi/v0/status" => Call::Status,
        "/localapi/v0/dial" => Call::Dial,
        _ => Call::Other,
    };
    let spoilt = locked(&daemon.conduct).of(call);
    if let Some(misbehaviour) = &spoilt {
        wire.pace = misbehaviour.pace();
        if let Some(done) = instead(wire, misbehaviour).await {
            return done;
        }
    }
    let version = locked(&daemon.world).version;
    let answer = match (&spoilt, call) {
        (Some(Misbehaviour::Error(status, text)), _) => Answer::error(*status, text).signed(version),
        (Some(Misbehaviour::Json(body)), _) => Answer::json(Body::Whole(body.to_vec())).signed(version),
        // Outside LocalAPI nobody looks at who asks.
        _ if request.path.starts_with("/localapi/") && !request.is_trusted() => {
            Answer::error(403, "invalid localapi request")
        }
        (_, Call::Status) => {
            wire.skip(request.body_length()).await?;
            let peers = !matches!(request.parameter("peers"), Some("false" | "0" | "f" | "F" | "FALSE" | "False"));
            Answer::json(Body::Status(Status::new(&locked(&daemon.world), peers))).signed(version)
        }
        (_, Call::Dial) => match dial(daemon, wire, request).await? {
            Some(refusal) => refusal.signed(version),
            None => return Err(Gone),
        },
        (_, Call::Other) => {
            daemon.unexpected(format!("{} {}", request.method, request.path));
            let answer = Answer::error(404, "404 page not found");
            if request.path.starts_with("/localapi/") { answer.signed(version) } else { answer }
        }
    };
    let chunk = *locked(&daemon.chunk);
    answer.send(wire, request, chunk, spoilt.as_ref()).await?;
    match &spoilt {
        Some(Misbehaviour::Trailing(bytes)) => wire.send(bytes).await,
        _ => Ok(()),
    }
}

/// Misbehaviour that has nothing of an answer; `None` if there is to be one all the same.
async fn instead(wire: &mut Wire, misbehaviour: &Misbehaviour) -> Option<Result<(), Gone>> {
    if let Misbehaviour::Silent = misbehaviour {
        return Some(Err(wire.left().await));
    }
    if let Misbehaviour::Close(bytes) = misbehaviour {
        return Some(wire.send(bytes).await.and(Err(Gone)));
    }
    if let Misbehaviour::Hold(bytes) = misbehaviour {
        let sent = wire.send(bytes).await;
        return Some(Err(if sent.is_ok() { wire.left().await } else { Gone }));
    }
    let Misbehaviour::Flood { start, unit, units, end } = misbehaviour else {
        return None;
    };
    Some(flood(wire, [start, unit, end], *units).await)
}

async fn flood(wire: &mut Wire, [start, unit, end]: [&[u8]; 3], units: Option<u64>) -> Result<(), Gone> {
    wire.send(start).await?;
    for _ in 0..units.unwrap_or(u64::MAX) {
        wire.send(unit).await?;
    }
    wire.send(end).await
}

/// An answer, or `None` once a stream has run its course.
async fn dial(daemon: &Daemon, wire: &mut Wire, request: &Request) -> Result<Option<Answer>, Gone> {
    let header = |name| request.header(name).unwrap_or_default();
    if request.method != "POST" {
        return Ok(Some(Answer::error(405, "POST required")));
    }
    if !header("Connection").contains("upgrade") || header("Upgrade") != "ts-dial" {
        return Ok(Some(Answer::error(400, "bad ts-dial upgrade")));
    }
    let (host, port) = (header("Dial-Host"), header("Dial-Port"));
    if host.is_empty() || port.is_empty() {
        return Ok(Some(Answer::error(400, "missing Dial-Host or Dial-Port header")));
    }
    let network = if header("Dial-Network").is_empty() { "tcp" } else { header("Dial-Network") };
    if !matches!(network, "tcp" | "tcp4" | "tcp6") {
        daemon.unexpected(format!("Dial-Network: {network}"));
        return Ok(Some(Answer::error(502, "dial failure: not simulated")));
    }
    let plan = plan(&locked(&daemon.world), host, port, network);
    match plan {
        Plan::Hang => Err(wire.left().await),
        Plan::BadGateway(text) => Ok(Some(Answer::error(502, &text))),
        Plan::DialSelf(to) => {
            Ok(Some(Answer::new(200, Vec::new()).with("Dial-Self", "true").with("Dial-Addr", to.to_string())))
        }
        Plan::Mute => {
            upgrade(daemon).send_head(wire, request).await?;
            Err(wire.left().await)
        }
        Plan::Forward { to, refused } => {
            let connected = tokio::select! {
                connected = TcpStream::connect(to) => connected,
                gone = wire.left() => return Err(gone),
            };
            match connected {
                Ok(far) => relay(daemon, wire, request, far).await.map(|()| None),
                Err(_) => Ok(Some(Answer::error(502, &refused))),
            }
        }
    }
}

fn upgrade(daemon: &Daemon) -> Answer {
    let version = locked(&daemon.world).version;
    Answer::new(101, Vec::new()).signed(version).with("Connection", "upgrade").with("Upgrade", "ts-dial")
}

/// Either direction's end is the end of both: there is no half-close.
async fn relay(daemon: &Daemon, wire: &mut Wire, request: &Request, mut far: TcpStream) -> Result<(), Gone> {
    let _ = far.set_nodelay(true);
    upgrade(daemon).send_head(wire, request).await?;
    let early = wire.take_early();
    let (mut from_far, mut to_far) = far.split();
    let (mut from_client, mut to_client) = wire.stream.split();
    tokio::io::AsyncWriteExt::write_all(&mut to_far, &early).await.map_err(|_| Gone)?;
    tokio::select! {
        _ = tokio::io::copy(&mut from_far, &mut to_client) => {}
        _ = tokio::io::copy(&mut from_client, &mut to_far) => {}
    }
    Ok(())
}
