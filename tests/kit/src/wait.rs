use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Longest wait for a server or a program on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A condition may start a process, so it is not checked too often.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until a condition holds; panics with its name if it does not in time.
pub async fn eventually(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    eventually_some(what, within, async || holds().await.then_some(())).await;
}

/// Like [`eventually`], for a condition that yields a value.
pub async fn eventually_some<T>(what: &str, within: Duration, value: impl AsyncFnMut() -> Option<T>) -> T {
    wait(within, value).await.unwrap_or_else(|| panic!("not within {within:?}: {what}"))
}

/// Like [`eventually_some`], and yields nothing if there is no value in time.
pub(crate) async fn wait<T>(within: Duration, mut value: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let polling = async {
        loop {
            if let Some(found) = value().await {
                return found;
            }
            sleep(INTERVAL).await;
        }
    };
    timeout(within, polling).await.ok()
}
