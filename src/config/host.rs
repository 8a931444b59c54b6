//! The host part of a target: a name that MagicDNS can know, or an address.

use super::problem::quote_untrusted;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name and label, RFC 1035 section 2.3.4, in bytes without the trailing dot.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The host part of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A MagicDNS name: bare or fully qualified, lower case, without trailing dot.
    Name(String),
    /// A tailnet address; probed only while a peer owns it.
    Ip(IpAddr),
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

impl Host {
    /// The first label of a name; an address has none.
    pub fn first_label(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(first_label(name)),
            Self::Ip(_) => None,
        }
    }
}

/// The first label of a DNS name: `db` of `db.tail1234.ts.net.`.
pub fn first_label(name: &str) -> &str {
    name.split_once('.').map_or(name, |(label, _)| label)
}

/// The host written as `text`; IPv6 in brackets. Lower-cased, without trailing dot.
///
/// # Errors
/// A sentence when it is neither an address nor a name.
pub(super) fn parse(text: &str) -> Result<Host, String> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or("the host begins with `[` and does not end with `]`")?;
        if inner.contains('%') {
            return Err("IPv6 zone IDs (`%…`) are not supported: remove it".to_owned());
        }
        let ip: Ipv6Addr = inner.parse().map_err(|_| "the host in brackets is not an IPv6 address")?;
        return address(IpAddr::V6(ip).to_canonical());
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return address(IpAddr::V4(ip));
    }
    name(text).map(Host::Name)
}

fn address(ip: IpAddr) -> Result<Host, String> {
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(format!("{ip} is not the address of a host"));
    }
    Ok(Host::Ip(ip))
}

fn name(text: &str) -> Result<String, String> {
    let whole = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if whole.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if whole.len() > LONGEST_NAME {
        return Err(format!("the host is {} bytes long, at most {LONGEST_NAME} are allowed", whole.len()));
    }
    let labels: Vec<&str> = whole.split('.').collect();
    for label in &labels {
        let problem = if label.is_empty() {
            "has two dots in a row, or begins with one".to_owned()
        } else if label.len() > LONGEST_LABEL {
            format!("has a label longer than {LONGEST_LABEL} bytes")
        } else if let Some(odd) = label.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            let hint = if odd == '_' { ": MagicDNS writes `-` there" } else { "" };
            format!(
                "has the character {}, and a host is made of letters, digits, `-` and dots{hint}",
                quote_untrusted(&odd.to_string())
            )
        } else if label.starts_with('-') || label.ends_with('-') {
            "has a label that begins or ends with `-`".to_owned()
        } else {
            continue;
        };
        return Err(format!("the host {problem}"));
    }
    // No top-level domain is a number, so this is a typo in an address ("10.0.0", "010.0.0.1", "1.2.3.400").
    if labels.len() > 1 && labels.last().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("the host is neither a name nor an IPv4 address".to_owned());
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_cased_and_lose_the_trailing_dot() {
        assert_eq!(parse("StackEye-DB.Tail1234.ts.net."), Ok(Host::Name("stackeye-db.tail1234.ts.net".into())));
        assert_eq!(parse("db"), Ok(Host::Name("db".into())));
        assert_eq!(parse(&format!("{}.x", "a".repeat(63))).map(|host| host.to_string().len()), Ok(65));
    }

    #[test]
    fn addresses_are_canonical() {
        assert_eq!(parse("100.64.0.1").unwrap().to_string(), "100.64.0.1");
        assert_eq!(parse("[fd7a:115c:a1e0:0::1]").unwrap().to_string(), "fd7a:115c:a1e0::1");
        assert_eq!(parse("[::ffff:100.64.0.1]").unwrap().to_string(), "100.64.0.1");
    }

    #[test]
    fn what_is_no_host_is_refused_with_a_sentence() {
        let long = "a".repeat(64);
        let longer = ["abcdefghi"; 30].join(".");
        for (text, part) in [
            ("", "missing"),
            (".", "missing"),
            ("..", "two dots"),
            (".db", "two dots"),
            ("a..b", "two dots"),
            ("-db", "begins or ends with `-`"),
            ("-", "begins or ends with `-`"),
            ("my_db", "MagicDNS writes `-`"),
            ("d\u{1f600}b", "letters, digits"),
            ("d\0b", "`\\0`"),
            ("d b", "letters, digits"),
            (&long, "longer than 63"),
            (&longer, "299 bytes"),
            ("10.0.0", "neither a name nor an IPv4"),
            ("010.0.0.1", "neither a name nor an IPv4"),
            ("1.2.3.400", "neither a name nor an IPv4"),
            ("[fd7a::1", "does not end with"),
            ("[fd7a::1%eth0]", "zone IDs"),
            ("[db]", "not an IPv6"),
            ("0.0.0.0", "not the address of"),
            ("[ff02::1]", "not the address of"),
        ] {
            let sentence = parse(text).unwrap_err();
            assert!(sentence.contains(part), "{text:?}: {sentence}");
        }
    }
}
