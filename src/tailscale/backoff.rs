//! How long to wait before the bus is opened again. No clock and no random numbers: both are told.

use std::time::Duration;

/// First wait: a tailscaled that was restarted listens again within a second (facts, "Recipe").
const FIRST: Duration = Duration::from_secs(1);

/// Longest wait. What the bus would have said is seen by the next round all the same, so nobody is in a hurry.
const LONGEST: Duration = Duration::from_secs(60);

/// Doubles the wait from try to try, until a stream has lived for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The wait after a stream that `lived` so long (zero if it could not be opened). `jitter`, from 0 to 1, moves it by
    /// up to a fifth, so that many pods on a machine do not come together.
    ///
    /// Only a long life makes the wait short again: a stream that opens, says a line and ends is a storm as well.
    pub fn after(&mut self, lived: Duration, jitter: f64) -> Duration {
        if lived >= LONGEST {
            *self = Self::default();
        }
        let wait = self.next;
        self.next = (2 * wait).min(LONGEST);
        wait.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_a_minute_and_starts_again_after_a_long_life() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.after(Duration::from_secs(5), 0.5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.after(Duration::from_secs(60), 0.5), FIRST);
        assert_eq!(backoff.after(Duration::ZERO, 0.5), 2 * FIRST);
    }

    #[test]
    fn jitter_is_a_fifth_whatever_is_told() {
        for (jitter, millis) in [(0.0, 800), (1.0, 1200), (-7.0, 800), (9.0, 1200)] {
            assert_eq!(Backoff::default().after(Duration::ZERO, jitter), Duration::from_millis(millis));
        }
    }
}
