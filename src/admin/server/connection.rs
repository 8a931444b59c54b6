//! One connection: one request, one response, the end.

use super::limits::{MAX_DISCARDED, MAX_HEAD};
use super::{ConnectionEvent, ConnectionObserver};
use crate::admin::access::FromThisPod;
use axum::Router;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// How far a connection's response is.
#[derive(Debug, Default)]
pub(super) struct ResponseProgress {
    /// True from the arrival of the request until its response is written.
    pub(super) answering: AtomicBool,
    /// Bytes of the body that is being sent; 0 if none is.
    pub(super) body: AtomicU64,
}

/// `response_begun` is notified when a body begins to be sent.
pub(super) async fn serve_connection(
    mut stream: TcpStream,
    router: Router,
    progress: Arc<ResponseProgress>,
    response_begun: Arc<Notify>,
    observer: ConnectionObserver,
) {
    let router = TowerToHyperService::new(router);
    let from = stream.peer_addr().and_then(|peer| Ok(FromThisPod::of(peer, stream.local_addr()?)));
    let from = from.unwrap_or(FromThisPod(false));
    let (progress, response_begun) = (&*progress, &*response_begun);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        progress.answering.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(from);
        let response = router.call(request);
        async move {
            let response = response.await?;
            progress.body.store(response.body().size_hint().lower(), Ordering::Relaxed);
            response_begun.notify_one();
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new()
        // The lifetime of the connection is limited, and a stalling head is evicted first.
        .header_read_timeout(None)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(&mut stream), service)
        .await;
    progress.answering.store(false, Ordering::Relaxed);
    progress.body.store(0, Ordering::Relaxed);
    match served {
        Ok(()) => {}
        Err(error) if error.is_parse_too_large() => {
            observer(ConnectionEvent::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        Err(error) if error.is_parse() => observer(ConnectionEvent::Refused(StatusCode::BAD_REQUEST)),
        // No response was sent: the head never came, or the client is gone.
        Err(_) => return,
    }
    // hyper leaves the writing side open after a request for an upgrade.
    let _ = stream.shutdown().await;
    discard_rest(&stream).await;
}

/// Reads until the client closes its side, so that closing the socket does not reset the connection.
async fn discard_rest(stream: &TcpStream) {
    let mut left = MAX_DISCARDED;
    while left > 0 && stream.readable().await.is_ok() {
        tokio::task::consume_budget().await;
        // Declared here, so that it is not part of every connection's memory.
        let mut scratch = [0; 4096];
        match stream.try_read(&mut scratch) {
            Ok(0) => return,
            Ok(length) => left = left.saturating_sub(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
