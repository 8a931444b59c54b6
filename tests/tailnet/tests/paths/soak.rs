//! The short soak of every run; the long one is the example of this name.

use std::time::Duration;

use telltail_tailnet::soak;

#[tokio::test]
async fn every_toggle_that_lasts_is_seen_once_and_none_is_invented() {
    // This seed fits two long blocks and a short one into the time.
    let counts = soak::run(Duration::from_secs(90), 50).await;
    assert!(counts.blocked_long >= 1 && counts.blocked_short >= 1, "{counts:?}");
}
