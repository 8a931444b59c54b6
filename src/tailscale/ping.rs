//! `ping`: does a peer answer, and over which path?

use super::Dialer;
use super::call::{Call, CallGuard, invalid};
use crate::reason::Failure;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// The kind of ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingKind {
    /// From tailscaled to tailscaled, outside WireGuard: it finds paths and does not test the tunnel.
    Disco {
        /// Bytes of the message without IP and UDP headers. 0 sends the smallest message, [`FULL_SIZE`] one as large as the
        /// tunnel's packets. At most 65,467 (1.102.5; 65,475 in 1.80.3). The reply is always small.
        ///
        /// Up to [`FULL_SIZE`] tailscaled pings only a trusted path, as with 0. Above, it pings over every path at once, DERP
        /// included (`endpoint.addrForPingSizeLocked`), and a pong over DERP does not tell whether others work.
        size: u16,
    },
    /// A packet through the tunnel, answered by the peer's tailscaled before its packet filter.
    Tsmp,
}

/// Size of the largest datagram that a tunnel of the default MTU sends: 1,280 bytes of packet (`tstun.DefaultTUNMTU`) and 32
/// of WireGuard. With IPv6 headers this is the most that tailscaled expects to fit on any path (`tstun.SafeWireMTU`, 1,360).
pub const FULL_SIZE: u16 = 1_312;

/// tailscaled's response to a ping.
#[derive(Clone, Debug, PartialEq)]
pub enum PingReply {
    /// The peer answered.
    Pong(Pong),
    /// tailscaled did not ping the peer, or another node answered: there will be no pong, however long one waits.
    Refused,
}

/// A peer's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Pong {
    /// Round trip, as tailscaled measured it.
    pub latency: Duration,
    /// The path to the peer.
    pub via: PongVia,
}

/// The path of the ping whose pong came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PongVia {
    /// UDP to one of the peer's addresses.
    Direct,
    /// Through a peer relay; since 1.86.
    PeerRelay,
    /// Through a DERP region, the peer's home.
    Derp {
        /// Its number in the DERP map.
        region_id: u32,
        /// Its short name, as control sends it.
        region_code: String,
    },
    /// tailscaled does not report it: always with [`PingKind::Tsmp`].
    Unreported,
}

/// The fields of Go's `ipnstate.PingResult` that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PingResult {
    #[serde(rename = "NodeIP")]
    node_ip: Option<String>,
    #[serde(rename = "Err")]
    err: Option<String>,
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

/// Bytes of a response that are read; a valid one has some 300.
const MAX_RESPONSE: usize = 16 << 10;

impl Dialer {
    /// Pings `address`, one of the addresses `peer` of a node. A pong of another node does not count.
    ///
    /// tailscaled waits forever for a silent peer: the deadline is the caller's. Dropping the future ends the ping in
    /// tailscaled, too.
    pub async fn ping(&self, address: IpAddr, peer: &[IpAddr], kind: PingKind) -> Result<PingReply, Failure> {
        let pending = CallGuard::new(&self.observer, Call::Ping);
        pending.finish(self.ping_unobserved(address, peer, kind).await)
    }

    async fn ping_unobserved(&self, address: IpAddr, peer: &[IpAddr], kind: PingKind) -> Result<PingReply, Failure> {
        // An IPv6 address needs no escape in a query.
        let path = match kind {
            PingKind::Disco { size: 0 } => format!("/localapi/v0/ping?ip={address}&type=disco"),
            PingKind::Disco { size } => format!("/localapi/v0/ping?ip={address}&type=disco&size={size}"),
            PingKind::Tsmp => format!("/localapi/v0/ping?ip={address}&type=TSMP"),
        };
        let response = self.send(Method::POST, &path, &[]).await?.expect(StatusCode::OK).await?;
        let (_, text) = response.text(MAX_RESPONSE).await?;
        PingReply::read(&text, peer)
    }
}

