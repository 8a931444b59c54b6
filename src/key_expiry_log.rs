//! Warnings before a key expires: once at 14, 3 and 1 days, and once at its expiry.

use crate::state::Snapshot;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use tracing::warn;

/// Logs that keys expire soon or have expired, once per threshold.
#[derive(Clone, Debug, Default)]
pub struct KeyExpiryLog {
    /// Per key, by its owner: its expiry and the last threshold that was logged.
    logged: HashMap<String, (SystemTime, u32)>,
}

/// Days before the expiry, nearest first; 0 is the expiry itself.
const THRESHOLD_DAYS: [u32; 4] = [0, 1, 3, 14];

/// Time before its expiry from which a key is warned about.
pub const WARNED_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl KeyExpiryLog {
    /// Logs every key that has reached its next threshold.
    pub fn record(&mut self, snapshot: &Snapshot, wall: SystemTime) {
        let own = snapshot.node.facts.as_ref().and_then(|facts| facts.key_expiry);
        if let Some(days) = self.due("", own, wall) {
            let state = state(days);
            warn!(days, "This node's own key {state}: log it in again, or tag it so that its key does not expire");
        }
        for view in &snapshot.targets {
            let name = &view.target.name;
            let expiry = view.peer.as_ref().and_then(|peer| peer.key_expiry);
            if let Some(days) = self.due(name, expiry, wall) {
                let state = state(days);
                warn!(target = name, days, "The key of the target's node {state}: log that machine in again");
            }
        }
    }

    /// The threshold to log now, if any. A renewed key starts from the first threshold again.
    fn due(&mut self, owner: &str, expiry: Option<SystemTime>, wall: SystemTime) -> Option<u32> {
        let Some(expiry) = expiry else {
            self.logged.remove(owner);
            return None;
        };
        let left = expiry.duration_since(wall).unwrap_or_default();
        let days = THRESHOLD_DAYS.into_iter().find(|days| left <= DAY * *days)?;
        let last = self.logged.get(owner).filter(|(of, _)| *of == expiry).map(|(_, days)| *days);
        if last.is_some_and(|last| last <= days) {
            return None;
        }
        self.logged.insert(owner.to_owned(), (expiry, days));
        Some(days)
    }
}

fn state(days: u32) -> &'static str {
    if days == 0 { "has expired" } else { "expires soon" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_threshold_is_logged_once_and_again_for_a_renewed_key() {
        let mut log = KeyExpiryLog::default();
        let start = SystemTime::UNIX_EPOCH + DAY * 1000;
        let expiry = Some(start + DAY * 20);
        let logged: Vec<_> = (0..24).filter_map(|day| log.due("db", expiry, start + DAY * day)).collect();
        assert_eq!(logged, [14, 3, 1, 0]);
        assert_eq!([1, 0].map(state), ["expires soon", "has expired"]);
        let renewed = Some(start + DAY * 26);
        assert_eq!(log.due("db", renewed, start + DAY * 24), Some(3));
        assert_eq!(log.due("db", renewed, start + DAY * 24), None);
        assert_eq!(log.due("other", expiry, start), None);
    }

    #[test]
    fn a_key_that_never_expires_is_never_logged() {
        assert_eq!(KeyExpiryLog::default().due("db", None, SystemTime::now()), None);
    }
}
