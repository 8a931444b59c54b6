//! A small HTTP/1 client over any stream: one connection, one request at a time, no pool and no task of its own.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Context;
use sync_wrapper::SyncWrapper;
use tokio::io::{AsyncRead, AsyncWrite};

/// Longest head of a response, in bytes; tailscaled's has under 1 KiB. hyper's minimum is 8 KiB.
const MAX_HEAD: usize = 8192;

/// A connection without a task: it makes progress only while a caller awaits one of its methods.
pub struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    /// hyper's connection future; none once the connection has ended.
    connection: Option<ConnectionFuture>,
}

/// `SyncWrapper`, because hyper's future is not `Sync` and owners of a client must be; it is only used through `&mut`.
type ConnectionFuture = SyncWrapper<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>;

/// The stream of a connection after `101 Switching Protocols`.
pub type UpgradedStream = TokioIo<Upgraded>;

impl Connection {
    /// Speaks HTTP/1 on `stream`.
    pub async fn open<S>(stream: S) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection: Some(SyncWrapper::new(Box::pin(connection.with_upgrades()))) })
    }

    /// Sends a request and waits for the head of its response. The body must be read to its end before the next request.
    pub async fn send(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let Self { sender, connection } = self;
        drive(connection, async {
            sender.ready().await?;
            sender.send_request(request).await
        })
        .await
    }

    /// The next chunk of a body; none at its end.
    pub async fn chunk(&mut self, body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
        loop {
            match drive(&mut self.connection, body.frame()).await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The beginning of a body as text: reading stops at the first chunk that reaches `limit` bytes.
    pub async fn text(&mut self, mut body: Incoming, limit: usize) -> hyper::Result<String> {
        let mut text = Vec::new();
        while text.len() < limit
            && let Some(chunk) = self.chunk(&mut body).await?
        {
            text.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Turns the connection into the stream after a 101 response.
    pub async fn upgrade(mut self, response: Response<Incoming>) -> hyper::Result<UpgradedStream> {
        let upgraded = drive(&mut self.connection, hyper::upgrade::on(response)).await?;
        Ok(TokioIo::new(upgraded))
    }

    /// Is the connection known to be closed?
    pub fn is_closed(&self) -> bool {
        self.connection.is_none() || self.sender.is_closed()
    }
}

/// Awaits `future` and polls the connection meanwhile.
async fn drive<T>(connection: &mut Option<ConnectionFuture>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| {
        poll_connection(connection, context);
        let output = future.as_mut().poll(context);
        if output.is_pending() {
            // `future` may have queued work for the connection.
            poll_connection(connection, context);
        }
        output
    })
    .await
}

fn poll_connection(connection: &mut Option<ConnectionFuture>, context: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|future| future.get_mut().as_mut().poll(context).is_ready()) {
        *connection = None;
    }
}
