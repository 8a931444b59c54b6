//! telltail's pings through a tailscaled that is missing, silent, malformed or slow.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tailscaled_sim::{Call, Misbehaviour, Peer, Tailscaled};
use telltail::reason::{Failure, Reason};
use telltail::tailscale::{self, CallResult, FULL_SIZE, LocalApi, PingKind, PingReply, Pong, PongVia};
use tokio::time::timeout;

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);
/// Long enough to say that nothing came.
const SILENCE: Duration = Duration::from_millis(100);

const DB: &str = "100.64.0.2";
const SMALL: PingKind = PingKind::Disco { size: 0 };
const FULL: PingKind = PingKind::Disco { size: FULL_SIZE };

type Calls = Arc<Mutex<Vec<(tailscale::Call, CallResult)>>>;

fn with_db() -> (Tailscaled, LocalApi, Calls) {
    let tailscaled = Tailscaled::start();
    let mut peer = Peer::new("db").ip(DB);
    peer.go_direct("10.99.0.11:41641");
    tailscaled.add_peer(peer);
    let calls = Calls::default();
    let noted = Arc::clone(&calls);
    let observe = Arc::new(move |call, result| noted.lock().unwrap().push((call, result)));
    let client = LocalApi::new(Some(tailscaled.socket().to_owned()), observe);
    (tailscaled, client, calls)
}

async fn ping(client: &LocalApi, kind: PingKind) -> Result<PingReply, Failure> {
    let db: IpAddr = DB.parse().unwrap();
    timeout(SOON, client.dialer().ping(db, &[db], kind)).await.expect("a ping ends")
}

async fn pong(client: &LocalApi, kind: PingKind) -> Pong {
    match ping(client, kind).await.unwrap() {
        PingReply::Pong(pong) => pong,
        PingReply::Refused => panic!("refused"),
    }
}

async fn silent(client: &LocalApi, kind: PingKind) -> bool {
    let db: IpAddr = DB.parse().unwrap();
    timeout(SILENCE, client.dialer().ping(db, &[db], kind)).await.is_err()
}

#[tokio::test]
async fn the_path_and_the_round_trip_are_reported() {
    let (tailscaled, client, _) = with_db();
    tailscaled.update_peer("db", |peer| peer.latency = Duration::from_micros(12_345));
    assert_eq!(pong(&client, SMALL).await, Pong { latency: Duration::from_micros(12_345), via: PongVia::Direct });
    tailscaled.update_peer("db", |peer| peer.go_peer_relay("10.99.0.31:40000:vni:1"));
    assert_eq!(pong(&client, SMALL).await.via, PongVia::PeerRelay);
    tailscaled.update_peer("db", |peer| peer.go_derp("sfo"));
    assert_eq!(pong(&client, SMALL).await.via, PongVia::Derp { region_id: 2, region_code: "sfo".to_owned() });
    assert_eq!(pong(&client, PingKind::Tsmp).await.via, PongVia::Unreported);
    // Before 1.86 there are no peer relays.
    tailscaled.set_version("1.80.3");
    tailscaled.update_peer("db", |peer| peer.go_peer_relay("10.99.0.31:40000:vni:1"));
    assert_eq!(pong(&client, SMALL).await.via, PongVia::Derp { region_id: 2, region_code: "sfo".to_owned() });
    assert_eq!(tailscaled.unexpected_requests(), [] as [String; 0]);
}

#[tokio::test]
async fn an_error_or_the_pong_of_another_node_is_a_refusal() {
    let (tailscaled, client, calls) = with_db();
    tailscaled.update_peer("db", |peer| peer.ready = false);
    assert_eq!(ping(&client, SMALL).await, Ok(PingReply::Refused));
    tailscaled.update_peer("db", |peer| (peer.ready, peer.answers_as) = (true, Some("100.64.0.9".parse().unwrap())));
    assert_eq!(ping(&client, SMALL).await, Ok(PingReply::Refused));
    tailscaled.expire_peer("db");
    assert_eq!(ping(&client, SMALL).await, Ok(PingReply::Refused));
    assert!(silent(&client, PingKind::Tsmp).await);
    tailscaled.expire_own_key();
    assert_eq!(ping(&client, SMALL).await, Ok(PingReply::Refused));
    tailscaled.remove_peer("db");
    assert_eq!(ping(&client, PingKind::Tsmp).await, Ok(PingReply::Refused));
    // A refusal is an answer; a dropped ping has none.
    let calls = calls.lock().unwrap();
    let results: Vec<_> = calls.iter().map(|(call, result)| (*call, *result)).collect();
    let (ok, dropped) = ((tailscale::Call::Ping, CallResult::Ok), (tailscale::Call::Ping, CallResult::NoAnswer));
    assert_eq!(results, [ok, ok, ok, dropped, ok, ok]);
}

