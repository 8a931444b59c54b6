//! What the bus tells, on the wire and as telltail reads it.

use super::raw::Connection;
use super::{SOON, State, World, client, raw, since};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use telltail::reason::Reason;
use telltail::tailscale::{Bus, Event, MASK, MASK_WITH_PEERS, Severity};
use tokio::time::{Instant, timeout};

/// A stream, byte by byte.
struct Wire(Connection);

impl Wire {
    /// Opens a stream that is not refused.
    async fn open(world: &impl World, mask: &str) -> Self {
        let mut connection = Connection::open(world.socket()).await;
        connection.send(&head(mask)).await;
        connection.send("\r\n\r\n").await;
        let answer = timeout(SOON, connection.head()).await.expect("the head comes at once");
        assert_eq!((answer.status, answer.header("Transfer-Encoding")), (200, Some("chunked")), "{mask}: {answer:?}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        Self(connection)
    }

    /// The next line: each is a chunk.
    async fn line(&mut self) -> Value {
        let chunk = self.0.chunk().await;
        assert!(chunk.ends_with(b"}\n"), "{}", String::from_utf8_lossy(&chunk));
        serde_json::from_slice(&chunk).unwrap()
    }
}

fn head(mask: &str) -> String {
    format!("GET /localapi/v0/watch-ipn-bus?mask={mask} HTTP/1.1\r\nHost: local-tailscaled.sock")
}

async fn watch(world: &impl World, mask: u64) -> Bus {
    client(world).dialer().watch(mask).await.unwrap()
}

async fn next(bus: &mut Bus) -> Option<Event> {
    timeout(SOON, bus.next()).await.expect("news come soon").unwrap()
}

/// Streams that are open while the world changes.
pub struct News {
    own: Bus,
    peers: Bus,
    wire: Wire,
}

impl News {
    pub async fn open(world: &impl World) -> Self {
        let mut news = Self {
            own: watch(world, MASK).await,
            peers: watch(world, MASK_WITH_PEERS).await,
            wire: Wire::open(world, &MASK.to_string()).await,
        };
        for bus in [&mut news.own, &mut news.peers] {
            let first = next(bus).await.unwrap();
            assert!(first.wake && first.health.is_some() && first.error.is_none(), "{first:?}");
        }
        news.wire.line().await;
        news
    }

    /// What they say of the way into a state.
    pub async fn tell_of(mut self, world: &impl World, state: State) {
        match state {
            // Nobody tells tailscaled, or it takes its time.
            State::Healthy
            | State::PeerSilent
            | State::PeerFrozen
            | State::UdpBlocked
            | State::LargeLost
            | State::NoDerp => {}
            State::ServiceOffered | State::PeerOffline | State::PeerGone | State::PeerExpired => {
                self.tells_of_the_map(world).await;
            }
            State::Stopped => {
                self.wake_and_say(4).await;
                let is_stopped = |event: &Event| event.health.iter().flatten().any(|w| w.code == "wantrunning-false");
                until(&mut self.peers, is_stopped).await;
            }
            State::OwnKeyExpired | State::LoggedOut => self.wake_and_say(2).await,
            // tailscaled was killed.
            State::WithoutControl if world.restarts() => self.ends().await,
            State::WithoutControl => self.wake_and_say(0).await,
        }
    }

    /// What they say of the way back.
    pub async fn tell_of_the_end(mut self, world: &impl World, state: State) {
        match state {
            State::Healthy
            | State::PeerSilent
            | State::PeerFrozen
            | State::UdpBlocked
            | State::LargeLost
            | State::LoggedOut => {}
            State::NoDerp => {
                let all_is_well = |event: &Event| event.health.as_ref().is_some_and(Vec::is_empty);
                until(&mut self.own, all_is_well).await;
            }
            State::ServiceOffered | State::PeerOffline | State::PeerGone | State::PeerExpired => {
                self.tells_of_the_map(world).await;
            }
            State::Stopped | State::OwnKeyExpired | State::WithoutControl => self.wake_and_say(6).await,
        }
    }

    /// Up to 1.98 everybody is told; later, those who ask for peers.
    async fn tells_of_the_map(&mut self, world: &impl World) {
        until(&mut self.peers, |event| event.wake).await;
        if !since(world, 100) {
            until(&mut self.own, |event| event.wake).await;
            while self.wire.line().await["NetMap"].is_null() {}
        }
    }

