//! Warnings before a key expires: once at 14, 3 and 1 days, and once at the expiry.

use crate::state::Snapshot;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use tracing::warn;

/// Logs that keys expire soon, once per mark.
#[derive(Clone, Debug, Default)]
pub struct KeyExpiryLog {
    /// Per key, by its owner: its expiry and the last mark that was logged.
    logged: HashMap<String, (SystemTime, u32)>,
}

/// Days before the expiry, nearest first; 0 is the expiry itself.
const MARKS: [u32; 4] = [0, 1, 3, 14];

/// How long before its expiry a key is mentioned.
pub const WARNED_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl KeyExpiryLog {
    /// Logs every key that has reached its next mark.
    pub fn record(&mut self, snapshot: &Snapshot, wall: SystemTime) {
        let own = snapshot.node.facts.as_ref().and_then(|facts| facts.key_expiry);
        if let Some(days) = self.due("", own, wall) {
            warn!(days, "This node's own key expires soon: log it in again, or tag it so that its key does not expire");
        }
        for view in &snapshot.targets {
            let name = &view.target.name;
            let expiry = view.peer.as_ref().and_then(|peer| peer.key_expiry);
            if let Some(days) = self.due(name, expiry, wall) {
                warn!(target = name, days, "The key of the target's node expires soon: log that machine in again");
            }
        }
    }

    /// The mark to log now, if any. A renewed key starts from the first mark again.
    fn due(&mut self, owner: &str, expiry: Option<SystemTime>, wall: SystemTime) -> Option<u32> {
        let Some(expiry) = expiry else {
            self.logged.remove(owner);
            return None;
        };
        let left = expiry.duration_since(wall).unwrap_or_default();
        let mark = MARKS.into_iter().find(|mark| left <= DAY * *mark)?;
        let last = self.logged.get(owner).filter(|(of, _)| *of == expiry).map(|(_, mark)| *mark);
        if last.is_some_and(|last| last <= mark) {
            return None;
        }
        self.logged.insert(owner.to_owned(), (expiry, mark));
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_is_logged_once_and_again_for_a_renewed_key() {
        let mut log = KeyExpiryLog::default();
        let start = SystemTime::UNIX_EPOCH + DAY * 1000;
        let expiry = Some(start + DAY * 20);
        let logged: Vec<_> = (0..24).filter_map(|day| log.due("db", expiry, start + DAY * day)).collect();
        assert_eq!(logged, [14, 3, 1, 0]);
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
