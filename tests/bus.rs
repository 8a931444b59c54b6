//! telltail's reader of the IPN bus against a tailscaled that is old, new, dead, silent, malformed or very large.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;
use tailscaled_sim::{BackendState, Call, Crowd, Misbehaviour, Peer, Tailscaled, Warning};
use telltail::reason::Reason;
use telltail::tailscale::{BusEvent, IpnBus, LocalApi, MASK, Severity};
use tokio::time::{Instant, timeout};

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);
/// Long enough to say that nothing came.
const SILENCE: Duration = Duration::from_millis(100);
/// Changes of peers (PeerPatches, since 1.100) as well.
const MASK_WITH_PEERS: u64 = MASK + 32_768;
const NOTHING: BusEvent = BusEvent { wake: false, health: None, error: None };

fn client(tailscaled: &Tailscaled) -> LocalApi {
    LocalApi::new(Some(tailscaled.socket().to_owned()), Arc::new(|_, _| {}))
}

async fn open(tailscaled: &Tailscaled, mask: u64) -> IpnBus {
    timeout(SOON, client(tailscaled).dialer().watch(mask)).await.expect("an answer").unwrap()
}

/// A stream whose first event has been read.
async fn begun(tailscaled: &Tailscaled, mask: u64) -> IpnBus {
    let mut bus = open(tailscaled, mask).await;
    assert!(next(&mut bus).await.wake);
    bus
}

async fn next(bus: &mut IpnBus) -> BusEvent {
    timeout(SOON, bus.next()).await.expect("an event").unwrap().expect("the stream goes on")
}

async fn ended(bus: &mut IpnBus) -> bool {
    timeout(SOON, bus.next()).await.expect("an end").unwrap().is_none()
}

async fn is_silent(bus: &mut IpnBus) -> bool {
    timeout(SILENCE, bus.next()).await.is_err()
}

#[tokio::test]
async fn the_first_event_has_state_and_warnings() {
    let tailscaled = Tailscaled::start();
    tailscaled.warn("no-derp-connection", Warning::new("Tailscale could not connect to 'nyc'."));
    tailscaled.set_backend_state(BackendState::Stopped);
    let first = next(&mut open(&tailscaled, MASK).await).await;
    let warnings: Vec<_> =
        first.health.iter().flatten().map(|w| (w.code.as_str(), w.severity, w.impacts_connectivity)).collect();
    let want = [("no-derp-connection", Severity::Medium, true), ("wantrunning-false", Severity::Low, false)];
    assert_eq!((first.wake, warnings), (true, want.to_vec()));
    assert_eq!(tailscaled.unexpected_requests(), [] as [String; 0]);
}

#[tokio::test]
async fn changes_of_state_and_health_are_reported() {
    for version in ["1.80.3", "1.98.10", "1.102.5"] {
        let tailscaled = Tailscaled::start();
        tailscaled.set_version(version);
        let mut bus = begun(&tailscaled, MASK).await;
        assert!(is_silent(&mut bus).await);
        tailscaled.set_backend_state(BackendState::Starting);
        assert_eq!(next(&mut bus).await, BusEvent { wake: true, ..NOTHING }, "{version}");
        tailscaled.warn("no-derp-home", Warning::new("No home."));
        let health = next(&mut bus).await.health.unwrap();
        assert_eq!((health.len(), health[0].code.as_str()), (1, "no-derp-home"));
        tailscaled.unwarn("no-derp-home");
        assert_eq!(next(&mut bus).await, BusEvent { health: Some(Vec::new()), ..NOTHING });
        tailscaled.with_state(|sim| sim.key_expiry = Some(std::time::SystemTime::now()));
        assert_eq!(next(&mut bus).await, BusEvent { wake: true, ..NOTHING });
        assert!(is_silent(&mut bus).await, "{version}");
    }
}

#[tokio::test]
async fn changes_of_peers_are_reported_with_their_bit_and_before_1_100_always() {
    for (version, everybody) in [("1.80.3", true), ("1.98.10", true), ("1.100.0", false), ("1.102.5", false)] {
        let tailscaled = Tailscaled::start();
        tailscaled.set_version(version);
        let (mut own, mut peers) = (begun(&tailscaled, MASK).await, begun(&tailscaled, MASK_WITH_PEERS).await);
        let changes: [&dyn Fn(); 4] = [
            &|| tailscaled.add_peer(Peer::new("db").ip("100.64.0.2")),
            &|| tailscaled.set_peer_online("db", false),
            &|| tailscaled.expire_peer("db"),
            &|| tailscaled.remove_peer("db"),
        ];
        for change in changes {
            change();
            assert_eq!(next(&mut peers).await, BusEvent { wake: true, ..NOTHING }, "{version}");
            if everybody {
                assert_eq!(next(&mut own).await, BusEvent { wake: true, ..NOTHING }, "{version}");
            }
        }
        assert!(is_silent(&mut own).await && is_silent(&mut peers).await, "{version}");
        // Paths are not reported.
        tailscaled.add_peer(Peer::new("db").ip("100.64.0.2"));
        next(&mut peers).await;
        tailscaled.update_peer("db", |peer| peer.go_direct("10.99.0.11:41641"));
        assert!(is_silent(&mut peers).await, "{version}");
    }
}

