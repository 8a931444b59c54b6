//! How long to wait before the IPN bus is opened again. Elapsed time and jitter are arguments.

use std::time::Duration;

/// First wait: a tailscaled that was restarted listens again within a second.
const FIRST: Duration = Duration::from_secs(1);

/// Longest wait. Meanwhile the prober's rounds see changes, only later.
const LONGEST: Duration = Duration::from_secs(60);

/// Doubles the wait from attempt to attempt, until a stream has lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The wait after a stream that lasted for `lifetime` (zero if it could not be opened). `jitter`, from 0 to 1, moves it
    /// by up to a fifth, so that the pods of a machine do not reconnect together.
    ///
    /// Only a long lifetime resets the wait: streams that open and end at once would make a reconnect storm, too.
    pub fn after(&mut self, lifetime: Duration, jitter: f64) -> Duration {
        if lifetime >= LONGEST {
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
    fn the_wait_doubles_to_a_minute_and_is_reset_by_a_long_lifetime() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.after(Duration::from_secs(5), 0.5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.after(Duration::from_secs(60), 0.5), FIRST);
        assert_eq!(backoff.after(Duration::ZERO, 0.5), 2 * FIRST);
    }

    #[test]
    fn jitter_is_at_most_a_fifth() {
        for (jitter, millis) in [(0.0, 800), (1.0, 1200), (-7.0, 800), (9.0, 1200)] {
            assert_eq!(Backoff::default().after(Duration::ZERO, jitter), Duration::from_millis(millis));
        }
    }
}
