//! Pings, on the wire and as telltail reads them.

use super::raw::{self, RawResponse};
use super::{SERVICE, SOON, Testbed, addresses, client, since};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use telltail::tailscale::{FULL_SIZE, PingKind, PingReply, Pong, PongVia};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const SMALL: PingKind = PingKind::Disco { size: 0 };
const FULL: PingKind = PingKind::Disco { size: FULL_SIZE };
/// More than a trusted path is pinged with.
const LARGE: PingKind = PingKind::Disco { size: 2000 };

async fn on_the_wire(testbed: &impl Testbed, method: &str, query: &str) -> RawResponse {
    raw::ask(testbed, &format!("{method} /localapi/v0/ping?{query} HTTP/1.1\r\nHost: local-tailscaled.sock")).await
}

/// Valid responses have one type and no other fields than these.
async fn result(testbed: &impl Testbed, query: &str) -> Value {
    let answer = on_the_wire(testbed, "POST", query).await;
    let result = answer.json();
    for (name, _) in result.as_object().unwrap() {
        let usual = "IP NodeIP NodeName Err LatencySeconds Endpoint DERPRegionID DERPRegionCode PeerAPIPort IsLocalIP";
        let known = usual.split(' ').any(|usual| usual == name) || name == "PeerRelay" && since(testbed, 86);
        assert!(known, "{name} is new: {result}");
    }
    assert_eq!(result.get("PeerRelay").is_some(), since(testbed, 86));
    result
}

/// Both addresses of the peer.
async fn peer(testbed: &impl Testbed) -> [IpAddr; 2] {
    let status = raw::status(testbed).await;
    let (v4, v6) = addresses(status["Peer"].as_object().unwrap().values().next().unwrap());
    [v4, v6]
}

/// Pings the peer's first address.
async fn ping(testbed: &impl Testbed, kind: PingKind) -> PingReply {
    to(testbed, testbed.peer().into(), &[testbed.peer().into()], kind).await
}

async fn to(testbed: &impl Testbed, address: IpAddr, peer: &[IpAddr], kind: PingKind) -> PingReply {
    let client = client(testbed);
    let reply = timeout(SOON, client.dialer().ping(address, peer, kind)).await;
    reply.expect("an answer comes soon").unwrap()
}

fn pong(reply: PingReply) -> Pong {
    match reply {
        PingReply::Pong(pong) => pong,
        PingReply::Refused => panic!("refused"),
    }
}

/// Pings one address of the node with the addresses `peer`, which must be refused with this error.
async fn refused(testbed: &impl Testbed, address: IpAddr, peer: &[IpAddr], kind: PingKind, error: &str) {
    assert_eq!(to(testbed, address, peer, kind).await, PingReply::Refused, "{address}");
    let query = match kind {
        PingKind::Disco { size } => format!("ip={address}&type=disco&size={size}"),
        PingKind::Tsmp => format!("ip={address}&type=TSMP"),
    };
    assert_eq!(result(testbed, &query).await["Err"], error, "{address}");
}

/// The same for the peer's first address.
async fn peer_refused(testbed: &impl Testbed, kind: PingKind, error: &str) {
    let peer = IpAddr::from(testbed.peer());
    refused(testbed, peer, &[peer], kind, error).await;
}

/// No response within the testbed's silence.
async fn silent(testbed: &impl Testbed, kind: PingKind) {
    let client = client(testbed);
    let peer = IpAddr::from(testbed.peer());
    let reply = timeout(testbed.silence(), client.dialer().ping(peer, &[peer], kind)).await;
    assert!(reply.is_err(), "{kind:?}: {reply:?}");
    // A dropped ping does not block later calls.
    assert!(raw::status(testbed).await.is_object());
}

/// Pings until the pong comes over the wanted path: which pong is first is a race.
async fn until(testbed: &impl Testbed, kind: PingKind, wanted: impl Fn(&PongVia) -> bool) {
    let begun = Instant::now();
    let client = client(testbed);
    let peer = IpAddr::from(testbed.peer());
    loop {
        let reply = timeout(testbed.silence(), client.dialer().ping(peer, &[peer], kind)).await;
        match &reply {
            Ok(Ok(PingReply::Pong(pong))) if wanted(&pong.via) => return,
            Ok(Ok(PingReply::Pong(_))) | Err(_) => {}
            Ok(_) => panic!("{reply:?}"),
        }
        assert!(begun.elapsed() < SOON, "{kind:?}: {reply:?}");
        sleep(testbed.silence() / 10).await;
    }
}

