//! What a ping comes to, on the wire and as telltail reads it.

use super::raw::{self, Answer};
use super::{SERVICE, SOON, World, addresses, client, since};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use telltail::tailscale::{FULL_SIZE, PingKind, Pong, Reply, Way, Why};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const SMALL: PingKind = PingKind::Disco { size: 0 };
const FULL: PingKind = PingKind::Disco { size: FULL_SIZE };
/// More than any way is trusted with.
const LARGE: PingKind = PingKind::Disco { size: 2000 };

async fn on_the_wire(world: &impl World, method: &str, query: &str) -> Answer {
    raw::ask(world, &format!("{method} /localapi/v0/ping?{query} HTTP/1.1\r\nHost: local-tailscaled.sock")).await
}

/// Right answers have one type and no other fields than these.
async fn result(world: &impl World, query: &str) -> Value {
    let answer = on_the_wire(world, "POST", query).await;
    let result = answer.json();
    for (name, _) in result.as_object().unwrap() {
        let usual = "IP NodeIP NodeName Err LatencySeconds Endpoint DERPRegionID DERPRegionCode PeerAPIPort IsLocalIP";
        let known = usual.split(' ').any(|usual| usual == name) || name == "PeerRelay" && since(world, 86);
        assert!(known, "{name} is new: {result}");
    }
    assert_eq!(result.get("PeerRelay").is_some(), since(world, 86));
    result
}

/// Both addresses of the peer.
async fn peer(world: &impl World) -> [IpAddr; 2] {
    let status = raw::status(world).await;
    let (v4, v6) = addresses(status["Peer"].as_object().unwrap().values().next().unwrap());
    [v4, v6]
}

/// Pings the peer's first address.
async fn ping(world: &impl World, kind: PingKind) -> Reply {
    to(world, world.peer().into(), &[world.peer().into()], kind).await
}

async fn to(world: &impl World, address: IpAddr, peer: &[IpAddr], kind: PingKind) -> Reply {
    let client = client(world);
    let reply = timeout(SOON, client.dialer().ping(address, peer, kind)).await;
    reply.expect("an answer comes soon").unwrap()
}

fn pong(reply: Reply) -> Pong {
    match reply {
        Reply::Pong(pong) => pong,
        Reply::Refused(refusal) => panic!("{refusal:?}"),
    }
}

fn refused(reply: &Reply) -> Why {
    match reply {
        Reply::Pong(pong) => panic!("{pong:?}"),
        Reply::Refused(refusal) => refusal.why,
    }
}

/// Nothing is said for as long as silence counts.
async fn silent(world: &impl World, kind: PingKind) {
    let client = client(world);
    let peer = IpAddr::from(world.peer());
    let reply = timeout(world.silence(), client.dialer().ping(peer, &[peer], kind)).await;
    assert!(reply.is_err(), "{kind:?}: {reply:?}");
    // A ping that one has left is no burden to those after it.
    assert!(raw::status(world).await.is_object());
}

/// Pings until the answer comes the wanted way: which comes first is a race.
async fn until(world: &impl World, kind: PingKind, wanted: impl Fn(&Way) -> bool) {
    let begun = Instant::now();
    let client = client(world);
    let peer = IpAddr::from(world.peer());
    loop {
        let reply = timeout(world.silence(), client.dialer().ping(peer, &[peer], kind)).await;
        match &reply {
            Ok(Ok(Reply::Pong(pong))) if wanted(&pong.way) => return,
            Ok(Ok(Reply::Pong(_))) | Err(_) => {}
            Ok(_) => panic!("{reply:?}"),
        }
        assert!(begun.elapsed() < SOON, "{kind:?}: {reply:?}");
        sleep(world.silence() / 10).await;
    }
}

fn is_direct(way: &Way) -> bool {
    matches!(way, Way::Direct(_))
}

