//! Durations as JSON, tables and sentences show them.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Milliseconds, to the microsecond.
pub fn ms_f64(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// Milliseconds for a person: `12.3 ms`.
pub fn ms_text(duration: Duration) -> String {
    format_ms(ms_f64(duration))
}

/// As [`ms_text`], of a number of milliseconds.
pub fn format_ms(ms: f64) -> String {
    format!("{ms:.1} ms")
}

/// The largest unit that helps to plan: days, or hours during the last two days. `5 days`.
pub fn coarse(duration: Duration) -> String {
    let (count, unit) = match duration.as_secs() {
        seconds if seconds >= 2 * DAY => (seconds / DAY, "day"),
        seconds if seconds >= HOUR => (seconds / HOUR, "hour"),
        seconds => (seconds / MINUTE, "minute"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The two largest units: `12 s`, `3 min 12 s`, `5 h 2 min`, `12 d 4 h`.
pub fn two_units(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= DAY => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
        seconds if seconds >= HOUR => format!("{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        seconds if seconds >= MINUTE => format!("{} min {} s", seconds / MINUTE, seconds % MINUTE),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_two_largest_units() {
        let of = |seconds| two_units(Duration::from_secs(seconds));
        assert_eq!([0, 59, 60, 3599].map(of), ["0 s", "59 s", "1 min 0 s", "59 min 59 s"]);
        assert_eq!([3600, 86_399, 86_400, 1_000_000].map(of), ["1 h 0 min", "23 h 59 min", "1 d 0 h", "11 d 13 h"]);
    }

    #[test]
    fn a_coarse_duration_is_a_count_of_one_unit() {
        let of = |seconds| coarse(Duration::from_secs(seconds));
        assert_eq!([0, 60, 3599, 3600].map(of), ["0 minutes", "1 minute", "59 minutes", "1 hour"]);
        assert_eq!([7200, 172_799, 172_800].map(of), ["2 hours", "47 hours", "2 days"]);
    }

    #[test]
    fn milliseconds_have_no_more_digits_than_were_measured() {
        let took = Duration::from_nanos(1_234_567);
        assert_eq!((ms_f64(took), ms_text(took)), (1.235, "1.2 ms".to_owned()));
    }
}