    async fn wake_and_say(&mut self, state: i64) {
        until(&mut self.own, |event| event.wake).await;
        while self.wire.line().await["State"] != state {}
    }

    async fn ends(&mut self) {
        for bus in [&mut self.own, &mut self.peers] {
            while next(bus).await.is_some() {}
        }
    }
}

/// Reads news until there is what must come.
async fn until(bus: &mut Bus, mut wanted: impl FnMut(&Event) -> bool) -> Event {
    let reading = async {
        loop {
            let event = next(bus).await.expect("the stream goes on");
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(3 * SOON, reading).await.expect("it is told soon")
}

pub async fn begins_with_what_was_asked_for(world: &impl World) {
    let always = "Version ErrMessage LoginFinished State Prefs NetMap Engine BrowseToURL DriveShares SessionID";
    for (mask, more) in [("2", ""), ("18", ""), ("130", "Health"), ("32914", "Health"), ("4611686018427387906", "")] {
        let line = Wire::open(world, mask).await.line().await;
        let have: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let want: BTreeSet<_> = always.split_whitespace().chain(more.split_whitespace()).collect();
        assert_eq!(have, want, "{mask}");
        assert_eq!((&line["State"], &line["NetMap"]), (&json!(6), &Value::Null), "a number, not a word");
        assert!(line["Version"].as_str().unwrap().starts_with(world.version()));
        if !more.is_empty() {
            assert_eq!(line["Health"], json!({"Warnings": null}), "null where all is well");
        }
    }
    for mask in [MASK, MASK_WITH_PEERS] {
        let first = next(&mut watch(world, mask).await).await.unwrap();
        assert_eq!(first, Event { wake: true, health: Some(Vec::new()), error: None });
    }
}

/// Health alone is not told at first.
pub async fn has_no_first_line_without_its_bit(world: &impl World) {
    for mask in ["", "0", "16", "128", "144"] {
        let mut wire = Wire::open(world, mask).await;
        assert!(timeout(world.silence(), wire.line()).await.is_err(), "{mask}");
    }
}

pub async fn refuses_some_masks(world: &impl World) {
    for mask in ["x", "-1", "99999999999999999999"] {
        let answer = raw::ask(world, &head(mask)).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, "bad mask\n"), "{mask}");
    }
    for (mask, text) in [
        (256 + 4096, "NotifyRateLimit is incompatible with new-style IPN bus subscription bits ipn.NotifyPeerChanges"),
        (
            256 + 32_768,
            "NotifyRateLimit is incompatible with new-style IPN bus subscription bits ipn.NotifyPeerPatches",
        ),
        (65_536, "NotifyInProcessNoDisconnect is only valid for in-process IPN bus subscribers"),
    ] {
        let mask: u64 = mask;
        if since(world, 102) {
            let answer = raw::ask(world, &head(&mask.to_string())).await;
            assert_eq!((answer.status, answer.body), (400, format!("{text}\n")), "{mask}");
            let failure = client(world).dialer().watch(mask).await.map(drop).unwrap_err();
            assert_eq!(failure.reason, Reason::NodeLocalapiInvalid);
        } else {
            Wire::open(world, &mask.to_string()).await;
        }
    }
}

/// No word, no empty line to keep the connection alive.
pub async fn is_silent_where_nothing_happens(world: &impl World) {
    let mut bus = watch(world, MASK).await;
    let begun = Instant::now();
    while timeout(2 * world.silence(), bus.next()).await.is_ok() {
        assert!(begun.elapsed() < SOON, "there is always something");
    }
}

/// After some 10 s, in which it might have been a mere change of servers.
pub async fn warns_of_derp(world: &impl World) {
    let mut bus = watch(world, MASK).await;
    let no_derp = |event: &Event| event.health.iter().flatten().any(|warning| warning.code == "no-derp-connection");
    let warning = until(&mut bus, no_derp).await.health.unwrap().remove(0);
    assert!(warning.impacts_connectivity && warning.severity == Severity::Medium, "{warning:?}");
    assert_eq!(raw::status(world).await["Health"].as_array().unwrap().len(), 1);
}
