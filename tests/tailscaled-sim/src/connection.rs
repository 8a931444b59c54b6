//! One connection to the LocalAPI: requests in, answers out, by the rules of the real one.

use std::sync::{Arc, Mutex};

use tokio::net::UnixStream;
use tokio::sync::broadcast;

use crate::bus::{BusEvent, QUEUE, watch};
use crate::derpmap::derpmap;
use crate::dial::dial;
use crate::http_stream::{Disconnected, HttpStream, WritePace};
use crate::listener::Counter;
use crate::misbehaviour::Conduct;
use crate::ping::{Ping, ping};
use crate::prefs::prefs;
use crate::response::{Body, Response};
use crate::status::Status;
use crate::{Call, Misbehaviour, Request, SimState, locked};

/// What the handle changes and every request looks at.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) state: Mutex<SimState>,
    pub(crate) conduct: Mutex<Conduct>,
    pub(crate) chunk: Mutex<Option<usize>>,
    pub(crate) requests: Mutex<Vec<Request>>,
    /// What it could not make sense of: a test that sees one asks for something not simulated.
    pub(crate) unexpected: Mutex<Vec<String>>,
    pub(crate) counter: Counter,
    /// To every stream of the bus.
    pub(crate) bus_events: broadcast::Sender<BusEvent>,
}

impl Daemon {
    pub(crate) fn new() -> Self {
        Daemon {
            state: Mutex::default(),
            conduct: Mutex::default(),
            chunk: Mutex::default(),
            requests: Mutex::default(),
            unexpected: Mutex::default(),
            counter: Counter::new(),
            bus_events: broadcast::Sender::new(QUEUE),
        }
    }

    pub(crate) fn unexpected(&self, what: String) {
        locked(&self.unexpected).push(what);
    }
}

pub(crate) async fn serve(daemon: Arc<Daemon>, stream: UnixStream, number: u64) {
    // Once for the connection, as in reality.
    let uid = stream.peer_cred().ok().map(|cred| cred.uid());
    let mut http = HttpStream::new(stream);
    while let Ok(request) = http.request().await {
        http.pace = WritePace::Free;
        let request = match request {
            Ok(request) => Request { connection: number, uid, ..request },
            Err(malformed) => {
                daemon.unexpected(format!("bad request: {}", malformed.0));
                let kind = "Content-Type: text/plain; charset=utf-8\r\nConnection: close";
                let answer = format!("HTTP/1.1 {0}\r\n{kind}\r\n\r\n{0}", malformed.0);
                let _ = http.send(answer.as_bytes()).await;
                return;
            }
        };
        locked(&daemon.requests).push(request.clone());
        daemon.counter.request();
        if answer(&daemon, &mut http, &request).await.is_err() || !request.keeps_alive() {
            return;
        }
    }
}

async fn answer(daemon: &Daemon, http: &mut HttpStream, request: &Request) -> Result<(), Disconnected> {
    let call = Call::of(&request.path);
    let spoilt = locked(&daemon.conduct).of(call);
    if let Some(misbehaviour) = &spoilt {
        http.pace = misbehaviour.pace();
        if let Some(done) = instead(http, misbehaviour).await {
            return done;
        }
    }
    let version = locked(&daemon.state).version;
    let answer = match (&spoilt, call) {
        (Some(Misbehaviour::Error(status, text)), _) => Response::error(*status, text).signed(version),
        (Some(Misbehaviour::Json(body)), _) => Response::json(Body::Whole(body.to_vec())).signed(version),
        // Outside LocalAPI nobody looks at who asks.
        _ if request.path.starts_with("/localapi/") && !request.is_trusted() => {
            Response::error(403, "invalid localapi request")
        }
        (_, Call::Status) => {
            http.skip(request.body_length()).await?;
            let peers = !matches!(request.parameter("peers"), Some("false" | "0" | "f" | "F" | "FALSE" | "False"));
            Response::json(Body::Status(Status::new(&locked(&daemon.state), peers))).signed(version)
        }
        (_, Call::Dial) => match dial(daemon, http, request).await? {
            Some(refusal) => refusal.signed(version),
            None => return Err(Disconnected),
        },
        (_, Call::Ping) => {
            http.skip(request.body_length()).await?;
            let ping = ping(&locked(&daemon.state), request);
            match ping {
                Ping::Result(json) => Response::json(Body::Whole(json.into_bytes())).signed(version),
                Ping::BadRequest(text) => Response::error(400, &text).signed(version),
                Ping::Hang => return Err(http.left().await),
                Ping::Unknown(what) => {
                    daemon.unexpected(what);
                    return Err(http.left().await);
                }
            }
        }
        (_, Call::Bus) => match watch(daemon, http, request).await? {
            Some(refusal) => refusal.signed(version),
            None => return Ok(()),
        },
        (_, Call::DerpMap) => {
            http.skip(request.body_length()).await?;
            let map = derpmap(&locked(&daemon.state), request);
            map.map_or_else(|text| Response::error(400, text), |map| Response::json(Body::Whole(map.into_bytes())))
                .signed(version)
        }
        (_, Call::Prefs) => {
            http.skip(request.body_length()).await?;
            prefs(&locked(&daemon.state), request).signed(version)
        }
        (_, Call::Other) => {
            daemon.unexpected(format!("{} {}", request.method, request.path));
            let answer = Response::error(404, "404 page not found");
            if request.path.starts_with("/localapi/") { answer.signed(version) } else { answer }
        }
    };
    let chunk = *locked(&daemon.chunk);
    answer.send(http, request, chunk, spoilt.as_ref()).await?;
    match &spoilt {
        Some(Misbehaviour::Trailing(bytes)) => http.send(bytes).await,
        _ => Ok(()),
    }
}

/// Misbehaviour that has nothing of an answer; `None` if there is to be one all the same.
async fn instead(http: &mut HttpStream, misbehaviour: &Misbehaviour) -> Option<Result<(), Disconnected>> {
    if let Misbehaviour::Silent = misbehaviour {
        return Some(Err(http.left().await));
    }
    if let Misbehaviour::Close(bytes) = misbehaviour {
        return Some(http.send(bytes).await.and(Err(Disconnected)));
    }
    if let Misbehaviour::Hold(bytes) = misbehaviour {
        let sent = http.send(bytes).await;
        return Some(Err(if sent.is_ok() { http.left().await } else { Disconnected }));
    }
    let Misbehaviour::Flood { start, unit, units, end } = misbehaviour else {
        return None;
    };
    Some(flood(http, [start, unit, end], *units).await)
}

async fn flood(http: &mut HttpStream, [start, unit, end]: [&[u8]; 3], units: Option<u64>) -> Result<(), Disconnected> {
    http.send(start).await?;
    for _ in 0..units.unwrap_or(u64::MAX) {
        http.send(unit).await?;
    }
    http.send(end).await
}