#[tokio::test]
async fn a_netmap_of_ten_megabytes_is_one_event() {
    let tailscaled = Tailscaled::start();
    tailscaled.set_version("1.80.3");
    let mut bus = begun(&tailscaled, MASK).await;
    tailscaled.set_crowd(Crowd { peers: 5000, padding: 2000 });
    assert_eq!(next(&mut bus).await, BusEvent { wake: true, ..NOTHING });
    tailscaled.warn("no-derp-home", Warning::new("No home."));
    assert!(next(&mut bus).await.health.is_some());
}

/// A `select!` drops the future whenever another branch is first: here after each byte.
#[tokio::test]
async fn dropping_the_future_loses_nothing() {
    for (drip, patience) in [(50, 200), (1000, 300), (200, 1)] {
        let tailscaled = Tailscaled::start();
        tailscaled.warn("no-derp-connection", Warning::new("Tailscale could not connect to 'nyc'."));
        tailscaled.misbehave_at(Call::Bus, Misbehaviour::Drip(Duration::from_micros(drip)));
        let mut bus = open(&tailscaled, MASK).await;
        let begun = Instant::now();
        let mut seen = NOTHING;
        let mut dropped = 0;
        while seen.health.is_none() {
            match timeout(Duration::from_micros(patience), bus.next()).await {
                Ok(event) => seen = event.unwrap().unwrap(),
                Err(_) => dropped += 1,
            }
            assert!(begun.elapsed() < SOON);
        }
        assert!(seen.wake && seen.health.unwrap().len() == 1);
        assert!(dropped > 10, "{dropped}");
    }
}

/// The same with a line in two chunks, split at every place; the future is dropped after the first chunk.
#[tokio::test]
async fn a_line_can_arrive_in_any_two_chunks() {
    const LINE: &str = r#"{"ErrMessage":null,"State":4,"Health":{"Warnings":{"a":{"Severity":"low"}}},"NetMap":null}"#;
    let tailscaled = Tailscaled::start();
    let mut bus = begun(&tailscaled, MASK).await;
    for at in 1..LINE.len() {
        tailscaled.say_on_buses(LINE[..at].to_owned());
        let half = timeout(Duration::from_millis(5), bus.next()).await;
        assert!(half.is_err(), "half a line: {half:?}");
        tailscaled.say_on_buses(format!("{}\n", &LINE[at..]));
        let event = next(&mut bus).await;
        assert!(event.wake && event.health.unwrap()[0].code == "a", "{at}");
    }
}

#[tokio::test]
async fn the_stream_ends_with_the_response_or_the_connection() {
    let tailscaled = Tailscaled::start();
    let half_a_line = "{\"State\":";
    for (sent, in_order, whole) in
        [("", true, true), ("", false, true), (half_a_line, false, true), (half_a_line, true, false)]
    {
        let mut bus = begun(&tailscaled, MASK).await;
        if !sent.is_empty() {
            tailscaled.say_on_buses(sent);
            assert!(is_silent(&mut bus).await);
        }
        if in_order {
            tailscaled.end_buses();
        } else {
            tailscaled.kill_connections();
        }
        let end = timeout(SOON, bus.next()).await.expect("an end");
        // An incomplete line is an error only at the regular end of the response.
        assert!(if whole { end == Ok(None) } else { end.is_err() }, "{sent:?} {in_order}: {end:?}");
    }
    // Dropping the reader closes the connection.
    drop(begun(&tailscaled, MASK).await);
    timeout(SOON, tailscaled.until(|tally| tally.open == 0)).await.unwrap();
}

#[tokio::test]
async fn falling_behind_is_reported_since_1_102() {
    let tailscaled = Tailscaled::start();
    let mut bus = begun(&tailscaled, MASK).await;
    tailscaled.overrun_buses();
    let error = next(&mut bus).await.error;
    assert_eq!(error.as_deref(), Some("IPN bus consumer fell behind; closing watch"));
    assert!(ended(&mut bus).await);
    tailscaled.set_version("1.98.10");
    let mut bus = begun(&tailscaled, MASK).await;
    tailscaled.overrun_buses();
    tailscaled.set_backend_state(BackendState::Stopped);
    // Its first line is lost.
    let event = next(&mut bus).await;
    assert!(event.error.is_none());
}

