//! tailscaled's own count of what arrived over which path: the judge of every claim about paths.

use std::ops::Sub;

use crate::node::Node;

/// Bytes that a node's tailscaled has received from its peers, by path. Disco is not among them.
///
/// Not what it has sent: where it doubts a path it sends over DERP as well, and that says nothing of what arrives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the paths have these names everywhere")]
pub struct Bytes {
    pub direct: u64,
    pub peer_relay: u64,
    pub derp: u64,
}

impl Node {
    /// The node's count now, of all its peers.
    pub async fn bytes(&self) -> Bytes {
        let page = self.localapi("GET", "usermetrics").await.body;
        let sum = |way: &str| {
            let start = format!("tailscaled_inbound_bytes_total{{path=\"{way}");
            let rows = page.lines().filter_map(|line| line.strip_prefix(&start));
            rows.filter_map(|row| row.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
        };
        Bytes { direct: sum("direct"), peer_relay: sum("peer_relay"), derp: sum("derp") }
    }
}

impl Bytes {
    /// Bytes over all paths.
    pub fn total(self) -> u64 {
        self.direct + self.peer_relay + self.derp
    }

    /// The path that carried the most, as telltail names it; `idle` if none carried anything.
    pub fn path(self) -> &'static str {
        match [(self.derp, "derp"), (self.peer_relay, "peer_relay"), (self.direct, "direct")].into_iter().max() {
            Some((1.., path)) => path,
            _ => "idle",
        }
    }
}

impl Sub for Bytes {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            direct: self.direct - before.direct,
            peer_relay: self.peer_relay - before.peer_relay,
            derp: self.derp - before.derp,
        }
    }
}
