//! One connection to the LocalAPI: requests in, answers out, by the rules of the real one.

use std::sync::{Arc, Mutex};

use tokio::net::UnixStream;
use tokio::sync::broadcast;

use crate::answer::{Answer, Body};
use crate::bus::{Order, QUEUE, watch};
use crate::derpmap::derpmap;
use crate::dial::dial;
use crate::listening::Counter;
use crate::misbehaviour::Conduct;
use crate::ping::{Ping, ping};
use crate::prefs::prefs;
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
    /// To every stream of news.
    pub(crate) orders: broadcast::Sender<Order>,
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
            orders: broadcast::Sender::new(QUEUE),
        }
    }

    pub(crate) fn unexpected(&self, what: String) {
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
    let call = Call::of(&request.path);
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
        (_, Call::Ping) => {
            wire.skip(request.body_length()).await?;
            let ping = ping(&locked(&daemon.world), request);
            match ping {
                Ping::Result(json) => Answer::json(Body::Whole(json.into_bytes())).signed(version),
                Ping::BadRequest(text) => Answer::error(400, &text).signed(version),
                Ping::Hang => return Err(wire.left().await),
                Ping::Unknown(what) => {
                    daemon.unexpected(what);
                    return Err(wire.left().await);
                }
            }
        }
        (_, Call::Bus) => match watch(daemon, wire, request).await? {
            Some(refusal) => refusal.signed(version),
            None => return Ok(()),
        },
        (_, Call::DerpMap) => {
            wire.skip(request.body_length()).await?;
            let map = derpmap(&locked(&daemon.world), request);
            map.map_or_else(|text| Answer::error(400, text), |map| Answer::json(Body::Whole(map.into_bytes())))
                .signed(version)
        }
        (_, Call::Prefs) => {
            wire.skip(request.body_length()).await?;
            prefs(&locked(&daemon.world), request).signed(version)
        }
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
