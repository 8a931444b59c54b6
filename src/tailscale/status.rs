//! The answer of `status`: the few fields that telltail reads. Every field is optional and every list may be `null`,
//! because tailscaled's versions differ.

use super::split::{Broken, Part, Splitter};
use crate::reason::{Failure, Reason};
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;
use std::time::SystemTime;

/// What `status` says, as far as telltail reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// tailscaled's version, for example `1.102.5-t…`.
    pub version: String,
    /// TUN mode (true) or userspace networking (false).
    pub tun: bool,
    /// The backend state's word, for example `Running`.
    pub backend_state: String,
    /// The node itself.
    pub own: Own,
    /// The tailnet's MagicDNS suffix, lower case, without dots at its ends.
    pub suffix: Option<String>,
    /// Names that are not nodes, Tailscale Services among them; since 1.100.
    pub extra_records: Vec<ExtraRecord>,
    /// The peers that the caller asked to keep.
    pub peers: Vec<Peer>,
    /// Length of the answer in bytes.
    pub size: usize,
}

/// The node itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Own {
    /// The host name it gave itself.
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

/// A name that is not a node's.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraRecord {
    /// Fully qualified, lower case, without trailing dot.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// Another node. Its home DERP region is left out: it does not say over which path packets go.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Peer {
    /// Stable node id.
    #[serde(rename = "ID", deserialize_with = "or_default")]
    pub id: String,
    /// MagicDNS name, lower case, without trailing dot.
    #[serde(rename = "DNSName", deserialize_with = "name")]
    pub dns_name: String,
    /// Its tailnet addresses.
    #[serde(rename = "TailscaleIPs", deserialize_with = "parsed")]
    pub addresses: Vec<IpAddr>,
    /// What is routed to it: its own addresses, those of Tailscale Services it hosts, approved subnets.
    #[serde(rename = "AllowedIPs", deserialize_with = "parsed")]
    pub routes: Vec<Route>,
    /// Does the control plane show it online? A hint for people: it says nothing of whether packets pass.
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
}

/// An address block in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The block's first address.
    pub address: IpAddr,
    /// Length of its prefix in bits.
    pub bits: u8,
}

impl Route {
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

    /// Is it one address alone?
    pub fn is_single(self) -> bool {
        u32::from(self.bits) == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

impl std::str::FromStr for Route {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').ok_or(())?;
        Ok(Self { address: address.parse().map_err(drop)?, bits: bits.parse().map_err(drop)? })
    }
}

/// Reads an answer piece by piece.
pub(super) struct Reader<'a> {
    splitter: Splitter,
    status: Status,
    keep: &'a (dyn Fn(&Peer) -> bool + Sync),
}

/// Longest answer that is read: 38,000 peers took 46 MB (faults, M4).
const MAX_SIZE: usize = 256 << 20;

impl<'a> Reader<'a> {
    /// A reader that keeps the peers for which `keep` says so.
    pub fn new(keep: &'a (dyn Fn(&Peer) -> bool + Sync)) -> Self {
        let wanted = &["Version", "TUN", "BackendState", "Self", "CurrentTailnet", "ExtraRecords"];
        Self { splitter: Splitter::new(wanted), status: Status::default(), keep }
    }

    /// Takes the next piece.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Self { splitter, status, keep } = self;
        status.size += bytes.len();
        if status.size > MAX_SIZE {
            return Err(invalid(format_args!("the status is longer than {MAX_SIZE} bytes")));
        }
        let take = |part: Part<'_>| match part {
            Part::Field(key, value) => status
                .take(key, value)
                .map_err(|error| Unread::Json(format!("{} in the status: {error}", String::from_utf8_lossy(key)))),
            Part::Peer(value) => {
                let peer: Option<Peer> = serde_json::from_slice(value)
                    .map_err(|error| Unread::Json(format!("a peer in the status: {error}")))?;
                status.peers.extend(peer.filter(|peer| keep(peer)));
                Ok(())
            }
            Part::Skipped(..) | Part::End => Ok(()),
        };
        splitter.feed(bytes, take).map_err(Unread::into_failure)
    }

    /// The status, if the answer was whole.
    pub fn finish(self) -> Result<Status, Failure> {
        self.splitter.finish().map_err(|broken| Unread::Broken(broken).into_failure())?;
        Ok(self.status)
    }
}

enum Unread {
    Broken(Broken),
    Json(String),
}

impl From<Broken> for Unread {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Unread {
    fn into_failure(self) -> Failure {
        match self {
            Self::Broken(Broken::Syntax(at)) => invalid(format_args!("the status is no JSON object at byte {at}")),
            Self::Broken(Broken::TooLong) => invalid("a part of the status is longer than 1 MiB"),
            Self::Broken(Broken::Incomplete) => invalid("the status ended too early"),
            Self::Json(problem) => invalid(problem),
        }
    }
}

fn invalid(cause: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::NodeLocalapiInvalid, cause)
}