impl PingReply {
    /// Reads tailscaled's response to a ping of the node with the addresses `peer`.
    pub fn read(response: &str, peer: &[IpAddr]) -> Result<Self, Failure> {
        let malformed = |cause: &dyn std::fmt::Display| invalid(format_args!("the response to a ping: {cause}"));
        let result: PingResult = serde_json::from_str(response).map_err(|error| malformed(&error))?;
        // Another node answers where a route that covers the address leads elsewhere.
        let is_peer = |node: &String| node.parse().is_ok_and(|node| peer.contains(&node));
        if is_set(&result.err) || !result.node_ip.as_ref().is_some_and(is_peer) {
            return Ok(Self::Refused);
        }
        let seconds = result.latency_seconds.ok_or_else(|| malformed(&"no LatencySeconds"))?;
        let latency = Duration::try_from_secs_f64(seconds).map_err(|error| malformed(&error))?;
        Ok(Self::Pong(Pong { latency, via: result.via() }))
    }
}

impl PingResult {
    /// At most one of the three is set.
    fn via(self) -> PongVia {
        match self.derp_region_id {
            _ if is_set(&self.endpoint) => PongVia::Direct,
            _ if is_set(&self.peer_relay) => PongVia::PeerRelay,
            None | Some(0) => PongVia::Unreported,
            Some(region_id) => PongVia::Derp { region_id, region_code: self.derp_region_code.unwrap_or_default() },
        }
    }
}

fn is_set(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const PEER: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1)), IpAddr::V6(Ipv6Addr::LOCALHOST)];

    fn read(fields: &str) -> Result<PingReply, Failure> {
        PingReply::read(&format!(r#"{{"IP":"100.64.0.1","NodeIP":"100.64.0.1","NodeName":"db",{fields}}}"#), &PEER)
    }

    /// As 1.102.5 and 1.80.3 wrote them.
    #[test]
    fn every_path_is_read() {
        let derp = PongVia::Derp { region_id: 1, region_code: "nyc".to_owned() };
        for (fields, via) in [
            (r#""Endpoint":"10.99.0.11:41641","PeerRelay":"","DERPRegionID":0,"DERPRegionCode":"""#, PongVia::Direct),
            (
                r#""Endpoint":"","PeerRelay":"10.99.0.31:40000:vni:1","DERPRegionID":0,"DERPRegionCode":"""#,
                PongVia::PeerRelay,
            ),
            (r#""Endpoint":"","PeerRelay":"","DERPRegionID":1,"DERPRegionCode":"nyc""#, derp.clone()),
            (r#""Endpoint":"","DERPRegionID":1,"DERPRegionCode":"nyc""#, derp),
            (
                r#""Endpoint":"","PeerRelay":"","DERPRegionID":0,"DERPRegionCode":"","PeerAPIPort":58436"#,
                PongVia::Unreported,
            ),
            (r#""Endpoint":null,"PeerRelay":null,"DERPRegionID":null,"New":{"a":[1]}"#, PongVia::Unreported),
        ] {
            let reply = read(&format!(r#""Err":"","LatencySeconds":0.000704484,{fields}"#)).unwrap();
            assert_eq!(reply, PingReply::Pong(Pong { latency: Duration::from_nanos(704_484), via }), "{fields}");
        }
    }

    /// As `wgengine.Ping`, `magicsock.Ping` and `endpoint.discoPing` word them.
    #[test]
    fn an_error_is_a_refusal() {
        for error in [
            "no matching peer",
            "local tailscaled stopped",
            "peer's node key has expired",
            "unknown peer",
            "100.64.0.2 is local Tailscale IP",
        ] {
            let response = format!(r#"{{"NodeIP":"100.64.0.1","Err":"{error}","LatencySeconds":0}}"#);
            assert_eq!(PingReply::read(&response, &PEER), Ok(PingReply::Refused), "{error}");
        }
    }

    #[test]
    fn a_pong_of_another_node_is_refused() {
        for node in ["100.64.0.3", "", "db", "100.64.0.1/32"] {
            let response = format!(r#"{{"NodeIP":"{node}","LatencySeconds":0.1,"Endpoint":"1.2.3.4:5"}}"#);
            assert_eq!(PingReply::read(&response, &PEER), Ok(PingReply::Refused), "{node}");
        }
        assert_eq!(PingReply::read(r#"{"LatencySeconds":0.1}"#, &PEER), Ok(PingReply::Refused));
        let second_address = PingReply::read(r#"{"NodeIP":"::1","LatencySeconds":0.1}"#, &PEER);
        assert!(matches!(second_address, Ok(PingReply::Pong(_))));
    }

    #[test]
    fn a_malformed_response_is_invalid() {
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
                PingReply::read(text, &PEER).map_err(|failure| failure.reason),
                Err(Reason::NodeLocalapiInvalid),
                "{text}"
            );
        }
    }
}
