//! How many lines the log may have: what flaps is rationed, and what was quiet is logged at once. No I/O and no clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

/// Lines that may still be written, of each subject and of all together.
#[derive(Debug)]
pub(super) struct LineBudget<S> {
    all: Tokens,
    /// Of each subject that has not all of its tokens.
    subjects: HashMap<S, Tokens>,
}

/// One token is one line.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    left: u32,
    /// Until when the gained ones are counted.
    counted: Instant,
}

/// How many tokens there are at most, and how long it takes to gain one.
#[derive(Clone, Copy, Debug)]
struct Rate {
    most: u32,
    interval: Duration,
}

/// Lines of one subject: sixteen outages and their ends at once, 144 lines a day of what never stops.
const OF_SUBJECT: Rate = Rate { most: 32, interval: Duration::from_secs(10 * 60) };
/// Lines of all subjects: 1,000 at once and 900 more in a day. The other lines of a day (reminders, start, end) are less than 100.
const OF_ALL: Rate = Rate { most: 1000, interval: Duration::from_secs(96) };
/// Of those, what is kept for subjects that are quiet: the fewer of its own a subject has left, the more of it is out of its
/// reach. 64 targets can go down and take another path, and come back, while others flap.
const RESERVE: u32 = 500;

impl<S: Eq + Hash> LineBudget<S> {
    /// Nothing was written yet.
    pub fn new(now: Instant) -> Self {
        Self { all: Tokens::full(OF_ALL, now), subjects: HashMap::new() }
    }

    /// May a line about this subject be written now? Then it is counted as written.
    pub fn take(&mut self, subject: S, now: Instant) -> bool {
        self.all.gain(OF_ALL, now);
        let mut own = self.subjects.get(&subject).copied().unwrap_or(Tokens::full(OF_SUBJECT, now));
        own.gain(OF_SUBJECT, now);
        if own.left == 0 {
            return false;
        }
        if self.all.left <= RESERVE * (OF_SUBJECT.most - own.left) / OF_SUBJECT.most {
            // Who is kept waiting is not quiet: it gains nothing meanwhile.
            own.counted = now;
            self.subjects.insert(subject, own);
            return false;
        }
        own.left -= 1;
        self.all.left -= 1;
        self.subjects.retain(|_, tokens| !tokens.gain(OF_SUBJECT, now));
        self.subjects.insert(subject, own);
        true
    }
}

impl Tokens {
    const fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.most, counted: now }
    }

    /// Adds what was gained since; are these all that there can be?
    fn gain(&mut self, rate: Rate, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.counted).as_secs() / rate.interval.as_secs();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(gained).min(rate.most);
        self.counted = if self.left == rate.most { now } else { self.counted + rate.interval * gained };
        self.left == rate.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn second(start: Instant, second: u64) -> Instant {
        start + Duration::from_secs(second)
    }

    #[test]
    fn one_that_never_stops_has_a_burst_and_a_line_each_ten_minutes() {
        let start = Instant::now();
        let mut budget = LineBudget::new(start);
        let taken: Vec<_> = (0..DAY).filter(|at| budget.take("db", second(start, *at))).collect();
        let first: Vec<_> = (0..32).chain([600, 1200]).collect();
        assert_eq!(taken[..34], first);
        assert_eq!(taken.len() as u64, 32 + (DAY - 1) / 600);
    }

    #[test]
    fn whatever_flaps_a_day_has_less_than_two_thousand_lines_and_who_was_quiet_has_its_first_ones() {
        let start = Instant::now();
        let mut budget = LineBudget::new(start);
        let mut lines = 0;
        for at in (0..DAY).step_by(5) {
            let now = second(start, at);
            // And a new name each five minutes.
            lines += (0..200).filter(|subject| budget.take(*subject, now)).count();
            lines += usize::from(at % 300 == 0 && budget.take(1000 + at, now));
            if at == DAY / 2 {
                let quiet = (0..2000).filter(|subject| subject % 20 == 0);
                assert!(quiet.clone().take(4).all(|_| budget.take(500, now)), "a subject that was quiet");
                lines += 4;
            }
        }
        assert!((1000..=1900).contains(&lines), "{lines}");
    }

    #[test]
    fn subjects_that_are_quiet_are_forgotten() {
        let start = Instant::now();
        let mut budget = LineBudget::new(start);
        (0..100).for_each(|subject| assert!(budget.take(subject, start)));
        assert_eq!(budget.subjects.len(), 100);
        assert!(budget.take(1, second(start, 600)));
        assert_eq!(budget.subjects.len(), 1);
    }
}