impl Status {
    /// Reads a whole answer, with all its peers: for recorded ones.
    pub fn read(answer: &[u8]) -> Result<Self, Failure> {
        let mut reader = Reader::new(&|_| true);
        reader.feed(answer)?;
        reader.finish()
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> serde_json::Result<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Tailnet {
            #[serde(rename = "MagicDNSSuffix", default, deserialize_with = "name")]
            suffix: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Record {
            #[serde(default, deserialize_with = "name")]
            name: String,
            #[serde(default, deserialize_with = "or_default")]
            value: String,
        }
        match key {
            b"Version" => self.version = serde_json::from_slice(value)?,
            b"TUN" => self.tun = serde_json::from_slice(value)?,
            b"BackendState" => self.backend_state = serde_json::from_slice(value)?,
            b"Self" => self.own = serde_json::from_slice::<Option<Own>>(value)?.unwrap_or_default(),
            b"CurrentTailnet" => {
                let suffix = serde_json::from_slice::<Option<Tailnet>>(value)?.map(|tailnet| tailnet.suffix);
                self.suffix = suffix.filter(|suffix| !suffix.is_empty());
            }
            _ => {
                let records = serde_json::from_slice::<Option<Vec<Record>>>(value)?.unwrap_or_default();
                // Records that are no addresses (TXT, CNAME) are nothing that could be dialled.
                let addressed = records
                    .into_iter()
                    .filter_map(|record| Some(ExtraRecord { name: record.name, address: record.value.parse().ok()? }));
                self.extra_records = addressed.collect();
            }
        }
        Ok(())
    }

    /// Does this tailscaled tell the names of Tailscale Services (ExtraRecords, since 1.100)?
    pub fn tells_services(&self) -> bool {
        is_at_least(&self.version, (1, 100))
    }
}

/// Is a version like `1.102.5-t…` this one or a later one?
pub fn is_at_least(version: &str, than: (u32, u32)) -> bool {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= than
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name: String = or_default(deserializer)?;
    Ok(name.trim_matches('.').to_ascii_lowercase())
}

/// A list of texts, of which those are kept that can be read.
fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let texts: Vec<std::borrow::Cow<'de, str>> = or_default(deserializer)?;
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    let text: String = or_default(deserializer)?;
    Ok(humantime::parse_rfc3339(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Status, Failure> {
        let mut reader = Reader::new(&|_| true);
        for piece in text.as_bytes().chunks(7) {
            reader.feed(piece)?;
        }
        reader.finish()
    }

    #[test]
    fn reads_what_a_running_node_says() {
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
        assert!(status.tun && status.own.online && status.tells_services());
        assert_eq!(status.own.dns_name, "worker.tail1.ts.net");
        assert_eq!(status.own.addresses.len(), 2);
        assert_eq!(status.own.key_expiry, humantime::parse_rfc3339("2026-01-02T03:04:05Z").ok());
        assert_eq!(status.suffix.as_deref(), Some("tail1.ts.net"));
        assert_eq!(status.extra_records.len(), 1);
        assert!(status.peers[0].expired);
        assert!(status.peers[0].routes[1].contains("10.2.3.4".parse().unwrap()));
        assert!(!status.peers[0].routes[0].contains("100.64.0.3".parse().unwrap()));
    }

    #[test]
    fn null_and_absent_mean_the_same_and_unknown_fields_nothing() {
        let nothing = read("{}").unwrap();
        let nulls = read(
            r#"{"Self":null,"CurrentTailnet":null,"ExtraRecords":null,"Peer":null,"New":[{"a":{}}],"Version":""}"#,
        );
        assert_eq!(Status { size: 0, ..nulls.unwrap() }, Status { size: 0, ..nothing });
        let peer = read(r#"{"Peer":{"a":{"DNSName":null,"TailscaleIPs":null,"AllowedIPs":null,"New":1},"b":null}}"#);
        assert_eq!(peer.unwrap().peers, [Peer::default()]);
    }

    #[test]
    fn wrong_types_are_named() {
        for text in [r#"{"TUN":"yes"}"#, r#"{"Self":{"Online":3}}"#, r#"{"Peer":{"a":{"Expired":[]}}}"#, "[]", "{"] {
            let failure = read(text).unwrap_err();
            assert_eq!(failure.reason, Reason::NodeLocalapiInvalid, "{text}");
        }
        let deep = format!(r#"{{"Self":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(&deep).unwrap_err().reason, Reason::NodeLocalapiInvalid);
    }

    #[test]
    fn services_are_told_since_1_100() {
        for (version, tells) in
            [("1.98.10-t1", false), ("1.100.0", true), ("1.102.5-t", true), ("2.0", true), ("", false)]
        {
            let status = Status { version: version.to_owned(), ..Status::default() };
            assert_eq!(status.tells_services(), tells, "{version}");
        }
    }
}
