//! LocalAPI, tailscaled's HTTP interface on a unix socket: only the calls that telltail makes, only the fields it reads.

mod socket;
mod split;
mod status;
mod stub;
pub use stub::*;

pub use status::{ExtraRecord, Own, Peer, Route, Status, is_at_least};

use crate::http::{Connection, Raw};
use crate::reason::{Failure, Reason};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
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
pub struct Dialer {
    sockets: Vec<PathBuf>,
    observe: Observe,
}

/// Is told of each finished call.
pub type Observe = Arc<dyn Fn(Call, Answer) + Send + Sync>;

/// The calls that telltail makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `status`.
    Status,
    /// `dial`.
    Dial,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 2] = [Self::Status, Self::Dial];

    /// The label value.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Dial => "dial",
        }
    }
}

/// How a call went, whatever the answer says of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// tailscaled answered; that a dial failed is an answer, too.
    Ok,
    /// This user may not.
    Forbidden,
    /// No answer, none in time, or something that is no answer.
    None,
}

impl Answer {
    /// Every answer.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Forbidden, Self::None];

    /// The label value.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Forbidden => "forbidden",
            Self::None => "no_answer",
        }
    }

    fn of<T>(result: &Result<T, Failure>) -> Self {
        match result {
            Err(failure) if failure.reason == Reason::NodeSocketForbidden => Self::Forbidden,
            Err(failure) if failure.reason.is_nodes() => Self::None,
            Ok(_) | Err(_) => Self::Ok,
        }
    }
}

/// A call under way, which may be given up at any time.
struct Observed<'a> {
    observe: &'a Observe,
    call: Call,
    answer: Answer,
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        (self.observe)(self.call, self.answer);
    }
}

impl LocalApi {
    /// A client for `socket`, or for the two usual places.
    pub fn new(socket: Option<PathBuf>, observe: Observe) -> Self {
        let sockets = match socket {
            Some(socket) => vec![socket],
            None => socket::DEFAULTS.iter().map(PathBuf::from).collect(),
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
    /// Lets tailscaled connect to an address. It waits as long as the far side is silent: the deadline is the caller's.
    pub async fn dial(&self, target: SocketAddr) -> Result<Raw, Failure> {
        let mut observed = Observed { observe: &self.observe, call: Call::Dial, answer: Answer::None };
        let answer = self.dial_unobserved(target).await;
        observed.answer = Answer::of(&answer);
        answer
    }

    async fn dial_unobserved(&self, target: SocketAddr) -> Result<Raw, Failure> {
        let host = target.ip().to_string();
        let port = target.port().to_string();
        let headers = [
            ("connection", "upgrade"),
            ("upgrade", "ts-dial"),
            ("dial-host", host.as_str()),
            ("dial-port", port.as_str()),
        ];
        let request = request(Method::POST, "/localapi/v0/dial", &headers)?;
        let mut connection = self.connect().await?;
        let response = connection.send(request).await.map_err(|error| broken(&error))?;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => connection.upgrade(response).await.map_err(|error| broken(&error)),
            StatusCode::OK if response.headers().contains_key("dial-self") => {
                let cause = format_args!("tailscaled says that {target} is not reached over the tailnet (Dial-Self)");
                Err(Failure::new(Reason::ConnectNotRouted, cause))
            }
            status => {
                let text = connection.text(response.into_body(), MAX_ERROR_TEXT).await.unwrap_or_default();
                Err(if status == StatusCode::BAD_GATEWAY { dial_failure(&text) } else { unexpected(status, &text) })
            }
        }
    }

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

/// What tailscaled's dialer said, kernel's and netstack's wording alike.
fn dial_failure(text: &str) -> Failure {
    let lower = text.to_ascii_lowercase();
    let reason = if lower.contains("refused") {
        Reason::ConnectRefused
    } else if lower.contains("timeout") || lower.contains("timed out") {
        Reason::ConnectTimeout
    } else if lower.contains("no route") || lower.contains("unreachable") {
        Reason::ConnectUnreachable
    } else {
        Reason::ConnectFailed
    };
    Failure::new(reason, text)
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
