//! Warnings before a key expires: once at 14, 3 and 1 days, and once at its expiry.

use crate::state::Snapshot;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// Which keys expire soon or have expired, once per threshold.
#[derive(Clone, Debug, Default)]
pub struct KeyExpiryLog {
    /// Per key: its expiry and the last threshold that was reached.
    logged: HashMap<KeyOwner, (SystemTime, u32)>,
}

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyOwner {
    /// This node.
    Node,
    /// The peer of the target with this name.
    Target(String),
}

/// A key that has reached a threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringKey {
    /// Whose it is.
    pub owner: KeyOwner,
    /// The threshold in days before the expiry; 0 is the expiry itself.
    pub days: u32,
}

/// Days before the expiry, nearest first; 0 is the expiry itself.
const THRESHOLD_DAYS: [u32; 4] = [0, 1, 3, 14];

/// Time before its expiry from which a key is warned about.
pub const WARNED_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl KeyExpiryLog {
    /// Every key that has reached its next threshold.
    pub fn due_keys(&mut self, snapshot: &Snapshot, wall: SystemTime) -> Vec<ExpiringKey> {
        let own = snapshot.node.facts.as_ref().and_then(|facts| facts.key_expiry);
        let of_targets = snapshot.targets.iter().map(|view| {
            let expiry = view.peer.as_ref().and_then(|peer| peer.key_expiry);
            (KeyOwner::Target(view.target.name.clone()), expiry)
        });
        let keys = std::iter::once((KeyOwner::Node, own)).chain(of_targets);
        keys.filter_map(|(owner, expiry)| {
            let days = self.due(&owner, expiry, wall)?;
            Some(ExpiringKey { owner, days })
        })
        .collect()
    }

    /// The threshold to log now, if any. A renewed key starts from the first threshold again.
    fn due(&mut self, owner: &KeyOwner, expiry: Option<SystemTime>, wall: SystemTime) -> Option<u32> {
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
        self.logged.insert(owner.clone(), (expiry, days));
        Some(days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_threshold_is_logged_once_and_again_for_a_renewed_key() {
        let (mut log, db) = (KeyExpiryLog::default(), KeyOwner::Target("db".to_owned()));
        let start = SystemTime::UNIX_EPOCH + DAY * 1000;
        let expiry = Some(start + DAY * 20);
        let logged: Vec<_> = (0..24).filter_map(|day| log.due(&db, expiry, start + DAY * day)).collect();
        assert_eq!(logged, [14, 3, 1, 0]);
        let renewed = Some(start + DAY * 26);
        assert_eq!(log.due(&db, renewed, start + DAY * 24), Some(3));
        assert_eq!(log.due(&db, renewed, start + DAY * 24), None);
        assert_eq!(log.due(&KeyOwner::Node, expiry, start), None);
    }

    #[test]
    fn a_key_that_never_expires_is_never_logged() {
        assert_eq!(KeyExpiryLog::default().due(&KeyOwner::Node, None, SystemTime::now()), None);
    }
}