#[tokio::test]
async fn only_the_full_size_is_lost() {
    let (tailscaled, client, _) = with_db();
    assert!(matches!(pong(&client, FULL).await.via, PongVia::Direct));
    tailscaled.update_peer("db", |peer| peer.largest_udp = Some(1200));
    assert!(matches!(pong(&client, SMALL).await.via, PongVia::Direct));
    assert!(silent(&client, FULL).await);
    assert!(matches!(pong(&client, PingKind::Disco { size: 9000 }).await.via, PongVia::Derp { .. }));
    // tailscaled's limit.
    let failure = ping(&client, PingKind::Disco { size: u16::MAX }).await.unwrap_err();
    assert!(failure.cause.contains("maximum value for 'size' is 65467"), "{failure}");
}

#[tokio::test]
async fn a_dropped_ping_closes_its_connection() {
    let (tailscaled, client, _) = with_db();
    tailscaled.set_peer_frozen("db", true);
    for kind in [SMALL, FULL, PingKind::Tsmp] {
        assert!(silent(&client, kind).await);
    }
    timeout(SOON, tailscaled.until(|tally| tally.accepted == 3 && tally.open == 0)).await.unwrap();
}

#[tokio::test]
async fn a_failed_ping_has_its_reason_and_the_next_one_works() {
    const INVALID: Reason = Reason::NodeLocalapiInvalid;
    let json = |text: &str| Misbehaviour::Json(text.to_owned().into());
    let error = |status| Misbehaviour::Error(status, "\u{1b}[31mno\n".to_owned());
    for (name, misbehaviour, want) in [
        ("closed", Misbehaviour::CloseAfter(0), INVALID),
        ("cut", Misbehaviour::CloseAfter(400), INVALID),
        ("too short", Misbehaviour::ContentLength(10), INVALID),
        ("too long", Misbehaviour::ContentLength(-10), INVALID),
        ("a broken chunk", Misbehaviour::BrokenChunk, INVALID),
        ("another program", Misbehaviour::not_http(), INVALID),
        ("a redirect", Misbehaviour::redirect(), INVALID),
        ("101 unasked", Misbehaviour::unsolicited_upgrade(), INVALID),
        ("a head without end", Misbehaviour::endless_head(), INVALID),
        ("a body without end", Misbehaviour::endless_body(), INVALID),
        ("a giant", Misbehaviour::giant_string(10 << 20), INVALID),
        ("nested deeply", Misbehaviour::deep_nesting(100_000), INVALID),
        ("no JSON", json("<html>"), INVALID),
        ("JSON cut", json(r#"{"NodeIP":"100.64.0.2""#), INVALID),
        ("two", json("{}{}"), INVALID),
        ("a wrong type", json(r#"{"LatencySeconds":"soon"}"#), INVALID),
        ("a negative time", json(r#"{"NodeIP":"100.64.0.2","LatencySeconds":-1}"#), INVALID),
        ("no time", json(r#"{"NodeIP":"100.64.0.2"}"#), INVALID),
        ("400", error(400), INVALID),
        ("403", error(403), Reason::NodeSocketForbidden),
        ("404", error(404), INVALID),
        ("500", error(500), INVALID),
    ] {
        let (tailscaled, client, calls) = with_db();
        tailscaled.misbehave_at(Call::Ping, misbehaviour);
        let failure = ping(&client, SMALL).await.expect_err(name);
        assert_eq!(failure.reason, want, "{name}: {failure}");
        assert!(!failure.cause.is_empty() && failure.cause.len() <= 200, "{name}: {failure}");
        assert_eq!(calls.lock().unwrap()[0].1, CallResult::NoAnswer, "{name}");
        tailscaled.behave();
        pong(&client, SMALL).await;
        timeout(SOON, tailscaled.until(|tally| tally.open == 0)).await.expect(name);
    }
}

#[tokio::test]
async fn an_endless_response_waits_for_the_callers_deadline() {
    let (tailscaled, client, _) = with_db();
    for misbehaviour in [Misbehaviour::Silent, Misbehaviour::StallAfter(20), Misbehaviour::StallAfter(420)] {
        tailscaled.misbehave_at(Call::Ping, misbehaviour);
        assert!(silent(&client, SMALL).await);
    }
    timeout(SOON, tailscaled.until(|tally| tally.open == 0)).await.unwrap();
    tailscaled.misbehave_at(Call::Ping, Misbehaviour::Drip(Duration::from_micros(100)));
    pong(&client, SMALL).await;
    tailscaled.stop();
    assert_eq!(ping(&client, SMALL).await.unwrap_err().reason, Reason::NodeSocketMissing);
}
