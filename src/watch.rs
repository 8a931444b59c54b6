//! Watching tailscaled's news: they wake the loop, and tell what tailscaled warns of.

use crate::reason::Failure;
use crate::schedule::fraction_of;
use crate::state::State;
use crate::tailscale::{Backoff, Dialer, MASK};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::debug;

/// Reads the news for ever; a stream that ends is opened again, later and later if it keeps ending.
///
/// The news are never the truth: whatever they say, the loop reads the status.
pub async fn run(dialer: Dialer, state: Arc<State>, wake: Arc<Notify>, pod_uid: String) {
    let mut backoff = Backoff::default();
    for attempt in 0.. {
        let opened = Instant::now();
        if let Err(failure) = follow(&dialer, &state, &wake).await {
            debug!(cause = failure.cause, "tailscaled's news cannot be read");
        }
        let lived = opened.elapsed();
        // What was warned of may have ended unseen, and why the stream ended the status will tell.
        state.set_warnings(Vec::new());
        wake.notify_one();
        sleep(backoff.after(lived, fraction_of(&pod_uid, attempt))).await;
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
            debug!(error, "tailscaled's news end");
        }
    }
    Ok(())
}
