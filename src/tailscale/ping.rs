//! `ping`: over which way a peer answers, and whether it does.

use super::observe::{Answer, Call, Observed};
use super::{Dialer, MAX_ERROR_TEXT, broken, request, unexpected};
use crate::reason::{Failure, Reason, escape};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingKind {
    /// A question from tailscaled to tailscaled, beside the tunnel: it finds ways and says nothing of WireGuard.
    Disco {
        /// Bytes of the message, headers of IP and UDP not counted; 0 is as small as can be, [`FULL_SIZE`] as large as
        /// what the tunnel sends. At most 65,467 (1.102.5; 65,475 in 1.80.3). The answer is always small.
        ///
        /// Up to [`FULL_SIZE`] a trusted way is asked alone, as with 0. Above, tailscaled asks over every way at once, DERP
        /// among them (`endpoint.addrForPingSizeLocked`), and a pong over DERP says nothing of the others.
        size: u16,
    },
    /// A packet through the tunnel, answered by the far tailscaled before its packet filter.
    Tsmp,
}

/// Size of the largest datagram that a tunnel of the default MTU sends: 1,280 bytes of packet (`tstun.DefaultTUNMTU`) and 32
/// of WireGuard. With IPv6 around it this is all that tailscaled thinks fits anywhere (`tstun.SafeWireMTU`, 1,360).
pub const FULL_SIZE: u16 = 1_312;

/// What tailscaled said of a ping.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The peer answered.
    Pong(Pong),
    /// Nobody was asked, or somebody else answered.
    Refused(Refusal),
}

/// A peer's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Pong {
    /// From question to answer, as tailscaled measured it.
    pub latency: Duration,
    /// Over which way we reached it.
    pub way: Way,
}

/// The way of a question whose answer came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By UDP to this address of the peer, as tailscaled writes it, escaped.
    Direct(String),
    /// Through a peer relay; since 1.86.
    PeerRelay,
    /// Through a DERP region, the peer's home.
    Derp {
        /// Its number in the DERP map.
        region_id: u32,
        /// Its short name, as control gave it.
        region_code: String,
    },
    /// tailscaled does not tell: always with [`PingKind::Tsmp`].
    Untold,
}

/// Why there will be no pong, however long one waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind.
    pub why: Why,
    /// tailscaled's words, escaped.
    pub text: String,
}

/// Kinds of refusal. tailscaled has them as text only (1.80.3 and 1.102.5: `wgengine.Ping`, `magicsock.Ping`,
/// `endpoint.discoPing`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `no matching peer`: the address is nobody's in the netmap.
    NoPeer,
    /// `… is local Tailscale IP`: our own address.
    Own,
    /// `local tailscaled stopped`: it is down, or the own key has expired.
    Stopped,
    /// `peer's node key has expired`; disco only, a TSMP ping to such a peer is silent.
    PeerExpired,
    /// `unknown peer`: in the netmap, but not known to the part that sends. Passes within moments of a start.
    NotReady,
    /// Another node answered, or the answer does not name one: a route that covers the address leads elsewhere.
    Foreign,
    /// Anything else.
    Other,
}

/// The fields of Go's `ipnstate.PingResult` that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PingResult {
    #[serde(rename = "NodeIP")]
    node_ip: Option<String>,
    #[serde(rename = "Err")]
    err: Option<String>,
    #[serde(rename = "IsLocalIP")]
    is_local_ip: Option<bool>,
    #[serde(rename = "LatencySeconds")]
    latency_seconds: Option<f64>,
    #[serde(rename = "Endpoint")]
    endpoint: Option<String>,
    #[serde(rename = "PeerRelay")]
    peer_relay: Option<String>,
    #[serde(rename = "DERPRegionID")]
    derp_region_id: Option<u32>,
    #[serde(rename = "DERPRegionCode")]
    derp_region_code: Option<String>,
}

/// Bytes of an answer that are read; a right one has some 300.
const MAX_ANSWER: usize = 16 << 10;

