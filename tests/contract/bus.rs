//! The IPN bus, on the wire and as telltail reads it.

use super::raw::RawConnection;
use super::{SOON, State, Testbed, client, raw, since};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use telltail::reason::Reason;
use telltail::tailscale::{BusEvent, IpnBus, MASK, Severity};
use tokio::time::{Instant, timeout};

/// Changes of peers (PeerPatches, since 1.100) as well.
pub const MASK_WITH_PEERS: u64 = MASK + 32_768;

/// A stream without telltail's client.
struct Wire(RawConnection);

impl Wire {
    /// Opens a stream that is not refused.
    async fn open(testbed: &impl Testbed, mask: &str) -> Self {
        let mut connection = RawConnection::open(testbed.socket()).await;
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

async fn watch(testbed: &impl Testbed, mask: u64) -> IpnBus {
    client(testbed).dialer().watch(mask).await.unwrap()
}

async fn next(bus: &mut IpnBus) -> Option<BusEvent> {
    timeout(SOON, bus.next()).await.expect("an event comes soon").unwrap()
}

/// Streams that are open during a change of state.
pub struct OpenBuses {
    own: IpnBus,
    peers: IpnBus,
    wire: Wire,
}

impl OpenBuses {
    pub async fn open(testbed: &impl Testbed) -> Self {
        let mut buses = Self {
            own: watch(testbed, MASK).await,
            peers: watch(testbed, MASK_WITH_PEERS).await,
            wire: Wire::open(testbed, &MASK.to_string()).await,
        };
        for bus in [&mut buses.own, &mut buses.peers] {
            let first = next(bus).await.unwrap();
            assert!(first.wake && first.health.is_some() && first.error.is_none(), "{first:?}");
        }
        buses.wire.line().await;
        buses
    }

    /// Checks the events on entering a state.
    pub async fn report_start(mut self, testbed: &impl Testbed, state: State) {
        match state {
            // tailscaled does not notice, or only later.
            State::Healthy
            | State::PeerSilent
            | State::PeerFrozen
            | State::UdpBlocked
            | State::LargeLost
            | State::NoDerp => {}
            State::ServiceOffered | State::PeerOffline | State::PeerGone | State::PeerExpired => {
                self.report_the_netmap(testbed).await;
            }
            State::Stopped => {
                self.wake_with_state(4).await;
                let is_stopped =
                    |event: &BusEvent| event.health.iter().flatten().any(|w| w.code == "wantrunning-false");
                until(&mut self.peers, is_stopped).await;
            }
            State::OwnKeyExpired | State::LoggedOut => self.wake_with_state(2).await,
            // tailscaled was killed.
            State::WithoutControl if testbed.restarts() => self.ends().await,
            State::WithoutControl => self.wake_with_state(0).await,
        }
    }

    /// Checks the events on leaving a state.
    pub async fn report_end(mut self, testbed: &impl Testbed, state: State) {
        match state {
            State::Healthy
            | State::PeerSilent
            | State::PeerFrozen
            | State::UdpBlocked
            | State::LargeLost
            | State::LoggedOut => {}
            State::NoDerp => {
                let all_is_well = |event: &BusEvent| event.health.as_ref().is_some_and(Vec::is_empty);
                until(&mut self.own, all_is_well).await;
            }
            State::ServiceOffered | State::PeerOffline | State::PeerGone | State::PeerExpired => {
                self.report_the_netmap(testbed).await;
            }
            State::Stopped | State::OwnKeyExpired | State::WithoutControl => self.wake_with_state(6).await,
        }
    }

    /// Up to 1.98 every stream reports it; later, those with the bit for peers.
    async fn report_the_netmap(&mut self, testbed: &impl Testbed) {
        until(&mut self.peers, |event| event.wake).await;
        if !since(testbed, 100) {
            until(&mut self.own, |event| event.wake).await;
            while self.wire.line().await["NetMap"].is_null() {}
        }
    }

    async fn wake_with_state(&mut self, state: i64) {
        until(&mut self.own, |event| event.wake).await;
        while self.wire.line().await["State"] != state {}
    }

    async fn ends(&mut self) {
        for bus in [&mut self.own, &mut self.peers] {
            while next(bus).await.is_some() {}
        }
    }
}

/// Reads events until the wanted one.
async fn until(bus: &mut IpnBus, mut wanted: impl FnMut(&BusEvent) -> bool) -> BusEvent {
    let reading = async {
        loop {
            let event = next(bus).await.expect("the stream goes on");
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(3 * SOON, reading).await.expect("it is reported soon")
}

pub async fn begins_with_what_the_mask_selects(testbed: &impl Testbed) {
    let always = "Version ErrMessage LoginFinished State Prefs NetMap Engine BrowseToURL DriveShares SessionID";
    for (mask, more) in [("2", ""), ("18", ""), ("130", "Health"), ("32914", "Health"), ("4611686018427387906", "")] {
        let line = Wire::open(testbed, mask).await.line().await;
        let have: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let want: BTreeSet<_> = always.split_whitespace().chain(more.split_whitespace()).collect();
        assert_eq!(have, want, "{mask}");
        assert_eq!((&line["State"], &line["NetMap"]), (&json!(6), &Value::Null), "a number, not a word");
        assert!(line["Version"].as_str().unwrap().starts_with(testbed.version()));
        if !more.is_empty() {
            assert_eq!(line["Health"], json!({"Warnings": null}), "null where all is well");
        }
    }
    for mask in [MASK, MASK_WITH_PEERS] {
        let first = next(&mut watch(testbed, mask).await).await.unwrap();
        assert_eq!(first, BusEvent { wake: true, health: Some(Vec::new()), error: None });
    }
}

/// A first line needs InitialState, even with other initial bits.
pub async fn has_no_first_line_without_its_bit(testbed: &impl Testbed) {
    for mask in ["", "0", "16", "128", "144"] {
        let mut wire = Wire::open(testbed, mask).await;
        assert!(timeout(testbed.silence(), wire.line()).await.is_err(), "{mask}");
    }
}

pub async fn refuses_some_masks(testbed: &impl Testbed) {
    for mask in ["x", "-1", "99999999999999999999"] {
        let answer = raw::ask(testbed, &head(mask)).await;
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
        if since(testbed, 102) {
            let answer = raw::ask(testbed, &head(&mask.to_string())).await;
            assert_eq!((answer.status, answer.body), (400, format!("{text}\n")), "{mask}");
            let failure = client(testbed).dialer().watch(mask).await.map(drop).unwrap_err();
            assert_eq!(failure.reason, Reason::NodeLocalapiInvalid);
        } else {
            Wire::open(testbed, &mask.to_string()).await;
        }
    }
}

/// Not even empty lines to keep the connection alive.
pub async fn is_silent_without_changes(testbed: &impl Testbed) {
    let mut bus = watch(testbed, MASK).await;
    let begun = Instant::now();
    while timeout(2 * testbed.silence(), bus.next()).await.is_ok() {
        assert!(begun.elapsed() < SOON, "there is always something");
    }
}

/// After some 10 s, which a change of servers could take.
pub async fn warns_of_derp(testbed: &impl Testbed) {
    let mut bus = watch(testbed, MASK).await;
    let no_derp = |event: &BusEvent| event.health.iter().flatten().any(|warning| warning.code == "no-derp-connection");
    let warning = until(&mut bus, no_derp).await.health.unwrap().remove(0);
    assert!(warning.impacts_connectivity && warning.severity == Severity::Medium, "{warning:?}");
    assert_eq!(raw::status(testbed).await["Health"].as_array().unwrap().len(), 1);
}
