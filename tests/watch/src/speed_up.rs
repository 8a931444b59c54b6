//! Rules and routes in a hurry: what takes minutes takes seconds, and everything else stays as it is shipped.

use std::time::Duration;

/// Shorter would hold fewer than the two samples that `rate` needs, at one scrape a second.
const SHORTEST: Duration = Duration::from_secs(3);
/// What stands before a duration.
const BEFORE: [&str; 8] = [
    "for: ",
    "keep_firing_for: ",
    "interval: ",
    "offset ",
    "[",
    "group_wait: ",
    "group_interval: ",
    "repeat_interval: ",
];

/// Divides every duration of a rules file or of an Alertmanager's configuration: of `for`, `keep_firing_for` and `interval`,
/// of range selectors (the day and the week as well) and `offset`, of `group_wait` and its sisters. Ranges stay at three
/// seconds or more. Numbers stay: thresholds are shares, seconds of latency and dates.
pub fn speed_up(yaml: &str, factor: u32) -> String {
    let mut made = String::new();
    let mut rest = yaml;
    while let Some((at, before)) = next(rest) {
        let (head, tail) = rest.split_at(at + before.len());
        made.push_str(head);
        let length = tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len());
        let (word, after) = tail.split_at(length);
        match duration(word) {
            Some(time) => {
                let shortest = if before == "[" { SHORTEST } else { Duration::ZERO };
                made.push_str(&format!("{}ms", (time / factor).max(shortest).as_millis()));
            }
            None => made.push_str(word),
        }
        rest = after;
    }
    made + rest
}

/// The first of the words that stand before a duration, and where.
fn next(text: &str) -> Option<(usize, &'static str)> {
    BEFORE
        .iter()
        .filter_map(|before| Some((text.find(before)?, *before)))
        .min_by_key(|(at, before)| (*at, usize::MAX - before.len()))
}

/// Prometheus' durations: `1d`, `1h30m`.
fn duration(word: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        total += Duration::from_secs(number.parse::<u64>().ok()? * seconds);
        rest = tail;
    }
    (!word.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::speed_up;

    #[test]
    fn durations_shrink_and_nothing_else_does() {
        let rule = "expr: rate(x:rate5m[10m]) > y offset 1h + min_over_time(z[1w]) and t - 14 * 24 * 3600 < 5\nfor: 15m\n\
                    keep_firing_for: 1h30m\nsummary: for five minutes [see 5m]";
        let fast = "expr: rate(x:rate5m[10000ms]) > y offset 60000ms + min_over_time(z[10080000ms]) and t - 14 * 24 * 3600 < 5\n\
                    for: 15000ms\nkeep_firing_for: 90000ms\nsummary: for five minutes [see 5m]";
        assert_eq!(speed_up(rule, 60), fast);
        assert_eq!(speed_up("rate(x[1m])", 60), "rate(x[3000ms])", "two samples at least");
        assert_eq!(speed_up("group_wait: 30s\ngroup_interval: 5m", 60), "group_wait: 500ms\ngroup_interval: 5000ms");
    }
}