impl Dialer {
    /// Pings `address`, which is one of `peer`, the addresses of the node that is meant: a pong of another node is none.
    ///
    /// A peer that does not answer is silence without end: the deadline is the caller's. Dropping the future ends the
    /// ping on tailscaled's side, too.
    pub async fn ping(&self, address: IpAddr, peer: &[IpAddr], kind: PingKind) -> Result<Reply, Failure> {
        let mut observed = Observed { observe: &self.observe, call: Call::Ping, answer: Answer::None };
        let answer = self.ping_unobserved(address, peer, kind).await;
        observed.answer = Answer::of(&answer);
        answer
    }

    async fn ping_unobserved(&self, address: IpAddr, peer: &[IpAddr], kind: PingKind) -> Result<Reply, Failure> {
        // An IPv6 address needs no escape in a query.
        let path = match kind {
            PingKind::Disco { size: 0 } => format!("/localapi/v0/ping?ip={address}&type=disco"),
            PingKind::Disco { size } => format!("/localapi/v0/ping?ip={address}&type=disco&size={size}"),
            PingKind::Tsmp => format!("/localapi/v0/ping?ip={address}&type=TSMP"),
        };
        let mut connection = self.connect().await?;
        let response = connection.send(request(Method::POST, &path, &[])?).await.map_err(|error| broken(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            let text = connection.text(response.into_body(), MAX_ERROR_TEXT).await.unwrap_or_default();
            return Err(unexpected(status, &text));
        }
        let text = connection.text(response.into_body(), MAX_ANSWER).await.map_err(|error| broken(&error))?;
        Reply::read(&text, peer)
    }
}

impl Reply {
    /// Reads tailscaled's answer to a ping of `peer`, the addresses of one node.
    pub fn read(answer: &str, peer: &[IpAddr]) -> Result<Self, Failure> {
        reply(answer, peer)
    }
}

fn reply(text: &str, peer: &[IpAddr]) -> Result<Reply, Failure> {
    let invalid = |cause: &dyn std::fmt::Display| {
        Failure::new(Reason::NodeLocalapiInvalid, format_args!("the answer to a ping: {cause}"))
    };
    let result: PingResult = serde_json::from_str(text).map_err(|error| invalid(&error))?;
    if let Some(text) = result.err.as_deref().filter(|text| !text.is_empty()) {
        let why = if result.is_local_ip == Some(true) { Why::Own } else { Why::of(text) };
        return Ok(Reply::Refused(Refusal { why, text: escape(text) }));
    }
    let node = result.node_ip.as_deref().unwrap_or_default();
    if !node.parse().is_ok_and(|node| peer.contains(&node)) {
        let text = escape(&format!("answered by {node:?}"));
        return Ok(Reply::Refused(Refusal { why: Why::Foreign, text }));
    }
    let seconds = result.latency_seconds.ok_or_else(|| invalid(&"no LatencySeconds"))?;
    let latency = Duration::try_from_secs_f64(seconds).map_err(|error| invalid(&error))?;
    Ok(Reply::Pong(Pong { latency, way: result.way() }))
}

impl PingResult {
    /// At most one of the three is set.
    fn way(self) -> Way {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(endpoint) = said(self.endpoint) {
            Way::Direct(escape(&endpoint))
        } else if said(self.peer_relay).is_some() {
            Way::PeerRelay
        } else {
            match self.derp_region_id {
                None | Some(0) => Way::Untold,
                Some(region_id) => Way::Derp { region_id, region_code: self.derp_region_code.unwrap_or_default() },
            }
        }
    }
}

impl Why {
    fn of(text: &str) -> Self {
        match text {
            "no matching peer" => Self::NoPeer,
            "local tailscaled stopped" => Self::Stopped,
            "peer's node key has expired" => Self::PeerExpired,
            "unknown peer" => Self::NotReady,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const PEER: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1)), IpAddr::V6(Ipv6Addr::LOCALHOST)];

