//! How the process shares its file descriptors out, so that probes and HTTP clients cannot take each other's. No I/O.

use crate::config::MAX_TARGETS;

/// The sockets of a target's turn without pings after a timeout: the connection, the one that replaces it, and a disco ping.
pub const TURN_SOCKETS: u32 = 3;
/// The same with those pings: three and two witnesses, side by side.
pub const REFINING_TURN_SOCKETS: u32 = TURN_SOCKETS + 5;

/// Descriptors beside those that are open when the agent starts: the status, the IPN bus, a file of the configuration or of
/// `/proc`, a connection that was accepted and evicts another one; and as many again.
const OTHERS: usize = 8;
/// Of those that are left, connections get one in so many.
const CONNECTIONS_SHARE: usize = 4;
/// Enough for the kubelet and Prometheus, if there is room for nothing else.
const MIN_CONNECTIONS: usize = 4;

/// The shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorBudget {
    /// Most HTTP connections.
    pub connections: usize,
    /// Most sockets of turns.
    pub turn_sockets: usize,
    /// Is there room for a connection of each target that is kept from probe to probe?
    pub keeps_connections: bool,
}

impl DescriptorBudget {
    /// For a process that may have `limit` descriptors and has `open` when it starts. At most `connections` are for HTTP.
    pub fn new(limit: usize, open: usize, connections: usize) -> Self {
        let left = limit.saturating_sub(open + OTHERS);
        let connections = (left / CONNECTIONS_SHARE).clamp(MIN_CONNECTIONS, connections);
        let sockets = left.saturating_sub(connections);
        let keeps_connections = sockets >= 2 * MAX_TARGETS;
        let kept = if keeps_connections { MAX_TARGETS } else { 0 };
        // A turn that needs more than there are would wait for ever.
        let turn_sockets = (sockets - kept).max(REFINING_TURN_SOCKETS as usize);
        Self { connections, turn_sockets, keeps_connections }
    }

    /// Can the turns of so many targets run side by side, whatever they meet?
    pub fn is_ample(&self, targets: usize) -> bool {
        self.turn_sockets >= targets * REFINING_TURN_SOCKETS as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Descriptors of a process that just started.
    const OPEN: usize = 10;

    #[test]
    fn the_usual_limit_holds_nothing_back() {
        for limit in [1024, 65_536, 1 << 20, usize::MAX] {
            let budget = DescriptorBudget::new(limit, OPEN, 64);
            assert!(budget.connections == 64 && budget.keeps_connections, "{limit} {budget:?}");
            assert!(budget.is_ample(MAX_TARGETS), "{limit} {budget:?}");
        }
    }

    #[test]
    fn the_shares_fit_into_the_limit() {
        for limit in 38..2000 {
            let DescriptorBudget { connections, turn_sockets, keeps_connections } =
                DescriptorBudget::new(limit, OPEN, 64);
            let kept = if keeps_connections { MAX_TARGETS } else { 0 };
            assert!(OPEN + OTHERS + connections + turn_sockets + kept <= limit, "{limit}");
        }
        let few = DescriptorBudget::new(64, OPEN, 64);
        assert!(!few.keeps_connections && few.is_ample(4) && !few.is_ample(5), "{few:?}");
        // What is too little for anything still makes no turn wait for ever.
        assert_eq!(DescriptorBudget::new(0, OPEN, 64).turn_sockets, REFINING_TURN_SOCKETS as usize);
    }
}
