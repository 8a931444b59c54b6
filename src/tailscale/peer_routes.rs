//! What a peer's AllowedIPs say.

use super::prefix::{IpPrefix, VIA_RANGE, is_tailnet_address};
use super::status::Peer;
use std::net::IpAddr;

impl Peer {
    /// Addresses of the Tailscale Services that a peer hosts: single tailnet addresses routed to it that are not its own.
    pub fn services(&self) -> impl Iterator<Item = IpAddr> {
        let single = self.routes.iter().filter(|route| route.is_single()).map(|route| route.address);
        single.filter(|address| {
            is_tailnet_address(*address) && !VIA_RANGE.contains(*address) && !self.addresses.contains(address)
        })
    }

    /// The routes that say where an address is. An exit node's default route does not: every address is in it, so a machine that
    /// is gone would look like one behind a subnet router.
    pub fn subnet_routes(&self) -> impl Iterator<Item = IpPrefix> {
        self.routes.iter().copied().filter(|route| !route.is_default_route())
    }
}