    fn read(fields: &str) -> Result<Reply, Failure> {
        reply(&format!(r#"{{"IP":"100.64.0.1","NodeIP":"100.64.0.1","NodeName":"db",{fields}}}"#), &PEER)
    }

    fn why(text: &str) -> Why {
        match reply(text, &PEER) {
            Ok(Reply::Refused(refusal)) => refusal.why,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// As 1.102.5 and 1.80.3 wrote them.
    #[test]
    fn every_way_is_read() {
        let derp = Way::Derp { region_id: 1, region_code: "nyc".to_owned() };
        for (fields, way) in [
            (
                r#""Endpoint":"10.99.0.11:41641","PeerRelay":"","DERPRegionID":0,"DERPRegionCode":"""#,
                Way::Direct("10.99.0.11:41641".to_owned()),
            ),
            (
                r#""Endpoint":"","PeerRelay":"10.99.0.31:40000:vni:1","DERPRegionID":0,"DERPRegionCode":"""#,
                Way::PeerRelay,
            ),
            (r#""Endpoint":"","PeerRelay":"","DERPRegionID":1,"DERPRegionCode":"nyc""#, derp.clone()),
            (r#""Endpoint":"","DERPRegionID":1,"DERPRegionCode":"nyc""#, derp),
            (r#""Endpoint":"","PeerRelay":"","DERPRegionID":0,"DERPRegionCode":"","PeerAPIPort":58436"#, Way::Untold),
            (r#""Endpoint":null,"PeerRelay":null,"DERPRegionID":null,"New":{"a":[1]}"#, Way::Untold),
        ] {
            let reply = read(&format!(r#""Err":"","LatencySeconds":0.000704484,{fields}"#)).unwrap();
            assert_eq!(reply, Reply::Pong(Pong { latency: Duration::from_nanos(704_484), way }), "{fields}");
        }
    }

    #[test]
    fn every_refusal_has_its_kind() {
        for (text, want) in [
            ("no matching peer", Why::NoPeer),
            ("local tailscaled stopped", Why::Stopped),
            ("peer's node key has expired", Why::PeerExpired),
            ("unknown peer", Why::NotReady),
            ("no self address", Why::Other),
        ] {
            assert_eq!(why(&format!(r#"{{"Err":"{text}","LatencySeconds":0}}"#)), want);
        }
        assert_eq!(why(r#"{"Err":"100.64.0.2 is local Tailscale IP","IsLocalIP":true}"#), Why::Own);
    }

    #[test]
    fn a_pong_of_another_node_is_none() {
        for node in ["100.64.0.3", "", "db", "100.64.0.1/32"] {
            assert_eq!(
                why(&format!(r#"{{"NodeIP":"{node}","LatencySeconds":0.1,"Endpoint":"1.2.3.4:5"}}"#)),
                Why::Foreign
            );
        }
        assert_eq!(why(r#"{"LatencySeconds":0.1}"#), Why::Foreign);
        assert!(matches!(reply(r#"{"NodeIP":"::1","LatencySeconds":0.1}"#, &PEER), Ok(Reply::Pong(_))));
    }

    #[test]
    fn what_cannot_be_read_is_no_pong() {
        for fields in [
            r#""LatencySeconds":-1"#,
            r#""LatencySeconds":1e300"#,
            r#""LatencySeconds":"fast""#,
            r#""LatencySeconds":null"#,
            r#""LatencySeconds":1,"DERPRegionID":-1"#,
            r#""LatencySeconds":1,"Endpoint":7"#,
        ] {
            assert_eq!(read(fields).unwrap_err().reason, Reason::NodeLocalapiInvalid, "{fields}");
        }
        for text in ["", "7", "null", "{}{}", "{\"Err\":\"\"", "<html>"] {
            assert_eq!(
                reply(text, &PEER).map_err(|failure| failure.reason),
                Err(Reason::NodeLocalapiInvalid),
                "{text}"
            );
        }
    }
}
