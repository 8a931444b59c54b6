//! The response to `status`: the fields that telltail reads. Every field is optional and every list may be `null`, because
//! tailscaled's versions differ.

use super::prefix::IpPrefix;
use super::version::is_at_least;
use crate::network_mode::NetworkMode;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// The status of the node and its peers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// tailscaled's version, for example `1.102.5-t…`.
    pub version: String,
    /// tailscaled's networking mode.
    pub mode: NetworkMode,
    /// The backend state's name, for example `Running`.
    pub backend_state: String,
    /// Why the last login failed, where `Health` tells it.
    pub login_error: Option<String>,
    /// The node itself.
    pub own: SelfNode,
    /// The tailnet's MagicDNS suffix, lower case, without dots at its ends; the own name in a tailnet without a domain.
    pub suffix: Option<String>,
    /// Names that are not a node's own, of Tailscale Services among them; since 1.100.
    pub extra_records: Vec<ExtraRecord>,
    /// The peers that the caller keeps.
    pub peers: Vec<Peer>,
    /// Of the others those with the newest handshakes, at most `OTHERS`.
    pub others: Vec<Peer>,
    /// Length of the response in bytes.
    pub size: usize,
}

/// The node itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SelfNode {
    /// Its host name.
    #[serde(deserialize_with = "or_default")]
    pub host_name: String,
    /// Its MagicDNS name, lower case, without trailing dot.
    #[serde(rename = "DNSName", deserialize_with = "name")]
    pub dns_name: String,
    /// Its tailnet addresses.
    #[serde(rename = "TailscaleIPs", deserialize_with = "parsed")]
    pub addresses: Vec<IpAddr>,
    /// Is a connection to the control plane open?
    pub online: bool,
    /// When its key expires; none where it never does.
    #[serde(deserialize_with = "time")]
    pub key_expiry: Option<SystemTime>,
    /// Code of its home DERP region; empty where it has none.
    #[serde(rename = "Relay", deserialize_with = "or_default")]
    pub home_region: String,
}

/// A name that is not a node's name.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraRecord {
    /// Fully qualified, lower case, without trailing dot.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// Another node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Peer {
    /// Stable node id.
    #[serde(rename = "ID", deserialize_with = "or_default")]
    pub id: String,
    /// What its machine calls itself; not unique.
    #[serde(deserialize_with = "or_default")]
    pub host_name: String,
    /// MagicDNS name, lower case, without trailing dot.
    #[serde(rename = "DNSName", deserialize_with = "name")]
    pub dns_name: String,
    /// Its tailnet addresses.
    #[serde(rename = "TailscaleIPs", deserialize_with = "parsed")]
    pub addresses: Vec<IpAddr>,
    /// The prefixes routed to it: its own addresses, those of Tailscale Services it hosts, approved subnets.
    #[serde(rename = "AllowedIPs", deserialize_with = "parsed")]
    pub routes: Vec<IpPrefix>,
    /// Does the control plane show it online? A hint for people: it does not tell whether packets pass.
    pub online: bool,
    /// Has its key expired?
    pub expired: bool,
    /// When its key expires; none where it never does.
    #[serde(deserialize_with = "time")]
    pub key_expiry: Option<SystemTime>,
    /// The UDP address that is trusted for sending directly; empty without one.
    #[serde(deserialize_with = "or_default")]
    pub cur_addr: String,
    /// The peer relay that is trusted for sending; empty without one, and before 1.86.
    #[serde(deserialize_with = "or_default")]
    pub peer_relay: String,
    /// Was something sent to it in the last 45 s?
    pub active: bool,
    /// Code of its home DERP region. It does not tell which path packets take.
    #[serde(rename = "Relay", deserialize_with = "or_default")]
    pub home_region: String,
    /// When it last completed a WireGuard handshake with this node, which takes an answer from both; a session under traffic makes a
    /// new one every two minutes. None before the first, and where tailscaled has forgotten an idle peer. `LastSeen` and `Online` are
    /// the control plane's, `Active` and `TxBytes` tell what this node sent, and `RxBytes` starts anew at times.
    #[serde(deserialize_with = "time")]
    pub last_handshake: Option<SystemTime>,
}

/// Enough to choose witnesses from, and little memory.
pub const OTHERS: usize = 8;

impl Status {
    /// Keeps a peer that the caller did not want, if its handshake is among the newest.
    pub(super) fn keep_other(&mut self, peer: Peer) {
        if peer.last_handshake.is_none() {
            return;
        }
        let at = self.others.partition_point(|other| other.last_handshake >= peer.last_handshake);
        if at < OTHERS {
            self.others.truncate(OTHERS - 1);
            self.others.insert(at, peer);
        }
    }

    /// Does this release report the names of Tailscale Services (ExtraRecords, since 1.100)?
    pub fn tells_services(&self) -> bool {
        is_at_least(&self.version, (1, 100))
    }
}

pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name: String = or_default(deserializer)?;
    Ok(name.trim_matches('.').to_ascii_lowercase())
}

/// A list of texts; those that cannot be parsed are skipped.
fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let texts: Vec<std::borrow::Cow<'de, str>> = or_default(deserializer)?;
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    let text: String = or_default(deserializer)?;
    Ok(parse_time(&text))
}