pub async fn is_a_post_with_an_address_and_a_type(world: &impl World) {
    let ip = world.peer();
    let largest = if since(world, 102) { 65_467 } else { 65_475 };
    for (method, query, text) in [
        ("GET", format!("ip={ip}&type=disco"), "want POST".to_owned()),
        ("POST", "type=disco".to_owned(), "missing 'ip' parameter".to_owned()),
        ("POST", "ip=db&type=disco".to_owned(), "invalid IP".to_owned()),
        ("POST", format!("ip={ip}"), "missing 'type' parameter".to_owned()),
        ("POST", format!("ip={ip}&type=disco&size=x"), "invalid 'size' parameter".to_owned()),
        ("POST", format!("ip={ip}&type=TSMP&size=1"), "'size' parameter is only supported with disco pings".to_owned()),
        ("POST", format!("ip={ip}&type=disco&size={}", largest + 1), format!("maximum value for 'size' is {largest}")),
    ] {
        let answer = on_the_wire(world, method, &query).await;
        assert_eq!((answer.status, answer.body), (400, format!("{text}\n")), "{method} {query}");
    }
    // Not a word about a type that there is not.
    let unknown = timeout(world.silence(), on_the_wire(world, "POST", &format!("ip={ip}&type=tsmp"))).await;
    assert!(unknown.is_err(), "{unknown:?}");
}

pub async fn goes_directly(world: &impl World) {
    until(world, SMALL, is_direct).await;
    let ip = world.peer().to_string();
    let result = result(world, &format!("ip={ip}&type=disco")).await;
    assert_eq!((&result["IP"], &result["NodeIP"], &result["NodeName"]), (&json!(ip), &json!(ip), &json!("db")));
    assert_eq!(
        (&result["Err"], &result["DERPRegionID"], &result["DERPRegionCode"]),
        (&json!(""), &json!(0), &json!(""))
    );
    assert!(result["Endpoint"].as_str().unwrap().ends_with(":41641"), "{result}");
    let seconds = result["LatencySeconds"].as_f64().unwrap();
    assert!(seconds > 0.0 && seconds < SOON.as_secs_f64(), "{result}");
    assert!(pong(ping(world, SMALL).await).latency > Duration::ZERO);
}

pub async fn of_full_size_goes_directly(world: &impl World) {
    until(world, SMALL, is_direct).await;
    for _ in 0..5 {
        assert!(is_direct(&pong(ping(world, FULL).await).way));
    }
    // DERP takes part in this race, so one answer says little.
    until(world, LARGE, is_direct).await;
}

/// How one sees that large packets get lost: up to the full size only the trusted way is asked.
pub async fn of_full_size_is_lost(world: &impl World) {
    until(world, SMALL, is_direct).await;
    silent(world, FULL).await;
    until(world, LARGE, |way| matches!(way, Way::Derp { .. })).await;
    stays_direct(world).await;
}

pub async fn through_the_tunnel_does_not_tell_the_way(world: &impl World) {
    let [v4, v6] = peer(world).await;
    for ip in [v4, v6] {
        let result = result(world, &format!("ip={ip}&type=TSMP")).await;
        assert_eq!((&result["NodeIP"], &result["NodeName"]), (&json!(ip.to_string()), &json!("db")));
        assert!(result["PeerAPIPort"].is_u64(), "{result}");
        assert_eq!(pong(to(world, ip, &[v4, v6], PingKind::Tsmp).await).way, Way::Untold);
    }
}

/// The node is named by its first address, whichever was asked.
pub async fn names_the_node_that_answers(world: &impl World) {
    let [v4, v6] = peer(world).await;
    let result = result(world, &format!("ip={v6}&type=disco")).await;
    assert_eq!((&result["IP"], &result["NodeIP"]), (&json!(v6.to_string()), &json!(v4.to_string())));
    pong(to(world, v6, &[v4, v6], SMALL).await);
    assert_eq!(refused(&to(world, v6, &[v6], SMALL).await), Why::Foreign);
}

