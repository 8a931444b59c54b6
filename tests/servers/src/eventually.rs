use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longest wait for anything that a server does: a machine under load takes its time.
const LONG: Duration = Duration::from_secs(30);

/// Waits until a condition holds; panics with its name if it does not.
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    assert!(within_reason(holds).await, "not within {LONG:?}: {what}");
}

/// Waits until a condition holds, looking again every 10 ms, but not for ever; says whether it held.
pub(crate) async fn within_reason(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let looking = async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, looking).await.is_ok()
}
