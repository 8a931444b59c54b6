//! When telltail itself runs out of something. Such an error says nothing of the far side.

use crate::reason::{Failure, Reason};
use nix::errno::Errno;
use std::io;
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// Has telltail, or the machine it runs on, no file descriptor (EMFILE, ENFILE), memory (ENOMEM, ENOBUFS) or place in epoll
/// (ENOSPC, `fs.epoll.max_user_watches`) left? For local ports see `probe::connect`.
pub fn is_own_shortage(error: &io::Error) -> bool {
    let codes = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS, Errno::ENOSPC];
    error.raw_os_error().is_some_and(|code| codes.contains(&Errno::from_raw(code)))
}

/// The reason for an error of the operating system: `otherwise`, unless it is an own shortage.
pub fn reason_of(error: &io::Error, otherwise: Reason) -> Reason {
    if is_own_shortage(error) { Reason::NodeOutOfResources } else { otherwise }
}

/// Is it one that is behind this error of a library?
pub fn is_behind(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.any(|error| error.downcast_ref().is_some_and(is_own_shortage))
}

/// Logs shortages, rarely: each one is counted in a metric.
#[derive(Debug, Default)]
pub struct ShortageLog {
    logged: Option<Instant>,
}

/// As the reminder of what stays down.
const LOG_INTERVAL: Duration = Duration::from_secs(30 * 60);

impl ShortageLog {
    /// Is a line due? If so, the next one is due after half an hour.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self.logged.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        if due {
            self.logged = Some(now);
        }
        due
    }

    /// Logs a shortage if a line is due.
    pub fn note(&mut self, shortage: &Failure, now: Instant) {
        if self.is_due(now) {
            let (reason, scope) = (shortage.reason.slug(), shortage.reason.scope().slug());
            warn!(reason, scope, cause = shortage.cause, "telltail itself has run out; probes are aborted meanwhile");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_telltail_lacks_is_told_from_what_the_far_side_does() {
        // Linux: ENOMEM, ENFILE, EMFILE, ENOSPC, ENOBUFS.
        for code in [12, 23, 24, 28, 105] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(reason_of(&error, Reason::ConnectFailed), Reason::NodeOutOfResources, "{code}");
        }
        // ENOENT, EAGAIN, EACCES, EADDRINUSE, EADDRNOTAVAIL, ENETUNREACH, ECONNRESET, ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH.
        for code in [2, 11, 13, 98, 99, 101, 104, 110, 111, 113] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(reason_of(&error, Reason::ConnectFailed), Reason::ConnectFailed, "{code}");
        }
        assert!(!is_own_shortage(&io::Error::other("too many open files")), "a text is not enough");
    }

    #[test]
    fn a_shortage_that_lasts_is_logged_every_half_hour() {
        let (mut log, start) = (ShortageLog::default(), Instant::now());
        let lines = (0..24 * 3600).filter(|second| log.is_due(start + Duration::from_secs(*second))).count();
        assert_eq!(lines, 48);
    }
}
