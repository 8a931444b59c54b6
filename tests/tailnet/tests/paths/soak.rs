//! The short soak of every run; the long one is the example of this name.

use std::time::Duration;

use telltail_tailnet::soak;

#[tokio::test]
async fn every_toggle_that_lasts_is_seen_once_and_none_is_invented() {
    soak::run(Duration::from_secs(90), 4).await;
}
