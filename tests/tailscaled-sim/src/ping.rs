//! What a ping comes to: `localapi.servePing`, `wgengine.Ping` and `magicsock.Ping` of a real tailscaled, without a socket.

use std::net::IpAddr;

use crate::json::{Fields, Json};
use crate::sim_state::AddressOwner;
use crate::{Peer, Request, SimState};

/// How a ping goes on.
#[derive(Debug)]
pub(crate) enum Ping {
    /// 200, though the result may be an error.
    Result(String),
    /// 400
    BadRequest(String),
    /// No answer until the client leaves.
    Hang,
    /// Not simulated; without an answer, too.
    Unknown(String),
}

pub(crate) fn ping(sim: &SimState, request: &Request) -> Ping {
    let bad = |text: &str| Ping::BadRequest(text.to_owned());
    let parameter = |name| request.parameter(name).unwrap_or_default();
    if request.method != "POST" {
        return bad("want POST");
    }
    let (ip, kind, size) = (parameter("ip"), parameter("type"), parameter("size"));
    if ip.is_empty() {
        return bad("missing 'ip' parameter");
    }
    let Ok(ip) = ip.parse() else { return bad("invalid IP") };
    if kind.is_empty() {
        return bad("missing 'type' parameter");
    }
    let Ok(size) = (if size.is_empty() { Ok(0) } else { size.parse::<i64>() }) else {
        return bad("invalid 'size' parameter");
    };
    if size != 0 && kind != "disco" {
        return bad("'size' parameter is only supported with disco pings");
    }
    let largest = if sim.version.since(1, 102) { 65_467 } else { 65_475 };
    if size > largest {
        return Ping::BadRequest(format!("maximum value for 'size' is {largest}"));
    }
    send(sim, ip, kind, usize::try_from(size).unwrap_or(0))
}

fn send(sim: &SimState, ip: IpAddr, kind: &str, size: usize) -> Ping {
    let unanswered = PingResult { ip: ip.to_string(), ..PingResult::default() };
    let refused = |result: PingResult, text: &str| PingResult { err: text.to_owned(), ..result }.into_ping(sim);
    let peer = match sim.owner(ip) {
        None => return refused(unanswered, "no matching peer"),
        Some(AddressOwner::Own) => {
            let text = format!("{ip} is local Tailscale IP");
            return PingResult { err: text, local: true, ..unanswered }.into_ping(sim);
        }
        // The address of a service, as 1.80.3 was seen to take it.
        Some(AddressOwner::Peer(peer, _)) if !peer.ips.contains(&ip) && !sim.version.since(1, 100) => {
            return refused(unanswered, "no matching peer");
        }
        Some(AddressOwner::Peer(peer, _)) => peer,
    };
    let first = peer.ips.first().copied().unwrap_or(ip);
    let node = |node_ip: IpAddr| PingResult {
        node_ip: peer.answers_as.unwrap_or(node_ip).to_string(),
        node_name: peer.name.clone(),
        ..unanswered.clone()
    };
    match kind {
        "disco" if !sim.engine_on() => refused(unanswered, "local tailscaled stopped"),
        "disco" if !peer.ready => refused(node(first), "unknown peer"),
        "disco" if peer.expired => refused(node(first), "peer's node key has expired"),
        "TSMP" if !sim.engine_on() || peer.expired => Ping::Hang,
        "disco" | "TSMP" if peer.frozen => Ping::Hang,
        "disco" => way(sim, peer, size).map_or(Ping::Hang, |way| {
            PingResult { way, seconds: peer.latency.as_secs_f64(), ..node(first) }.into_ping(sim)
        }),
        "TSMP" => PingResult { seconds: peer.latency.as_secs_f64(), peer_api: Some(34_567), ..node(ip) }.into_ping(sim),
        _ => Ping::Unknown(format!("ping of type {kind}")),
    }
}

/// Size up to which a way that is trusted with small packets is trusted, over IPv4: `tstun.SafeWireMTU` without headers.
const SAFE: usize = 1360 - 20 - 8;

/// The way whose answer comes first; none if nothing comes back.
fn way(sim: &SimState, peer: &Peer, size: usize) -> Option<Way> {
    let relayed = !peer.peer_relay.is_empty() && sim.version.since(1, 86);
    let fits = peer.largest_udp.is_none_or(|largest| size <= largest);
    if (!peer.cur_addr.is_empty() || relayed) && (fits || size <= SAFE) {
        let direct = Way { endpoint: peer.cur_addr.clone(), ..Way::default() };
        let relay = Way { peer_relay: peer.peer_relay.clone(), ..Way::default() };
        return fits.then_some(if peer.cur_addr.is_empty() { relay } else { direct });
    }
    let code = peer.relay.clone();
    (!code.is_empty()).then(|| Way { derp: region_id(&code), derp_code: code, ..Way::default() })
}

/// The number of a region in the DERP map: the yardstick's two, and one of those that are free for others.
pub(crate) fn region_id(code: &str) -> i64 {
    match code {
        "" => 0,
        "nyc" => 1,
        "sfo" => 2,
        _ => 900,
    }
}

/// `ipnstate.PingResult`
#[derive(Clone, Debug, Default)]
struct PingResult {
    ip: String,
    node_ip: String,
    node_name: String,
    err: String,
    seconds: f64,
    way: Way,
    peer_api: Option<i64>,
    local: bool,
}

#[derive(Clone, Debug, Default)]
struct Way {
    endpoint: String,
    peer_relay: String,
    derp: i64,
    derp_code: String,
}

impl PingResult {
    fn into_ping(self, sim: &SimState) -> Ping {
        let fields = Fields::default()
            .set("IP", self.ip)
            .set("NodeIP", self.node_ip)
            .set("NodeName", self.node_name)
            .set("Err", self.err)
            .set("LatencySeconds", Json::Float(self.seconds))
            .set("Endpoint", self.way.endpoint)
            .set_if(sim.version.since(1, 86), "PeerRelay", self.way.peer_relay)
            .set("DERPRegionID", self.way.derp)
            .set("DERPRegionCode", self.way.derp_code)
            .set_if(self.peer_api.is_some(), "PeerAPIPort", self.peer_api.unwrap_or_default())
            .set_if(self.local, "IsLocalIP", true);
        Ping::Result(Json::from(fields).line())
    }
}
