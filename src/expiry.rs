//! Keys that will expire: the log is told once at 14, 3 and 1 days before, and once when it has happened.

use crate::state::Snapshot;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use tracing::warn;

/// What was said already.
#[derive(Clone, Debug, Default)]
pub struct Expiries {
    /// By whose key it is: when it expires, and the nearest mark that was said.
    said: HashMap<String, (SystemTime, u32)>,
}

/// Days before the expiry at which a person is told, nearest first; 0 is the expiry itself.
const MARKS: [u32; 4] = [0, 1, 3, 14];

/// From when on a person is told.
pub const WARNED_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Expiries {
    /// Looks at every key and says what has come nearer.
    pub fn report(&mut self, snapshot: &Snapshot, wall: SystemTime) {
        let own = snapshot.node.facts.as_ref().and_then(|facts| facts.key_expiry);
        if let Some(days) = self.due("", own, wall) {
            warn!(days, "This node's own key expires soon: log it in again, or tag it so that its key does not expire");
        }
        for view in &snapshot.targets {
            let name = &view.target.name;
            let peers = view.peer.as_ref().and_then(|peer| peer.key_expiry);
            if let Some(days) = self.due(name, peers, wall) {
                warn!(target = name, days, "The key of the target's node expires soon: log that machine in again");
            }
        }
    }

    /// The mark that has been reached and not been said; a key that was renewed starts afresh.
    fn due(&mut self, whose: &str, expiry: Option<SystemTime>, wall: SystemTime) -> Option<u32> {
        let Some(expiry) = expiry else {
            self.said.remove(whose);
            return None;
        };
        let left = expiry.duration_since(wall).unwrap_or_default();
        let mark = MARKS.into_iter().find(|mark| left <= DAY * *mark)?;
        let said = self.said.get(whose).filter(|(of, _)| *of == expiry).map(|(_, mark)| *mark);
        if said.is_some_and(|said| said <= mark) {
            return None;
        }
        self.said.insert(whose.to_owned(), (expiry, mark));
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_is_said_once_and_again_for_a_new_key() {
        let mut expiries = Expiries::default();
        let start = SystemTime::UNIX_EPOCH + DAY * 1000;
        let expiry = Some(start + DAY * 20);
        let said: Vec<_> = (0..24).filter_map(|day| expiries.due("db", expiry, start + DAY * day)).collect();
        assert_eq!(said, [14, 3, 1, 0]);
        let renewed = Some(start + DAY * 26);
        assert_eq!(expiries.due("db", renewed, start + DAY * 24), Some(3));
        assert_eq!(expiries.due("db", renewed, start + DAY * 24), None);
        assert_eq!(expiries.due("other", expiry, start), None);
    }

    #[test]
    fn a_key_that_never_expires_is_never_mentioned() {
        assert_eq!(Expiries::default().due("db", None, SystemTime::now()), None);
    }
}
