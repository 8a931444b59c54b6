//! telltail's reader of the bus against a tailscaled that is old, new, dead, mute, mad or enormous.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;
use tailscaled_sim::{BackendState, Call, Crowd, Misbehaviour, Peer, Tailscaled, Warning};
use telltail::reason::Reason;
use telltail::tailscale::{Bus, Event, LocalApi, MASK, MASK_WITH_PEERS, Severity};
use tokio::time::{Instant, timeout};

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);
/// Long enough to say that nothing came.
const SILENCE: Duration = Duration::from_millis(100);
/// Of the bus as seen by nobody.
const NOTHING: Event = Event { wake: false, health: None, error: None };

fn client(tailscaled: &Tailscaled) -> LocalApi {
    LocalApi::new(Some(tailscaled.socket().to_owned()), Arc::new(|_, _| {}))
}

async fn open(tailscaled: &Tailscaled, mask: u64) -> Bus {
    timeout(SOON, client(tailscaled).dialer().watch(mask)).await.expect("an answer").unwrap()
}

/// A stream that has told how things are.
async fn begun(tailscaled: &Tailscaled, mask: u64) -> Bus {
    let mut bus = open(tailscaled, mask).await;
    assert!(next(&mut bus).await.wake);
    bus
}

async fn next(bus: &mut Bus) -> Event {
    timeout(SOON, bus.next()).await.expect("news").unwrap().expect("the stream goes on")
}

async fn ended(bus: &mut Bus) -> bool {
    timeout(SOON, bus.next()).await.expect("an end").unwrap().is_none()
}

async fn is_silent(bus: &mut Bus) -> bool {
    timeout(SILENCE, bus.next()).await.is_err()
}

#[tokio::test]
async fn it_begins_with_how_things_are() {
    let tailscaled = Tailscaled::start();
    tailscaled.warn("no-derp-connection", Warning::new("Tailscale could not connect to 'nyc'."));
    tailscaled.set_backend_state(BackendState::Stopped);
    let first = next(&mut open(&tailscaled, MASK).await).await;
    let told: Vec<_> =
        first.health.iter().flatten().map(|w| (w.code.as_str(), w.severity, w.impacts_connectivity)).collect();
    let want = [("no-derp-connection", Severity::Medium, true), ("wantrunning-false", Severity::Low, false)];
    assert_eq!((first.wake, told), (true, want.to_vec()));
    assert_eq!(tailscaled.unexpected_requests(), [] as [String; 0]);
}

#[tokio::test]
async fn it_tells_of_the_state_and_of_health() {
    for version in ["1.80.3", "1.98.10", "1.102.5"] {
        let tailscaled = Tailscaled::start();
        tailscaled.set_version(version);
        let mut bus = begun(&tailscaled, MASK).await;
        assert!(is_silent(&mut bus).await);
        tailscaled.set_backend_state(BackendState::Starting);
        assert_eq!(next(&mut bus).await, Event { wake: true, ..NOTHING }, "{version}");
        tailscaled.warn("no-derp-home", Warning::new("No home."));
        let health = next(&mut bus).await.health.unwrap();
        assert_eq!((health.len(), health[0].code.as_str()), (1, "no-derp-home"));
        tailscaled.unwarn("no-derp-home");
        assert_eq!(next(&mut bus).await, Event { health: Some(Vec::new()), ..NOTHING });
        tailscaled.with_state(|world| world.key_expiry = Some(std::time::SystemTime::now()));
        assert_eq!(next(&mut bus).await, Event { wake: true, ..NOTHING });
        assert!(is_silent(&mut bus).await, "{version}");
    }
}

