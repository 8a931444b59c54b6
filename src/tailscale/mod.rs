//! LocalAPI, tailscaled's HTTP interface on a unix socket: only the calls that telltail makes, only the fields it reads.

mod backoff;
mod bus;
mod derpmap;
mod dial;
mod observe;
mod ping;
mod prefs;
mod socket;
mod split;
mod status;
mod warning;

pub use backoff::Backoff;
pub use bus::{Bus, Event, MASK, MASK_WITH_PEERS};
pub use observe::{Answer, Call, Observe};
pub use ping::{FULL_SIZE, PingKind, Pong, Refusal, Reply, Way, Why};
pub use prefs::Prefs;
pub use socket::SOCKETS;
pub use status::{ExtraRecord, Own, Peer, Route, Status, is_at_least};
pub use warning::{Severity, Warning};

use crate::http::Connection;
use crate::reason::{Failure, Reason};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use std::path::PathBuf;
use std::time::Duration;

/// Longest time for a whole `status`, reading included. tailscaled answers in under a millisecond; it blocks while it
/// starts.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of an error's text that are read.
const MAX_ERROR_TEXT: usize = 4096;

/// A client of the local tailscaled. It keeps one connection for what it reads.
pub struct LocalApi {
    dialer: Dialer,
    kept: Option<Connection>,
}

/// The part of the client that many probes can use at once: each dial takes a connection of its own.
#[derive(Clone)]
pub struct Dialer {
    sockets: Vec<PathBuf>,
    observe: Observe,
}

impl LocalApi {
    /// A client for `socket`, or for the two usual places.
    pub fn new(socket: Option<PathBuf>, observe: Observe) -> Self {
        let sockets = match socket {
            Some(socket) => vec![socket],
            None => socket::SOCKETS.iter().map(PathBuf::from).collect(),
        };
        Self { dialer: Dialer { sockets, observe }, kept: None }
    }

    /// Asks for the node's status; with `peers`, those for which `keep` says so are in the answer.
    pub async fn status(&mut self, peers: bool, keep: &(dyn Fn(&Peer) -> bool + Sync)) -> Result<Status, Failure> {
        let answer = tokio::time::timeout(STATUS_TIMEOUT, self.read_status(peers, keep)).await;
        let answer = answer.unwrap_or_else(|_| {
            let cause =
                format_args!("no whole answer from tailscaled within {}", humantime::format_duration(STATUS_TIMEOUT));
            Err(Failure::new(Reason::NodeLocalapiTimeout, cause))
        });
        (self.dialer.observe)(Call::Status, Answer::of(&answer));
        answer
    }

    async fn read_status(&mut self, peers: bool, keep: &(dyn Fn(&Peer) -> bool + Sync)) -> Result<Status, Failure> {
        let path = if peers { "/localapi/v0/status" } else { "/localapi/v0/status?peers=false" };
        let (mut connection, response) = self.get(path).await?;
        let (head, mut body) = response.into_parts();
        if head.status != StatusCode::OK {
            let text = connection.text(body, MAX_ERROR_TEXT).await.unwrap_or_default();
            return Err(unexpected(head.status, &text));
        }
        let mut reader = status::Reader::new(keep);
        while let Some(piece) = connection.chunk(&mut body).await.map_err(|error| broken(&error))? {
            reader.feed(&piece)?;
        }
        let status = reader.finish()?;
        self.kept = Some(connection);
        Ok(status)
    }

    /// Asks on the kept connection, and once more on a new one if tailscaled has closed the kept one meanwhile.
    async fn get(&mut self, path: &str) -> Result<(Connection, Response<Incoming>), Failure> {
        if let Some(mut connection) = self.kept.take().filter(|connection| !connection.is_closed())
            && let Ok(response) = connection.send(request(Method::GET, path, &[])?).await
        {
            return Ok((connection, response));
        }
        let mut connection = self.dialer.connect().await?;
        let response = connection.send(request(Method::GET, path, &[])?).await.map_err(|error| broken(&error))?;
        Ok((connection, response))
    }

    /// For dialling.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }
}

impl Dialer {
    async fn connect(&self) -> Result<Connection, Failure> {
        let stream = socket::connect(&self.sockets).await?;
        Connection::open(stream).await.map_err(|error| broken(&error))
    }
}

fn request(method: Method, path: &str, headers: &[(&'static str, &str)]) -> Result<Request<Empty<Bytes>>, Failure> {
    // The only host that tailscaled lets pass.
    let mut request = Request::builder().method(method).uri(path).header("host", "local-tailscaled.sock");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).map_err(|error| Failure::new(Reason::NodeLocalapiInvalid, error))
}

fn unexpected(status: StatusCode, text: &str) -> Failure {
    let reason = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Reason::NodeSocketForbidden,
        _ => Reason::NodeLocalapiInvalid,
    };
    Failure::new(reason, format_args!("tailscaled answers {}: {text}", status.as_u16()))
}

fn broken(error: &hyper::Error) -> Failure {
    let mut cause = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        cause = format!("{cause}: {source}");
    }
    Failure::new(Reason::NodeLocalapiInvalid, format_args!("no valid HTTP answer from tailscaled: {cause}"))
}