#[tokio::test]
async fn a_malformed_line_is_an_error_after_the_events_before_it() {
    for garbage in ["nonsense\n", "{\"State\":6}}\n", "[]\n", "{\"Health\":7}\n", "{\"ErrMessage\":{}}\n", "\u{fffd}"] {
        let tailscaled = Tailscaled::start();
        let mut bus = begun(&tailscaled, MASK).await;
        tailscaled.say_on_buses("{\"State\":4}\n");
        assert!(next(&mut bus).await.wake);
        tailscaled.say_on_buses(garbage.to_owned());
        let failure = timeout(SOON, bus.next()).await.unwrap().expect_err(garbage);
        assert_eq!(failure.reason, Reason::NodeLocalapiInvalid);
        assert!(failure.cause.len() <= 200, "{failure}");
        // A new one works.
        drop(begun(&tailscaled, MASK).await);
    }
}

#[tokio::test]
async fn an_endless_value_is_an_error_only_if_it_is_wanted() {
    let tailscaled = Tailscaled::start();
    // An unwanted value takes no memory.
    tailscaled.misbehave_at(Call::Bus, Misbehaviour::endless_field("NetMap"));
    let mut bus = open(&tailscaled, MASK).await;
    assert!(timeout(Duration::from_secs(1), bus.next()).await.is_err());
    // A wanted value may have a megabyte.
    tailscaled.misbehave_at(Call::Bus, Misbehaviour::endless_field("Health"));
    let mut bus = open(&tailscaled, MASK).await;
    let failure = timeout(SOON, bus.next()).await.unwrap().unwrap_err();
    assert!(failure.cause.contains("longer than"), "{failure}");
}

#[tokio::test]
async fn a_failed_open_has_its_reason() {
    const INVALID: Reason = Reason::NodeLocalapiInvalid;
    let error = |status| Misbehaviour::Error(status, "no".to_owned());
    for (name, misbehaviour, want, cause) in [
        ("closed", Misbehaviour::CloseAfter(0), INVALID, ""),
        ("another program", Misbehaviour::not_http(), INVALID, ""),
        ("a redirect", Misbehaviour::redirect(), INVALID, "301"),
        ("101 unasked", Misbehaviour::unsolicited_upgrade(), INVALID, "101"),
        ("a head without end", Misbehaviour::endless_head(), INVALID, ""),
        ("400", error(400), INVALID, "400: no"),
        ("403", error(403), Reason::NodeSocketForbidden, "403: no"),
        ("404", error(404), INVALID, "no IPN bus in this tailscaled"),
        ("501", error(501), INVALID, "no IPN bus in this tailscaled"),
        ("silence", Misbehaviour::Silent, Reason::NodeLocalapiTimeout, "within 3s"),
        ("half a head", Misbehaviour::StallAfter(20), Reason::NodeLocalapiTimeout, "within 3s"),
    ] {
        let tailscaled = Tailscaled::start();
        tailscaled.misbehave_at(Call::Bus, misbehaviour);
        let opened = timeout(SOON, client(&tailscaled).dialer().watch(MASK)).await.unwrap().map(drop);
        let failure = opened.expect_err(name);
        assert_eq!(failure.reason, want, "{name}: {failure}");
        assert!(failure.cause.contains(cause), "{name}: {failure}");
        tailscaled.behave();
        drop(begun(&tailscaled, MASK).await);
        timeout(SOON, tailscaled.until(|tally| tally.open == 0)).await.expect(name);
    }
    let tailscaled = Tailscaled::start();
    let refused = client(&tailscaled).dialer().watch(256 + 4096).await.map(drop).unwrap_err();
    assert!(refused.cause.contains("NotifyRateLimit is incompatible"), "{refused}");
}

#[tokio::test]
async fn a_stream_can_stall_or_break() {
    for (name, misbehaviour) in [("stalled", Misbehaviour::StallAfter(420)), ("silent", Misbehaviour::StallAfter(380))]
    {
        let tailscaled = Tailscaled::start();
        tailscaled.misbehave_at(Call::Bus, misbehaviour);
        let mut bus = open(&tailscaled, MASK).await;
        assert!(is_silent(&mut bus).await, "{name}");
        drop(bus);
        timeout(SOON, tailscaled.until(|tally| tally.open == 0)).await.expect(name);
    }
    let tailscaled = Tailscaled::start();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for broken in ["8\r\n{\"State\r\nno chunk\r\n", "zz\r\n", "ffffffffffffffffff\r\n"] {
        tailscaled.misbehave_at(Call::Bus, Misbehaviour::Hold(format!("{head}{broken}").into()));
        let failure = timeout(SOON, open(&tailscaled, MASK).await.next()).await.unwrap().expect_err(broken);
        assert_eq!(failure.reason, Reason::NodeLocalapiInvalid, "{failure}");
    }
    for document in ["", "<html>", "{\"State\":", "{}{}"] {
        tailscaled.misbehave_at(Call::Bus, Misbehaviour::Json(document.to_owned().into()));
        let next = timeout(SOON, open(&tailscaled, MASK).await.next()).await.unwrap();
        assert!(next.is_err() || next == Ok(None), "{document}: {next:?}");
    }
}