pub async fn of_nobody_is_refused(world: &impl World) {
    for ip in [Ipv4Addr::new(100, 64, 0, 99), Ipv4Addr::new(100, 100, 100, 100), Ipv4Addr::new(10, 99, 0, 1)] {
        for kind in [SMALL, PingKind::Tsmp] {
            assert_eq!(refused(&to(world, ip.into(), &[ip.into()], kind).await), Why::NoPeer, "{ip}");
        }
        assert_eq!(result(world, &format!("ip={ip}&type=disco")).await["Err"], "no matching peer");
    }
}

pub async fn of_oneself_is_refused(world: &impl World) {
    let (v4, v6) = addresses(&raw::status(world).await["Self"]);
    for ip in [v4, v6] {
        let result = result(world, &format!("ip={ip}&type=TSMP")).await;
        assert_eq!(
            (&result["Err"], &result["IsLocalIP"]),
            (&json!(format!("{ip} is local Tailscale IP")), &json!(true))
        );
        assert_eq!(refused(&to(world, ip, &[ip], SMALL).await), Why::Own);
    }
}

pub async fn many_are_answered_at_once(world: &impl World) {
    let mut pings = JoinSet::new();
    for at in 0..50 {
        let (client, peer) = (client(world), IpAddr::from(world.peer()));
        let kind = if at % 2 == 0 { SMALL } else { PingKind::Tsmp };
        pings.spawn(async move { client.dialer().ping(peer, &[peer], kind).await });
    }
    for reply in timeout(SOON, pings.join_all()).await.unwrap() {
        pong(reply.unwrap());
    }
}

/// The address of a service is its host's.
pub async fn of_a_service_is_answered_by_its_host(world: &impl World) {
    let reply = to(world, SERVICE.into(), &[world.peer().into()], SMALL).await;
    if since(world, 100) {
        pong(reply);
        assert_eq!(refused(&to(world, SERVICE.into(), &[SERVICE.into()], SMALL).await), Why::Foreign);
    } else {
        assert_eq!(refused(&reply), Why::NoPeer, "so ping the host by its own address");
    }
}

/// A policy that drops lets pings pass, and control's opinion does not matter to them.
pub async fn is_answered(world: &impl World) {
    pong(ping(world, SMALL).await);
    assert_eq!(pong(ping(world, PingKind::Tsmp).await).way, Way::Untold);
}

pub async fn goes_over_derp(world: &impl World) {
    let over_nyc = |way: &Way| *way == Way::Derp { region_id: 1, region_code: "nyc".to_owned() };
    until(world, SMALL, over_nyc).await;
    until(world, FULL, over_nyc).await;
    until(world, LARGE, over_nyc).await;
    let result = result(world, &format!("ip={}&type=disco", world.peer())).await;
    assert_eq!((&result["Endpoint"], &result["DERPRegionID"]), (&json!(""), &json!(1)));
    assert_eq!(pong(ping(world, PingKind::Tsmp).await).way, Way::Untold);
}

pub async fn stays_direct(world: &impl World) {
    assert!(is_direct(&pong(ping(world, SMALL).await).way));
}

pub async fn gets_no_answer(world: &impl World) {
    for kind in [SMALL, FULL, LARGE, PingKind::Tsmp] {
        silent(world, kind).await;
    }
}

pub async fn to_the_peer_gone_is_refused(world: &impl World) {
    for kind in [SMALL, PingKind::Tsmp] {
        assert_eq!(refused(&ping(world, kind).await), Why::NoPeer);
    }
}

pub async fn to_the_peer_expired_is_refused(world: &impl World) {
    assert_eq!(refused(&ping(world, SMALL).await), Why::PeerExpired);
    assert_eq!(refused(&ping(world, FULL).await), Why::PeerExpired);
    silent(world, PingKind::Tsmp).await;
}

/// Stopped, or with an expired key: the two cannot be told apart here.
pub async fn at_rest_is_refused(world: &impl World) {
    assert_eq!(refused(&ping(world, SMALL).await), Why::Stopped);
    silent(world, PingKind::Tsmp).await;
    of_oneself_is_refused(world).await;
}