fn is_direct(via: &PongVia) -> bool {
    *via == PongVia::Direct
}

pub async fn is_a_post_with_an_address_and_a_type(testbed: &impl Testbed) {
    let ip = testbed.peer();
    let largest = if since(testbed, 102) { 65_467 } else { 65_475 };
    for (method, query, text) in [
        ("GET", format!("ip={ip}&type=disco"), "want POST".to_owned()),
        ("POST", "type=disco".to_owned(), "missing 'ip' parameter".to_owned()),
        ("POST", "ip=db&type=disco".to_owned(), "invalid IP".to_owned()),
        ("POST", format!("ip={ip}"), "missing 'type' parameter".to_owned()),
        ("POST", format!("ip={ip}&type=disco&size=x"), "invalid 'size' parameter".to_owned()),
        ("POST", format!("ip={ip}&type=TSMP&size=1"), "'size' parameter is only supported with disco pings".to_owned()),
        ("POST", format!("ip={ip}&type=disco&size={}", largest + 1), format!("maximum value for 'size' is {largest}")),
    ] {
        let answer = on_the_wire(testbed, method, &query).await;
        assert_eq!((answer.status, answer.body), (400, format!("{text}\n")), "{method} {query}");
    }
    // An unknown type gets no response.
    let unknown = timeout(testbed.silence(), on_the_wire(testbed, "POST", &format!("ip={ip}&type=tsmp"))).await;
    assert!(unknown.is_err(), "{unknown:?}");
}

pub async fn goes_directly(testbed: &impl Testbed) {
    until(testbed, SMALL, is_direct).await;
    let ip = testbed.peer().to_string();
    let result = result(testbed, &format!("ip={ip}&type=disco")).await;
    assert_eq!((&result["IP"], &result["NodeIP"], &result["NodeName"]), (&json!(ip), &json!(ip), &json!("db")));
    assert_eq!(
        (&result["Err"], &result["DERPRegionID"], &result["DERPRegionCode"]),
        (&json!(""), &json!(0), &json!(""))
    );
    assert!(result["Endpoint"].as_str().unwrap().ends_with(":41641"), "{result}");
    let seconds = result["LatencySeconds"].as_f64().unwrap();
    assert!(seconds > 0.0 && seconds < SOON.as_secs_f64(), "{result}");
    assert!(pong(ping(testbed, SMALL).await).latency > Duration::ZERO);
}

pub async fn of_full_size_goes_directly(testbed: &impl Testbed) {
    until(testbed, SMALL, is_direct).await;
    for _ in 0..5 {
        assert!(is_direct(&pong(ping(testbed, FULL).await).via));
    }
    // A pong over DERP can be first, so one pong is not enough.
    until(testbed, LARGE, is_direct).await;
}

/// This detects that large packets are lost: up to the full size only the trusted path is pinged.
pub async fn of_full_size_is_lost(testbed: &impl Testbed) {
    until(testbed, SMALL, is_direct).await;
    silent(testbed, FULL).await;
    until(testbed, LARGE, |via| matches!(via, PongVia::Derp { .. })).await;
    stays_direct(testbed).await;
}

pub async fn through_the_tunnel_does_not_report_the_path(testbed: &impl Testbed) {
    let [v4, v6] = peer(testbed).await;
    for ip in [v4, v6] {
        let result = result(testbed, &format!("ip={ip}&type=TSMP")).await;
        assert_eq!((&result["NodeIP"], &result["NodeName"]), (&json!(ip.to_string()), &json!("db")));
        assert!(result["PeerAPIPort"].is_u64(), "{result}");
        assert_eq!(pong(to(testbed, ip, &[v4, v6], PingKind::Tsmp).await).via, PongVia::Unreported);
    }
}

/// The node is named by its first address, whichever was asked.
pub async fn names_the_node_that_answers(testbed: &impl Testbed) {
    let [v4, v6] = peer(testbed).await;
    let result = result(testbed, &format!("ip={v6}&type=disco")).await;
    assert_eq!((&result["IP"], &result["NodeIP"]), (&json!(v6.to_string()), &json!(v4.to_string())));
    pong(to(testbed, v6, &[v4, v6], SMALL).await);
    // The client compares this address with the peer's.
    assert_eq!(to(testbed, v6, &[v6], SMALL).await, PingReply::Refused);
}

