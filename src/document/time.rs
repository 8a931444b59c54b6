//! The document's times as a person reads them.

use std::time::{Duration, SystemTime};

/// Time from one moment of the document to another; no clock of the reader's is asked.
pub fn elapsed(from: &str, to: &str) -> Duration {
    let parsed = |text: &str| humantime::parse_rfc3339(text).unwrap_or(SystemTime::UNIX_EPOCH);
    parsed(to).duration_since(parsed(from)).unwrap_or_default()
}

/// The two largest units of a duration, in words: `12 s`, `3 min 12 s`, `5 h 2 min`, `12 d 4 h`.
pub fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_two_largest_units() {
        let of = |seconds| words(Duration::from_secs(seconds));
        assert_eq!([0, 59, 60, 3599].map(of), ["0 s", "59 s", "1 min 0 s", "59 min 59 s"]);
        assert_eq!([3600, 86_399, 86_400, 1_000_000].map(of), ["1 h 0 min", "23 h 59 min", "1 d 0 h", "11 d 13 h"]);
    }

    #[test]
    fn what_is_no_time_or_lies_ahead_has_not_elapsed() {
        assert_eq!(elapsed("2026-11-25T02:00:00.500Z", "2026-11-25T02:00:02.000Z"), Duration::from_millis(1500));
        assert_eq!(elapsed("2026-11-25T02:00:02.000Z", "2026-11-25T02:00:00.000Z"), Duration::ZERO);
        assert_eq!(elapsed("yesterday", "today"), Duration::ZERO);
    }
}
