//! Which peers of a netmap are kept while it is read. No I/O.

use crate::config::{Host, Target, first_label};
use crate::tailscale::{ExtraRecord, Peer, Status};
use std::collections::HashSet;
use std::net::IpAddr;

/// Which peers of a netmap the targets may need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerFilter {
    labels: HashSet<String>,
    addresses: Vec<IpAddr>,
}

impl PeerFilter {
    /// What these targets may need.
    pub fn of<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        Self::of_hosts(targets.into_iter().map(|target| &target.host))
    }

    pub(super) fn of_hosts<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Self {
        let mut filter = Self::default();
        for host in hosts {
            match host {
                Host::Name(name) => _ = filter.labels.insert(first_label(name).to_owned()),
                Host::Ip(address) => filter.addresses.push(*address),
            }
        }
        filter
    }

    /// Could one of the targets be this peer, lie behind it, or be a name or a Tailscale Service at its addresses? `status` has
    /// the records.
    pub fn matches(&self, status: &Status, peer: &Peer) -> bool {
        let carries = |address: &IpAddr| {
            peer.addresses.contains(address) || peer.subnet_routes().any(|route| route.contains(*address))
        };
        let is_wanted = |record: &ExtraRecord| self.labels.contains(first_label(&record.name));
        self.labels.contains(first_label(&peer.dns_name))
            || self.addresses.iter().any(carries)
            || peer.services().next().is_some()
            || status.extra_records.iter().any(|record| carries(&record.address) && is_wanted(record))
    }
}
