//! The worst lateness of a round in the last minute, which shows a throttled CPU. No clock: the time is an argument.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Over this time the worst lateness is exported.
const WINDOW: Duration = Duration::from_secs(60);

/// The lateness of each round in the last minute.
#[derive(Default)]
pub(super) struct LagWindow(VecDeque<(Instant, Duration)>);

impl LagWindow {
    pub fn note(&mut self, now: Instant, lag: Duration) {
        self.0.push_back((now, lag));
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
    }

    pub fn worst(&self) -> Duration {
        self.0.iter().map(|(_, lag)| *lag).max().unwrap_or_default()
    }
}
