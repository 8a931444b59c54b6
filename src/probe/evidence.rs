//! Asking the layers below TCP after a probe has met silence.

use crate::diagnose::{Evidence, Seen};
use crate::tailscale::{Dialer, PingKind};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for one answer; each question is asked twice, so that one lost packet proves nothing.
const WAIT: Duration = Duration::from_secs(1);

/// Bytes of a disco ping that is as long as a full packet of the tunnel: 1280 bytes, the tunnel's MTU, and 32 that
/// WireGuard adds.
const FULL_SIZE: u16 = 1312;

/// Asks all three questions side by side.
pub async fn gather(address: IpAddr, dialer: &Dialer) -> Evidence {
    let (disco, tunnel, full_size) = tokio::join!(
        ask(address, PingKind::Disco, None, dialer),
        ask(address, PingKind::Tsmp, None, dialer),
        ask(address, PingKind::Disco, Some(FULL_SIZE), dialer),
    );
    Evidence { disco, tunnel, full_size }
}

async fn ask(address: IpAddr, kind: PingKind, size: Option<u16>, dialer: &Dialer) -> Seen {
    for _ in 0..2 {
        match timeout(WAIT, dialer.ping(address, kind, size)).await {
            Ok(Ok(_)) => return Seen::Answer,
            Ok(Err(_)) => return Seen::Untold,
            Err(_) => {}
        }
    }
    Seen::Silence
}