pub async fn to_no_node_is_refused(testbed: &impl Testbed) {
    for ip in [Ipv4Addr::new(100, 64, 0, 99), Ipv4Addr::new(100, 100, 100, 100), Ipv4Addr::new(10, 99, 0, 1)] {
        for kind in [SMALL, PingKind::Tsmp] {
            refused(testbed, ip.into(), &[ip.into()], kind, "no matching peer").await;
        }
    }
}

pub async fn to_the_own_node_is_refused(testbed: &impl Testbed) {
    let (v4, v6) = addresses(&raw::status(testbed).await["Self"]);
    for ip in [v4, v6] {
        let result = result(testbed, &format!("ip={ip}&type=TSMP")).await;
        assert_eq!(
            (&result["Err"], &result["IsLocalIP"]),
            (&json!(format!("{ip} is local Tailscale IP")), &json!(true))
        );
        refused(testbed, ip, &[ip], SMALL, &format!("{ip} is local Tailscale IP")).await;
    }
}

pub async fn many_are_answered_at_once(testbed: &impl Testbed) {
    let mut pings = JoinSet::new();
    for at in 0..50 {
        let (client, peer) = (client(testbed), IpAddr::from(testbed.peer()));
        let kind = if at % 2 == 0 { SMALL } else { PingKind::Tsmp };
        pings.spawn(async move { client.dialer().ping(peer, &[peer], kind).await });
    }
    for reply in timeout(SOON, pings.join_all()).await.unwrap() {
        pong(reply.unwrap());
    }
}

/// The address of a service is its host's.
pub async fn of_a_service_is_answered_by_its_host(testbed: &impl Testbed) {
    let reply = to(testbed, SERVICE.into(), &[testbed.peer().into()], SMALL).await;
    if since(testbed, 100) {
        pong(reply);
        assert_eq!(to(testbed, SERVICE.into(), &[SERVICE.into()], SMALL).await, PingReply::Refused, "the host answers");
    } else {
        assert_eq!(reply, PingReply::Refused, "so ping the host by its own address");
    }
}

/// Neither a policy that drops nor being offline for control affects pings.
pub async fn is_answered(testbed: &impl Testbed) {
    pong(ping(testbed, SMALL).await);
    assert_eq!(pong(ping(testbed, PingKind::Tsmp).await).via, PongVia::Unreported);
}

pub async fn goes_over_derp(testbed: &impl Testbed) {
    let over_nyc = |via: &PongVia| *via == PongVia::Derp { region_id: 1, region_code: "nyc".to_owned() };
    until(testbed, SMALL, over_nyc).await;
    until(testbed, FULL, over_nyc).await;
    until(testbed, LARGE, over_nyc).await;
    let result = result(testbed, &format!("ip={}&type=disco", testbed.peer())).await;
    assert_eq!((&result["Endpoint"], &result["DERPRegionID"]), (&json!(""), &json!(1)));
    assert_eq!(pong(ping(testbed, PingKind::Tsmp).await).via, PongVia::Unreported);
}

pub async fn stays_direct(testbed: &impl Testbed) {
    assert!(is_direct(&pong(ping(testbed, SMALL).await).via));
}

pub async fn gets_no_answer(testbed: &impl Testbed) {
    for kind in [SMALL, FULL, LARGE, PingKind::Tsmp] {
        silent(testbed, kind).await;
    }
}

pub async fn to_the_peer_gone_is_refused(testbed: &impl Testbed) {
    for kind in [SMALL, PingKind::Tsmp] {
        peer_refused(testbed, kind, "no matching peer").await;
    }
}

pub async fn to_the_peer_expired_is_refused(testbed: &impl Testbed) {
    peer_refused(testbed, SMALL, "peer's node key has expired").await;
    peer_refused(testbed, FULL, "peer's node key has expired").await;
    silent(testbed, PingKind::Tsmp).await;
}

/// Stopped, or with an expired key: the error is the same.
pub async fn of_a_stopped_node_is_refused(testbed: &impl Testbed) {
    peer_refused(testbed, SMALL, "local tailscaled stopped").await;
    silent(testbed, PingKind::Tsmp).await;
    to_the_own_node_is_refused(testbed).await;
}
