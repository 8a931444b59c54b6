//! Redacts sensitive data in a bundle. Names of targets and machines, and addresses of the tailnet and of private networks
//! stay: without them the checks are unreadable, and they are of no use outside.

use crate::config::url;
use crate::config::{Config, Host};
use crate::tailscale::CGNAT;
use crate::untrusted::redact_secrets;
use serde_json::Value;
use std::collections::HashMap;
use std::net::IpAddr;

/// Replaces equal text by the same placeholder everywhere.
pub(super) struct Redactor {
    /// Text and its placeholder, longest first.
    replacements: Vec<(String, String)>,
    /// Public addresses so far, with their numbers.
    addresses: HashMap<IpAddr, usize>,
}

impl Redactor {
    /// Redacts the tailnet's name, and the users and databases in the targets' URLs.
    pub fn new(config: &Config, suffix: Option<&str>) -> Self {
        let mut replacements: Vec<_> =
            suffix.iter().map(|suffix| ((*suffix).to_owned(), "TAILNET".to_owned())).collect();
        // Without tailscaled's answer the tailnet's name is known only from full names in the configuration.
        let full = config.targets.iter().filter_map(|target| match &target.host {
            Host::Name(name) => name.split_once('.').map(|(_, suffix)| suffix),
            Host::Ip(_) => None,
        });
        replacements.extend(full.map(|suffix| (suffix.to_owned(), "TAILNET".to_owned())));
        for target in config.targets.iter().filter(|target| target.user.is_some() || target.database.is_some()) {
            let user = target.user.as_ref().map(|_| "USER".to_owned());
            let database = target.database.as_ref().map(|_| "DATABASE".to_owned());
            let redacted = url(&crate::config::Target { user, database, ..crate::config::Target::clone(target) });
            replacements.push((url(target), redacted));
            // Servers quote them in errors.
            let quoted = [(&target.user, "USER"), (&target.database, "DATABASE")];
            let quoted = quoted.into_iter().filter_map(|(name, placeholder)| Some((name.as_ref()?, placeholder)));
            replacements
                .extend(quoted.map(|(name, placeholder)| (format!("\"{name}\""), format!("\"{placeholder}\""))));
        }
        replacements.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self { replacements, addresses: HashMap::new() }
    }

    /// The value with every text redacted, keys included.
    pub fn redact(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.redact(value)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, value)| (self.text(&key), self.redact(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
        }
    }

    fn text(&mut self, text: &str) -> String {
        let text = redact_secrets(text);
        let replaced = self.replacements.iter().fold(text, |text, (from, placeholder)| text.replace(from, placeholder));
        let mut redacted = String::with_capacity(replaced.len());
        let mut rest = replaced.as_str();
        while !rest.is_empty() {
            let end = rest.find(|c| !is_address_char(c)).unwrap_or(rest.len());
            if end == 0 {
                let next = rest.chars().next().map_or(rest.len(), char::len_utf8);
                let (piece, later) = rest.split_at(next);
                redacted.push_str(piece);
                rest = later;
                continue;
            }
            let (piece, later) = rest.split_at(end);
            redacted.push_str(&self.piece(piece));
            rest = later;
        }
        redacted
    }

    /// A run of characters of an address, possibly followed by a port or a dot.
    fn piece(&mut self, piece: &str) -> String {
        let cut = [piece.len()].into_iter().chain(piece.rmatch_indices([':', '.']).map(|(at, _)| at));
        for end in cut {
            let (head, tail) = piece.split_at(end);
            if let Ok(address) = head.parse::<IpAddr>() {
                return if is_public(address) { format!("{}{tail}", self.public(address)) } else { piece.to_owned() };
            }
        }
        piece.to_owned()
    }

    fn public(&mut self, address: IpAddr) -> String {
        let next = self.addresses.len() + 1;
        format!("PUBLIC-ADDRESS-{}", self.addresses.entry(address).or_insert(next))
    }
}

fn is_address_char(c: char) -> bool {
    c.is_ascii_hexdigit() || c == '.' || c == ':'
}

/// Does it locate this pod or its machines from outside?
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || CGNAT.contains(address))
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};
    use serde_json::json;

    #[test]
    fn equal_text_gets_the_same_placeholder_and_the_checks_stay_readable() {
        let targets = "postgres://monitor@stackeye-db-prd:5432/customers";
        let environment: Environment = [("TELLTAIL_TARGETS", targets)].into_iter().collect();
        let config = load(&environment, None).expect("a configuration").config;
        let redacted = Redactor::new(&config, Some("tail1234.ts.net")).redact(json!([
            { "target.tail1234.ts.net": "postgres://monitor@stackeye-db-prd:5432/customers" },
            ["db.tail1234.ts.net. is 100.64.0.2", "via 203.0.113.9:41641, 10.0.0.7:1 and [2001:db8::7]:41641"],
            "203.0.113.9",
            ["fd7a:115c:a1e0::2", "::1", "1.102.5", "added", 5, null, true],
        ]));
        let readable = json!([
            { "target.TAILNET": "postgres://USER@stackeye-db-prd:5432/DATABASE" },
            ["db.TAILNET. is 100.64.0.2", "via PUBLIC-ADDRESS-1:41641, 10.0.0.7:1 and [PUBLIC-ADDRESS-2]:41641"],
            "PUBLIC-ADDRESS-1",
            ["fd7a:115c:a1e0::2", "::1", "1.102.5", "added", 5, null, true],
        ]);
        assert_eq!(redacted, readable);
    }

    #[test]
    fn quotes_of_servers_and_full_names_are_redacted_without_tailscaleds_answer() {
        let targets = "postgres://monitor@db.tail1234.ts.net:5432/customers";
        let environment: Environment = [("TELLTAIL_TARGETS", targets)].into_iter().collect();
        let config = load(&environment, None).expect("a configuration").config;
        let redacted = Redactor::new(&config, None).redact(json!([
            targets,
            "db.tail1234.ts.net: 53300: too many connections for role \"monitor\"",
            "53300: too many connections for database \"customers\"",
        ]));
        let readable = json!([
            "postgres://USER@db.TAILNET:5432/DATABASE",
            "db.TAILNET: 53300: too many connections for role \"USER\"",
            "53300: too many connections for database \"DATABASE\"",
        ]);
        assert_eq!(redacted, readable);
    }
}
