//! How a target's name is understood in a tailnet. No I/O.

use crate::config::first_label;
use crate::tailscale::Status;
use std::net::Ipv4Addr;

/// The name as it is written, then with the tailnet's domain, as tailscaled tries them.
pub(super) fn full_names(status: &Status, name: &str) -> Vec<String> {
    let with_domain = status.suffix.iter().map(|suffix| format!("{name}.{suffix}"));
    std::iter::once(name.to_owned()).chain(with_domain).collect()
}

/// Says how the name was understood: the domain may be another tailnet's.
pub(super) fn no_such_name(status: &Status, name: &str, candidates: &[String]) -> String {
    // Without a domain tailscaled gives the own name as the suffix.
    let domain = status.suffix.as_ref().filter(|suffix| **suffix != status.own.dns_name);
    match (domain, name.split_once('.')) {
        (None, _) => format!("no node or service is called {name}; this tailnet has no domain"),
        (Some(domain), Some((_, other))) if other != domain && !other.ends_with(&format!(".{domain}")) => {
            format!("no node or service is called {name}; this tailnet's domain is {domain}")
        }
        (Some(_), Some(_)) => format!("no node or service is called {name}"),
        (Some(_), None) => format!("no node or service is called {}", candidates.last().map_or(name, String::as_str)),
    }
}

/// The site of a 4via6 name, `192-168-1-2-via-7`, which needs no node (tailscaled's `resolveViaDomain`).
pub(super) fn via_site(name: &str) -> Option<u32> {
    let (address, site) = first_label(name).split_once("-via-")?;
    address.replace('-', ".").parse::<Ipv4Addr>().ok()?;
    match site.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => site.parse().ok(),
    }
}
