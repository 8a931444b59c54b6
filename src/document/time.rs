//! Moments of the document, and the time between two of them.

use std::time::{Duration, SystemTime};

/// The last second that RFC 3339 can write, 9999-12-31T23:59:59Z, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// The nearest moment that RFC 3339 can write: humantime panics for any other. A clock that was never set stands in 1970, and
/// what happened before it was set back is earlier still.
pub fn writable(at: SystemTime) -> SystemTime {
    let last = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(LAST_SECOND));
    at.clamp(SystemTime::UNIX_EPOCH, last.unwrap_or(SystemTime::UNIX_EPOCH))
}

/// Time between two RFC 3339 times of the document. It does not use the reader's clock, which may be wrong; zero where a time
/// is invalid or `to` is before `from`.
pub fn elapsed(from: &str, to: &str) -> Duration {
    let parsed = |text: &str| humantime::parse_rfc3339(text).unwrap_or(SystemTime::UNIX_EPOCH);
    parsed(to).duration_since(parsed(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_can_be_written() {
        let written = |at| humantime::format_rfc3339_seconds(writable(at)).to_string();
        let (epoch, day) = (SystemTime::UNIX_EPOCH, Duration::from_secs(24 * 60 * 60));
        for (at, text) in [
            (epoch - day, "1970-01-01T00:00:00Z"),
            (epoch + day, "1970-01-02T00:00:00Z"),
            (epoch + Duration::from_secs(LAST_SECOND), "9999-12-31T23:59:59Z"),
            (epoch + Duration::from_secs(LAST_SECOND) + day, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(written(at), text);
        }
    }

    #[test]
    fn an_invalid_or_later_time_gives_zero() {
        assert_eq!(elapsed("2026-11-25T02:00:00.500Z", "2026-11-25T02:00:02.000Z"), Duration::from_millis(1500));
        assert_eq!(elapsed("2026-11-25T02:00:02.000Z", "2026-11-25T02:00:00.000Z"), Duration::ZERO);
        assert_eq!(elapsed("yesterday", "today"), Duration::ZERO);
    }
}
