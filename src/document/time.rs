//! Time between two moments of the document.

use std::time::{Duration, SystemTime};

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
    fn an_invalid_or_later_time_gives_zero() {
        assert_eq!(elapsed("2026-11-25T02:00:00.500Z", "2026-11-25T02:00:02.000Z"), Duration::from_millis(1500));
        assert_eq!(elapsed("2026-11-25T02:00:02.000Z", "2026-11-25T02:00:00.000Z"), Duration::ZERO);
        assert_eq!(elapsed("yesterday", "today"), Duration::ZERO);
    }
}
