//! IP prefixes, and those from which Tailscale assigns addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// 100.64.0.0/10, from which tailnet IPv4 addresses are assigned. Other networks use it, too.
pub const CGNAT: IpPrefix = IpPrefix { address: IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), bits: 10 };

/// fd7a:115c:a1e0::/48, from which tailnet IPv6 addresses are assigned.
pub const TAILSCALE_ULA: IpPrefix =
    IpPrefix { address: IpAddr::V6(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0)), bits: 48 };

/// fd7a:115c:a1e0:b1a::/64: a site and an IPv4 address behind its subnet router (Tailscale's 4via6, `tsaddr.TailscaleViaRange`).
pub const VIA_RANGE: IpPrefix =
    IpPrefix { address: IpAddr::V6(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0x0b1a, 0, 0, 0, 0)), bits: 64 };

/// Can Tailscale have assigned this address?
pub fn is_tailnet_address(address: IpAddr) -> bool {
    CGNAT.contains(address) || TAILSCALE_ULA.contains(address)
}

/// An address block in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPrefix {
    /// The block's first address.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub bits: u8,
}

impl IpPrefix {
    /// Is `address` inside the block?
    pub fn contains(self, address: IpAddr) -> bool {
        let same = |differing: u128, width: u32| {
            let host_bits = width.saturating_sub(u32::from(self.bits));
            differing.checked_shr(host_bits).unwrap_or(0) == 0
        };
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits() ^ b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits() ^ b.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Is it the route of an exit node, which says nothing about whose an address is? VPNs write it as two halves as well.
    pub fn is_default_route(self) -> bool {
        self.bits <= 1
    }

    /// Is it one address alone?
    pub fn is_single(self) -> bool {
        u32::from(self.bits) == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

impl std::str::FromStr for IpPrefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').ok_or(())?;
        Ok(Self { address: address.parse().map_err(drop)?, bits: bits.parse().map_err(drop)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tailnet_addresses_are_in_two_prefixes() {
        for (address, expected) in [
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("10.0.0.1", false),
            ("fd7a:115c:a1e0::1", true),
            ("fd7a:115c:a1e0:ffff::1", true),
            ("fd7a:115c:a1e1::1", false),
            ("::ffff:100.64.0.1", false),
        ] {
            assert_eq!(is_tailnet_address(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_prefix_is_parsed_and_contains_its_addresses() {
        for (prefix, address, expected) in [
            ("10.0.0.0/8", "10.2.3.4", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("100.64.0.2/32", "100.64.0.3", false),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("::/0", "1.2.3.4", false),
            ("::/0", "ff::1", true),
        ] {
            let prefix: IpPrefix = prefix.parse().unwrap();
            assert_eq!(prefix.contains(address.parse().unwrap()), expected, "{prefix:?} {address}");
        }
        for text in ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/256", "x/8"] {
            assert_eq!(text.parse::<IpPrefix>(), Err(()), "{text}");
        }
        assert!("fd7a:115c:a1e0::1/128".parse::<IpPrefix>().unwrap().is_single());
        assert!(!"100.64.0.0/31".parse::<IpPrefix>().unwrap().is_single());
    }
}
