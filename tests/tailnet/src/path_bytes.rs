//! tailscaled's own count of what arrived over which path: the judge of every claim about paths.

use std::ops::Sub;

use telltail_testkit::{MetricsPage, Sample};

use crate::node::Node;

/// PathBytes that a node's tailscaled has received from its peers, by path. Disco is not among them.
///
/// Not what it has sent: where it doubts a path it sends over DERP as well, and that says nothing of what arrives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the paths have these names everywhere")]
pub struct PathBytes {
    pub direct: u64,
    pub peer_relay: u64,
    pub derp: u64,
}

impl Node {
    /// The node's count now, of all its peers.
    pub async fn bytes(&self) -> PathBytes {
        let page = MetricsPage::parse(self.localapi("GET", "usermetrics").await.body);
        let sum = |path: &str| {
            // Direct paths are counted by address family, as `direct_ipv4` and `direct_ipv6`; peer relays alike.
            let of_path = |sample: &&Sample| sample.label("path").is_some_and(|value| value.starts_with(path));
            let rows = page.samples("tailscaled_inbound_bytes_total", &[]).filter(of_path);
            rows.map(|row| row.value).sum::<f64>() as u64
        };
        PathBytes { direct: sum("direct"), peer_relay: sum("peer_relay"), derp: sum("derp") }
    }
}

impl PathBytes {
    /// PathBytes over all paths.
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

impl Sub for PathBytes {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            direct: self.direct - before.direct,
            peer_relay: self.peer_relay - before.peer_relay,
            derp: self.derp - before.derp,
        }
    }
}