#[tokio::test]
async fn it_tells_of_peers_to_those_who_ask_and_before_1_100_to_everybody() {
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
            assert_eq!(next(&mut peers).await, Event { wake: true, ..NOTHING }, "{version}");
            if everybody {
                assert_eq!(next(&mut own).await, Event { wake: true, ..NOTHING }, "{version}");
            }
        }
        assert!(is_silent(&mut own).await && is_silent(&mut peers).await, "{version}");
        // Nobody is told how packets go.
        tailscaled.add_peer(Peer::new("db").ip("100.64.0.2"));
        next(&mut peers).await;
        tailscaled.update_peer("db", |peer| peer.go_direct("10.99.0.11:41641"));
        assert!(is_silent(&mut peers).await, "{version}");
    }
}

#[tokio::test]
async fn a_netmap_of_ten_megabytes_is_one_reason_to_wake() {
    let tailscaled = Tailscaled::start();
    tailscaled.set_version("1.80.3");
    let mut bus = begun(&tailscaled, MASK).await;
    tailscaled.set_crowd(Crowd { peers: 5000, padding: 2000 });
    assert_eq!(next(&mut bus).await, Event { wake: true, ..NOTHING });
    tailscaled.warn("no-derp-home", Warning::new("No home."));
    assert!(next(&mut bus).await.health.is_some());
}

/// In a `select!` the future is dropped whenever something else is first: here after each byte.
#[tokio::test]
async fn nothing_is_lost_by_not_waiting_for_it() {
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

/// The same at every place where a line can be cut, with the future dropped once the first piece has been read.
#[tokio::test]
async fn a_line_may_come_in_any_two_pieces() {
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
async fn it_can_end_in_every_way() {
    let tailscaled = Tailscaled::start();
    let half_a_line = "{\"State\":";
    for (said, in_order, whole) in
        [("", true, true), ("", false, true), (half_a_line, false, true), (half_a_line, true, false)]
    {
        let mut bus = begun(&tailscaled, MASK).await;
        if !said.is_empty() {
            tailscaled.say_on_buses(said);
            assert!(is_silent(&mut bus).await);
        }
        if in_order {
            tailscaled.end_buses();
        } else {
            tailscaled.kill_connections();
        }
        let end = timeout(SOON, bus.next()).await.expect("an end");
        // Only who says that this is all may be blamed for a part.
        assert!(if whole { end == Ok(None) } else { end.is_err() }, "{said:?} {in_order}: {end:?}");
    }
    // A reader who leaves ends the stream on the other side, too.
    drop(begun(&tailscaled, MASK).await);
    timeout(SOON, tailscaled.until(|tally| tally.open == 0)).await.unwrap();
}

#[tokio::test]
async fn a_reader_who_fell_behind_is_told_so_since_1_102() {
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
    // The first line of what that says is lost.
    let event = next(&mut bus).await;
    assert!(event.error.is_none());
}

#[tokio::test]
async fn garbage_is_an_error_and_what_was_said_before_is_not_lost() {
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
async fn a_line_without_end_is_read_for_ever_or_refused() {
    let tailscaled = Tailscaled::start();
    // What nobody wants takes no memory, however long it is.
    tailscaled.misbehave_at(Call::Bus, Misbehaviour::endless_field("NetMap"));
    let mut bus = open(&tailscaled, MASK).await;
    assert!(timeout(Duration::from_secs(1), bus.next()).await.is_err());
    // What is wanted may have a megabyte.
    tailscaled.misbehave_at(Call::Bus, Misbehaviour::endless_field("Health"));
    let mut bus = open(&tailscaled, MASK).await;
    let failure = timeout(SOON, bus.next()).await.unwrap().unwrap_err();
    assert!(failure.cause.contains("longer than"), "{failure}");
}

#[tokio::test]
async fn a_stream_that_does_not_open_has_its_reason() {
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
        ("404", error(404), INVALID, "no stream of news in this tailscaled"),
        ("501", error(501), INVALID, "no stream of news in this tailscaled"),
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
async fn a_stream_can_be_half_open_or_broken() {
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
        let news = timeout(SOON, open(&tailscaled, MASK).await.next()).await.unwrap();
        assert!(news.is_err() || news == Ok(None), "{document}: {news:?}");
    }
}
