//! One LocalAPI call: send the request, check the status, report the result.

use super::{Dialer, LocalApi};
use crate::http::{Connection, UpgradedStream};
use crate::reason::{Failure, Reason};
use crate::shortage;
use crate::slug::slug_enum;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an error's text that are read.
const MAX_ERROR_TEXT: usize = 4096;

slug_enum! {
    /// The calls that are counted.
    pub enum Call {
        /// `status`.
        Status = "status",
        /// `dial`.
        Dial = "dial",
        /// `ping`.
        Ping = "ping",
        /// `watch-ipn-bus`, each time it is opened.
        Bus = "bus",
    }
}

slug_enum! {
    /// How a call went, whatever the response says of a target.
    pub enum CallResult {
        /// tailscaled answered. A failed dial is an answer, too.
        Ok = "ok",
        /// No valid response, none in time, or access was denied.
        NoAnswer = "no_answer",
    }
}

/// Called after each counted call.
pub type CallObserver = Arc<dyn Fn(Call, CallResult) + Send + Sync>;

/// A call under way. It is reported when dropped, so that a call whose future is dropped is counted as well. One that could not
/// be made for an own shortage is none.
///
/// Not a function that takes the call's future, which would double the size of every future that makes a call.
pub struct CallGuard<'a> {
    observer: &'a CallObserver,
    call: Call,
    result: Option<CallResult>,
}

impl<'a> CallGuard<'a> {
    /// A call that begins.
    pub fn new(observer: &'a CallObserver, call: Call) -> Self {
        Self { observer, call, result: Some(CallResult::NoAnswer) }
    }

    /// Reports the call with its outcome.
    pub fn finish<T>(mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        self.result = match &outcome {
            Err(failure) if failure.reason.is_own_shortage() => None,
            Err(failure) if failure.reason.is_node_fault() => Some(CallResult::NoAnswer),
            Ok(_) | Err(_) => Some(CallResult::Ok),
        };
        outcome
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.result.into_iter().for_each(|result| (self.observer)(self.call, result));
    }
}

/// The failure of a call that took longer than `limit`.
pub fn timed_out(limit: Duration) -> Failure {
    let limit = humantime::format_duration(limit);
    Failure::new(Reason::NodeLocalapiTimeout, format_args!("no complete response from tailscaled within {limit}"))
}

/// A response whose body has not been read, with its connection.
pub struct PendingBody {
    connection: Connection,
    response: Response<Incoming>,
}

impl Dialer {
    /// Sends a request on a new connection.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<PendingBody, Failure> {
        let stream = super::socket::connect(&self.sockets).await?;
        let mut connection = Connection::open(stream).await.map_err(|error| invalid_http(&error))?;
        let response = connection.send(request(method, path, headers)?).await;
        Ok(PendingBody { connection, response: response.map_err(|error| invalid_http(&error))? })
    }
}

impl LocalApi {
    /// Sends a GET on the kept connection, or on a new one if tailscaled has closed it.
    pub(super) async fn get(&mut self, path: &str) -> Result<PendingBody, Failure> {
        if let Some(mut connection) = self.kept.take().filter(|connection| !connection.is_closed())
            && let Ok(response) = connection.send(request(Method::GET, path, &[])?).await
        {
            return Ok(PendingBody { connection, response });
        }
        self.dialer.send(Method::GET, path, &[]).await
    }

    /// Reads a small JSON document, which error messages call `name`.
    pub(super) async fn get_json<T: DeserializeOwned>(
        &mut self,
        path: &str,
        limit: usize,
        name: &str,
    ) -> Result<T, Failure> {
        let (connection, text) = self.get(path).await?.expect(StatusCode::OK).await?.text(limit).await?;
        self.kept = Some(connection);
        serde_json::from_str(&text).map_err(|error| invalid(format_args!("the {name}: {error}")))
    }
}

impl PendingBody {
    /// The response's status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Does the response have this header?
    pub fn has_header(&self, name: &str) -> bool {
        self.response.headers().contains_key(name)
    }

    /// The response if it has the expected status, else the failure, which quotes the body.
    pub async fn expect(self, expected: StatusCode) -> Result<Self, Failure> {
        let status = self.status();
        if status == expected {
            return Ok(self);
        }
        let reason = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Reason::NodeSocketForbidden,
            _ => Reason::NodeLocalapiInvalid,
        };
        let text = self.error_text().await;
        Err(Failure::new(reason, format_args!("tailscaled answers {}: {text}", status.as_u16())))
    }

    /// The beginning of the body of an error; empty if it cannot be read.
    pub async fn error_text(mut self) -> String {
        self.connection.text(self.response.into_body(), MAX_ERROR_TEXT).await.unwrap_or_default()
    }

    /// The body, of which not much more than `limit` bytes are read, and the connection for the next request.
    pub async fn text(mut self, limit: usize) -> Result<(Connection, String), Failure> {
        let text = self.connection.text(self.response.into_body(), limit).await;
        Ok((self.connection, text.map_err(|error| invalid_http(&error))?))
    }

    /// The connection and the body, to be read in chunks.
    pub fn into_parts(self) -> (Connection, Incoming) {
        (self.connection, self.response.into_body())
    }

    /// The stream of a 101 response.
    pub async fn upgrade(self) -> Result<UpgradedStream, Failure> {
        self.connection.upgrade(self.response).await.map_err(|error| invalid_http(&error))
    }
}

fn request(method: Method, path: &str, headers: &[(&'static str, &str)]) -> Result<Request<Empty<Bytes>>, Failure> {
    // tailscaled refuses any other host.
    let mut request = Request::builder().method(method).uri(path).header("host", "local-tailscaled.sock");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).map_err(invalid)
}

/// A response that cannot be used.
pub fn invalid(cause: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::NodeLocalapiInvalid, cause)
}

/// A response that is not valid HTTP, a connection that broke, or an own shortage.
pub fn invalid_http(error: &hyper::Error) -> Failure {
    let mut cause = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        cause = format!("{cause}: {source}");
    }
    let reason = if shortage::is_behind(error) { Reason::NodeOutOfResources } else { Reason::NodeLocalapiInvalid };
    Failure::new(reason, format_args!("no valid HTTP response from tailscaled: {cause}"))
}
