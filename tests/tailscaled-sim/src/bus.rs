//! The IPN bus (`watch-ipn-bus`): a first line, then one for each change, until one side ends it.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::connection::Daemon;
use crate::http_stream::{Disconnected, HttpStream};
use crate::notify::{NotifyLine, PEER_BITS, empty, fell_behind, first};
use crate::response::{Body, Response};
use crate::{Request, Version, locked};

/// What reaches every stream.
#[derive(Clone, Debug)]
pub(crate) enum BusEvent {
    Notify(Arc<NotifyLine>),
    End,
    Overrun,
    Raw(Bytes),
}

/// Lines that a stream may be behind, as in reality.
pub(crate) const QUEUE: usize = 128;

/// A refusal, or `None` once the stream has ended in order.
pub(crate) async fn watch(
    daemon: &Daemon,
    http: &mut HttpStream,
    request: &Request,
) -> Result<Option<Response>, Disconnected> {
    let version = locked(&daemon.state).version;
    let mask = match mask(request, version) {
        Ok(mask) => mask,
        Err(Refusal(status, text)) => return Ok(Some(Response::error(status, &text))),
    };
    // One lock for both, so that nothing is told twice or not at all.
    let (first, mut events) = {
        let sim = locked(&daemon.state);
        (first(&sim, mask, request.connection), daemon.bus_events.subscribe())
    };
    Response::json(Body::Whole(Vec::new())).signed(version).send_chunked_head(http, request).await?;
    if let Some(line) = first {
        chunk(http, line.text.as_bytes()).await?;
    }
    serve(http, mask, version, &mut events).await?;
    http.send(b"0\r\n\r\n").await.map(|()| None)
}

async fn serve(
    http: &mut HttpStream,
    mask: u64,
    version: Version,
    events: &mut broadcast::Receiver<BusEvent>,
) -> Result<(), Disconnected> {
    let empty = empty(version).text;
    let mut lost = false;
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            gone = http.left() => return Err(gone),
        };
        match event {
            Ok(BusEvent::Notify(_)) if lost => lost = false,
            Ok(BusEvent::Notify(line)) if line.for_peers && mask & PEER_BITS == 0 => {
                chunk(http, empty.as_bytes()).await?
            }
            Ok(BusEvent::Notify(line)) => chunk(http, line.text.as_bytes()).await?,
            Ok(BusEvent::Raw(bytes)) => chunk(http, &bytes).await?,
            Ok(BusEvent::Overrun) | Err(RecvError::Lagged(_)) if version.since(1, 102) => {
                return chunk(http, fell_behind(version).text.as_bytes()).await;
            }
            Ok(BusEvent::Overrun) => lost = true,
            Err(RecvError::Lagged(_)) => {}
            Ok(BusEvent::End) | Err(RecvError::Closed) => return Ok(()),
        }
    }
}

async fn chunk(http: &mut HttpStream, bytes: &[u8]) -> Result<(), Disconnected> {
    http.send(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()).await
}

/// Status and text.
struct Refusal(u16, String);

fn mask(request: &Request, version: Version) -> Result<u64, Refusal> {
    const NO_PRIVATE_KEYS: u64 = 16;
    const RATE_LIMIT: u64 = 256;
    const IN_PROCESS: u64 = 65_536;
    let text = request.parameter("mask").unwrap_or_default();
    let mask = if text.is_empty() { 0 } else { text.parse().map_err(|_| Refusal(400, "bad mask".to_owned()))? };
    if !version.since(1, 92) && mask & NO_PRIVATE_KEYS == 0 && !may_write(request) {
        let text =
            "watch IPN bus access denied, must set ipn.NotifyNoPrivateKeys when not running as admin/root or operator";
        return Err(Refusal(403, text.to_owned()));
    }
    if !version.since(1, 102) {
        return Ok(mask);
    }
    if mask & IN_PROCESS != 0 {
        let text = "NotifyInProcessNoDisconnect is only valid for in-process IPN bus subscribers";
        return Err(Refusal(400, text.to_owned()));
    }
    let bits = [(4096, "PeerChanges"), (8192, "NoNetMap"), (16_384, "InitialStatus"), (32_768, "PeerPatches")];
    let bad: Vec<_> =
        bits.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| format!("ipn.Notify{name}")).collect();
    if mask & RATE_LIMIT == 0 || bad.is_empty() {
        return Ok(mask);
    }
    let bad = if bad.len() == 1 { bad.concat() } else { format!("({})", bad.join(" | ")) };
    Err(Refusal(400, format!("NotifyRateLimit is incompatible with new-style IPN bus subscription bits {bad}")))
}

/// Root, or the user that tailscaled runs as.
fn may_write(request: &Request) -> bool {
    let own = std::fs::metadata("/proc/self").ok().map(|process| process.uid());
    request.uid == Some(0) || request.uid == own
}