/// RFC 3339 with `Z` or an offset: tailscaled writes the moment of a handshake in the time zone of its container.
fn parse_time(text: &str) -> Option<SystemTime> {
    if let Ok(time) = humantime::parse_rfc3339(text) {
        return Some(time);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let offset_minutes = 60 * hours.parse::<u64>().ok()? + minutes.parse::<u64>().ok()?;
    let distance = Duration::from_secs(60 * offset_minutes);
    if offset.starts_with('-') { local.checked_add(distance) } else { local.checked_sub(distance) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network_mode::NetworkMode;
    use crate::reason::{Failure, Reason};
    use crate::tailscale::status_reader::StatusReader;

    fn read(text: &str) -> Result<Status, Failure> {
        let mut reader = StatusReader::new(&|_, _| true);
        for piece in text.as_bytes().chunks(7) {
            reader.feed(piece)?;
        }
        reader.finish()
    }

    #[test]
    fn the_status_of_a_running_node_is_read() {
        let status = read(
            r#"{"Version":"1.102.5-t1","TUN":true,"BackendState":"Running","HaveNodeKey":true,"TailscaleIPs":null,
            "Self":{"HostName":"Worker","DNSName":"Worker.Tail1.TS.net.","TailscaleIPs":["100.64.0.1","fd7a:115c:a1e0::1"],
                "Online":true,"KeyExpiry":"2026-01-02T03:04:05Z","CapMap":{"x":null}},
            "Health":null,"MagicDNSSuffix":"tail1.ts.net","CurrentTailnet":{"Name":"x","MagicDNSSuffix":"tail1.ts.net"},
            "ExtraRecords":[{"Name":"db.tail1.ts.net","Value":"100.100.1.1"},{"Name":"t","Type":"TXT","Value":"hello"}],
            "Peer":{"nodekey:1":{"DNSName":"db-1.tail1.ts.net.","TailscaleIPs":["100.64.0.2"],
                "AllowedIPs":["100.64.0.2/32","10.0.0.0/8"],"Expired":true}}}"#,
        )
        .unwrap();
        assert!(status.mode == NetworkMode::Tun && status.own.online && status.tells_services());
        assert_eq!(status.own.dns_name, "worker.tail1.ts.net");
        assert_eq!(status.own.addresses.len(), 2);
        assert_eq!(status.own.key_expiry, humantime::parse_rfc3339("2026-01-02T03:04:05Z").ok());
        assert_eq!(status.suffix.as_deref(), Some("tail1.ts.net"));
        assert_eq!(status.extra_records.len(), 1);
        assert!(status.peers[0].expired);
        assert_eq!(status.peers[0].routes, ["100.64.0.2/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
    }

    #[test]
    fn null_equals_absent_and_unknown_fields_are_ignored() {
        let nothing = read("{}").unwrap();
        let nulls = read(
            r#"{"Self":null,"CurrentTailnet":null,"ExtraRecords":null,"Peer":null,"New":[{"a":{}}],"Version":""}"#,
        );
        assert_eq!(Status { size: 0, ..nulls.unwrap() }, Status { size: 0, ..nothing });
        let peer = read(r#"{"Peer":{"a":{"DNSName":null,"TailscaleIPs":null,"AllowedIPs":null,"New":1},"b":null}}"#);
        assert_eq!(peer.unwrap().peers, [Peer::default()]);
    }

    #[test]
    fn wrong_types_are_invalid() {
        for text in [r#"{"TUN":"yes"}"#, r#"{"Self":{"Online":3}}"#, r#"{"Peer":{"a":{"Expired":[]}}}"#, "[]", "{"] {
            let failure = read(text).unwrap_err();
            assert_eq!(failure.reason, Reason::NodeLocalapiInvalid, "{text}");
        }
        let deep = format!(r#"{{"Self":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(&deep).unwrap_err().reason, Reason::NodeLocalapiInvalid);
    }

    #[test]
    fn a_time_may_have_an_offset() {
        let utc = humantime::parse_rfc3339("2026-11-23T14:36:44.926370774Z").ok();
        for text in [
            "2026-11-23T14:36:44.926370774Z",
            "2026-11-23T15:36:44.926370774+01:00",
            "2026-11-23T09:06:44.926370774-05:30",
        ] {
            assert_eq!(parse_time(text), utc, "{text}");
        }
        for text in [
            "",
            "Z",
            "+01:00",
            "0001-01-01T00:00:00Z",
            "2026-11-23T15:36:44",
            "2026-11-23T15:36:44+0100",
            "\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn of_the_peers_that_nobody_wants_a_few_with_the_newest_handshakes_are_kept() {
        let peer = |n: usize| {
            // In no order: 7 and 20 have no common divisor.
            let minute = 7 * n % 20;
            format!(
                r#""k{n}":{{"DNSName":"p{minute}","Relay":"sfo","LastHandshake":"2026-11-23T14:{minute:02}:00+00:00"}}"#
            )
        };
        let peers: Vec<_> = (0..20).map(peer).collect();
        let silent = r#""x":{"DNSName":"silent","Online":true,"LastHandshake":"0001-01-01T00:00:00Z"}"#;
        let text = format!(r#"{{"Peer":{{{silent},{}}}}}"#, peers.join(","));
        let mut reader = StatusReader::new(&|_, peer| peer.dns_name == "p18");
        reader.feed(text.as_bytes()).unwrap();
        let status = reader.finish().unwrap();
        assert_eq!(status.peers.len(), 1);
        let names: Vec<_> = status.others.iter().map(|peer| peer.dns_name.as_str()).collect();
        assert_eq!(names, ["p19", "p17", "p16", "p15", "p14", "p13", "p12", "p11"]);
        assert_eq!(status.others[0].home_region, "sfo");
    }

    #[test]
    fn services_are_reported_since_1_100() {
        for (version, tells) in
            [("1.98.10-t1", false), ("1.100.0", true), ("1.102.5-t", true), ("2.0", true), ("", false)]
        {
            let status = Status { version: version.to_owned(), ..Status::default() };
            assert_eq!(status.tells_services(), tells, "{version}");
        }
    }
}
