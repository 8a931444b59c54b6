//! Watches the IPN bus: notifications wake the prober and update the health warnings.

mod backoff;

use crate::reason::Failure;
use crate::schedule::fraction_of;
use crate::state::State;
use crate::tailscale::{Dialer, MASK};
use backoff::Backoff;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::debug;

/// Reads notifications forever. A stream that ends is opened again, with a growing delay if it keeps ending.
///
/// A notification only wakes the prober, which reads the status: older releases drop notifications silently.
pub async fn run(dialer: Dialer, state: Arc<State>, wake: Arc<Notify>, pod_uid: String) {
    let mut backoff = Backoff::default();
    for attempt in 0.. {
        let opened = Instant::now();
        if let Err(failure) = follow(&dialer, &state, &wake).await {
            debug!(cause = failure.cause, "IPN bus watch failed");
        }
        let lifetime = opened.elapsed();
        // Without the bus nothing would clear a warning. Why the stream ended is seen in the status.
        state.set_warnings(Vec::new());
        wake.notify_one();
        sleep(backoff.after(lifetime, fraction_of(&pod_uid, attempt))).await;
    }
}

async fn follow(dialer: &Dialer, state: &State, wake: &Notify) -> Result<(), Failure> {
    let mut bus = dialer.watch(MASK).await?;
    while let Some(event) = bus.next().await? {
        if let Some(warnings) = event.health {
            state.set_warnings(warnings);
        }
        if event.wake {
            wake.notify_one();
        }
        if let Some(error) = event.error {
            debug!(error, "IPN bus reported an error");
        }
    }
    Ok(())
}
