use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Waits until a condition holds, looking again every 50 ms; panics with its name if it does not in time.
pub async fn eventually(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    eventually_some(what, within, async || holds().await.then_some(())).await;
}

/// Like [`eventually`], for a condition that yields something.
pub async fn eventually_some<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let Ok(found) = timeout(within, looking).await else { panic!("not within {within:?}: {what}") };
    found
}
