//! `watch-ipn-bus`: notifications of changes. They wake the prober and are the only source of health warnings with codes;
//! everything else is read from `status`.

use super::Dialer;
use super::call::{Call, CallGuard, invalid, invalid_http, timed_out};
use super::json_splitter::{JsonPart, JsonSplitter};
use super::malformed_json::MalformedJson;
use super::warning::{HealthState, Warning};
use crate::http::Connection;
use crate::reason::Failure;
use crate::untrusted::escape;
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::time::timeout;

/// Notifications about the own node: InitialState (2) for a first line, InitialHealthState (128) in it, and NoPrivateKeys
/// (16). Without the last, releases before 1.92 answer users other than root with 403 (seen on 1.80.3). A release ignores bits
/// that it does not know. Up to 1.98 changes of peers come as well.
pub const MASK: u64 = 2 + 16 + 128;

/// Longest time until the response begins: tailscaled sends its head at once, but nothing at all while it starts.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Fields that mean, if they are not null, that `status` may have changed. `NetMap` up to 1.98, `PeerChanges` in 1.98 only,
/// the other peer fields since 1.100.
const WAKE_FIELDS: [&[u8]; 8] = [
    b"State",
    b"Prefs",
    b"SelfChange",
    b"NetMap",
    b"PeerChanges",
    b"PeersChanged",
    b"PeersRemoved",
    b"PeerChangedPatch",
];

/// A stream of notifications, on its own connection.
pub struct IpnBus {
    connection: Connection,
    body: Incoming,
    reader: BusReader,
}

/// The content of one or more notifications that arrived together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusEvent {
    /// `status` may have changed: state, own node, preferences, peers.
    pub wake: bool,
    /// All current warnings, if they changed.
    pub health: Option<Vec<Warning>>,
    /// An error message, escaped. One says that the reader fell behind (since 1.102), and is the last event; earlier
    /// releases silently drop notifications.
    pub error: Option<String>,
}

impl Dialer {
    /// Opens the stream. `mask` selects the notifications, as [`MASK`] does.
    pub async fn watch(&self, mask: u64) -> Result<IpnBus, Failure> {
        let pending = CallGuard::new(&self.observer, Call::Bus);
        let opened = timeout(OPEN_TIMEOUT, self.open_bus(mask)).await;
        pending.finish(opened.unwrap_or_else(|_| Err(timed_out(OPEN_TIMEOUT))))
    }

    async fn open_bus(&self, mask: u64) -> Result<IpnBus, Failure> {
        let response = self.send(Method::GET, &format!("/localapi/v0/watch-ipn-bus?mask={mask}"), &[]).await?;
        // A build without the bus, or without the newer half of LocalAPI.
        let unsupported = matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED);
        let response = response.expect(StatusCode::OK).await.map_err(|Failure { reason, cause }| {
            let cause = if unsupported { format!("no IPN bus in this tailscaled: {cause}") } else { cause };
            Failure { reason, cause }
        })?;
        let (connection, body) = response.into_parts();
        Ok(IpnBus { connection, body, reader: BusReader::new() })
    }
}

impl IpnBus {
    /// Waits for the next event; none once the stream has ended, by tailscaled's choice or with its process. Silence is
    /// normal and has no limit.
    ///
    /// Dropping the future loses nothing. After an end or an error the stream cannot be used any more.
    pub async fn next(&mut self) -> Result<Option<BusEvent>, Failure> {
        loop {
            if let Some(event) = self.reader.take() {
                return Ok(Some(event));
            }
            match self.connection.chunk(&mut self.body).await {
                Ok(Some(chunk)) => self.reader.feed(&chunk)?,
                Ok(None) => return self.reader.finish().map(|()| None),
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) => return Err(invalid_http(&error)),
            }
        }
    }
}

/// Did the other side of the connection go away, as when tailscaled is killed?
fn is_end(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let kind = cause.map(std::io::Error::kind);
    error.is_incomplete_message() || matches!(kind, Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset))
}

/// Turns bytes into events. A line is never stored: one with a netmap has megabytes.
#[derive(Debug)]
struct BusReader {
    splitter: JsonSplitter,
    /// Did a line end?
    begun: bool,
    /// The event of the incomplete line.
    line: BusEvent,
    /// The event of complete lines, until it is taken.
    complete: BusEvent,
}

impl BusReader {
    fn new() -> Self {
        let splitter = JsonSplitter::lines(&["Health", "ErrMessage"]);
        Self { splitter, begun: false, line: BusEvent::default(), complete: BusEvent::default() }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Self { splitter, begun, line, complete } = self;
        let take = |part: JsonPart<'_>| {
            match part {
                JsonPart::Field(b"Health", value) => {
                    let health: Option<HealthState> =
                        serde_json::from_slice(value).map_err(|error| MalformedJson::value("Health", &error))?;
                    line.health = health.map(|health| health.warnings);
                }
                JsonPart::Field(_, value) => {
                    let error: Option<String> =
                        serde_json::from_slice(value).map_err(|error| MalformedJson::value("ErrMessage", &error))?;
                    line.error = error.map(|text| escape(&text));
                }
                JsonPart::Skipped(name, first) => line.wake |= first != b'n' && WAKE_FIELDS.contains(&name),
                JsonPart::End => {
                    *begun = true;
                    complete.add(std::mem::take(line));
                }
                JsonPart::Peer(_) => {}
            }
            Ok(())
        };
        splitter.feed(bytes, take).map_err(malformed)
    }

    fn take(&mut self) -> Option<BusEvent> {
        (self.complete != BusEvent::default()).then(|| std::mem::take(&mut self.complete))
    }

    /// Checks that the last line is complete, and that there was one: tailscaled sends the first at once.
    fn finish(&self) -> Result<(), Failure> {
        if !self.begun {
            return Err(malformed(MalformedJson::Incomplete));
        }
        self.splitter.finish().map_err(malformed)
    }
}

impl BusEvent {
    /// Merges a later event.
    fn add(&mut self, later: Self) {
        self.wake |= later.wake;
        self.health = later.health.or(self.health.take());
        self.error = later.error.or(self.error.take());
    }
}

fn malformed(error: MalformedJson) -> Failure {
    invalid(format_args!("the IPN bus: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use crate::tailscale::Severity;
    use crate::tailscale::malformed_json::MAX_VALUE;
    use proptest::prelude::*;

    const FIRST: &str = r#"{"Version":"1.102.5-t0","SessionID":"d2e3334083bf2a44","ErrMessage":null,"LoginFinished":null,"State":6,"Prefs":null,"NetMap":null,"Engine":null,"BrowseToURL":null,"DriveShares":null,"Health":{"Warnings":null}}"#;
    /// Seen on 1.102.5, 10 s after all DERP servers had stopped.
    const NO_DERP: &str = r#"{"Version":"1.102.5-t0","ErrMessage":null,"LoginFinished":null,"State":null,"Prefs":null,"NetMap":null,"Engine":null,"BrowseToURL":null,"DriveShares":null,"Health":{"Warnings":{"no-derp-connection":{"WarnableCode":"no-derp-connection","Severity":"medium","Title":"Relay server unavailable","Text":"Tailscale could not connect to the 'nyc' relay server. Your Internet connection might be down, or the server might be temporarily unavailable.","BrokenSince":"2026-11-23T14:10:57.597855937Z","Args":{"derp-region-id":"1","derp-region-name":"nyc"},"DependsOn":["network-status","no-derp-home","warming-up"],"ImpactsConnectivity":true,"ETag":"b1fcc4a4ee41f7b172d4530b5adb282594251d2ced0d913d2b4f66813a6dea42"}}}}"#;
    /// Sent to every reader while one of them watches the engine.
    const ENGINE: &str = r#"{"Version":"1.102.5-t0","ErrMessage":null,"State":null,"Prefs":null,"NetMap":null,"Engine":{"RBytes":0,"WBytes":0,"NumLive":0,"LiveDERPs":1,"LivePeers":{}},"BrowseToURL":null}"#;
    const FELL_BEHIND: &str =
        r#"{"Version":"1.102.5-t0","ErrMessage":"IPN bus consumer fell behind; closing watch","State":null}"#;

    fn read(bytes: &[u8], piece: usize) -> Result<BusEvent, Failure> {
        let mut reader = BusReader::new();
        for piece in bytes.chunks(piece.max(1)) {
            reader.feed(piece)?;
        }
        reader.finish()?;
        Ok(reader.take().unwrap_or_default())
    }

    fn wakes(field: &str, value: &str) -> bool {
        read(format!("{{\"Version\":\"1\",\"{field}\":{value},\"Last\":1}}\n").as_bytes(), 3).unwrap().wake
    }

    #[test]
    fn an_event_does_not_depend_on_the_chunks() {
        let text = format!("{FIRST}\n{ENGINE}\n\n{NO_DERP}\r\n{FELL_BEHIND}");
        let code = "no-derp-connection".to_owned();
        let warning = Warning { code, severity: Severity::Medium, impacts_connectivity: true };
        let error = Some("IPN bus consumer fell behind; closing watch".to_owned());
        let want = BusEvent { wake: true, health: Some(vec![warning]), error };
        for piece in 1..=text.len() {
            assert_eq!(read(text.as_bytes(), piece).unwrap(), want, "{piece}");
        }
        for length in 0..FIRST.len() {
            let cut = read(&FIRST.as_bytes()[..length], 7);
            assert!(cut.is_err(), "{length}");
        }
    }

    #[test]
    fn changes_of_the_status_wake_and_others_do_not() {
        for (field, value) in [
            ("State", "4"),
            ("State", "99"),
            ("State", "\"Running\""),
            ("Prefs", "{\"WantRunning\":false}"),
            ("SelfChange", "{}"),
            ("NetMap", "{\"Peers\":[{\"State\":null}]}"),
            ("PeersChanged", "[{}]"),
            ("PeersRemoved", "[1]"),
            ("PeerChangedPatch", "[{\"NodeID\":1,\"Online\":false}]"),
            ("PeerChanges", "[{}]"),
        ] {
            assert!(wakes(field, value), "{field}");
            assert!(!wakes(field, "null"), "{field}");
        }
        for field in ["Engine", "BrowseToURL", "LoginFinished", "Peer", "Peers", "Invented", "InitialStatus"] {
            assert!(!wakes(field, "{\"State\":6,\"Health\":{\"Warnings\":null}}"), "{field}");
        }
        assert_eq!(read(ENGINE.as_bytes(), 9).unwrap(), BusEvent::default());
    }

    #[test]
    fn null_and_absent_mean_the_same() {
        for text in [r#"{"Health":null,"ErrMessage":null}"#, "{}", "\n{}\n"] {
            assert_eq!(read(text.as_bytes(), 2).unwrap(), BusEvent::default(), "{text}");
        }
        for text in [r#"{"Health":{}}"#, r#"{"Health":{"Warnings":null}}"#, r#"{"Health":{"Warnings":{}}}"#] {
            assert_eq!(read(text.as_bytes(), 2).unwrap().health, Some(Vec::new()), "{text}");
        }
        let text = r#"{"Health":{"New":1,"Warnings":{"a":null,"b":{"Severity":null,"ImpactsConnectivity":null},"c":{"Severity":"dire"}}}}"#;
        let unknown =
            |code: &str| Warning { code: code.to_owned(), severity: Severity::Unknown, impacts_connectivity: false };
        assert_eq!(read(text.as_bytes(), 5).unwrap().health, Some(["a", "b", "c"].map(unknown).to_vec()));
    }

    #[test]
    fn later_values_replace_earlier_ones() {
        let text = format!("{NO_DERP}\n{FIRST}\n{FELL_BEHIND}\n{ENGINE}\n");
        let event = read(text.as_bytes(), text.len()).unwrap();
        assert_eq!((event.wake, event.health), (true, Some(Vec::new())));
        assert!(event.error.is_some());
    }

    #[test]
    fn warnings_and_errors_are_bounded() {
        let many: Vec<_> = (0..5000).map(|at| format!("\"{at:05}\\u001b{}\":{{}}", "x".repeat(100))).collect();
        let text = format!("{{\"Health\":{{\"Warnings\":{{{}}}}}}}", many.join(","));
        let warnings = read(text.as_bytes(), 4096).unwrap().health.unwrap();
        assert_eq!(warnings.len(), 64);
        for warning in warnings {
            assert!(
                warning.code.len() == 64 && warning.code.bytes().all(|byte| byte.is_ascii_graphic()),
                "{warning:?}"
            );
        }
        let error = format!("{{\"ErrMessage\":\"{}\\n\\u202e\"}}", "x".repeat(10_000));
        assert!(read(error.as_bytes(), 4096).unwrap().error.unwrap().len() <= 200);
    }

    #[test]
    fn a_malformed_line_is_an_error() {
        for text in [
            "",
            "\n\n",
            "[]",
            "null",
            "{\"State\":6}x",
            "{\"State\":6",
            "{\"Health\":3}",
            "{\"ErrMessage\":[]}",
            "<html>",
            "{,}",
        ] {
            let failure = read(text.as_bytes(), 4).unwrap_err();
            assert_eq!(failure.reason, Reason::NodeLocalapiInvalid, "{text}");
            assert!(failure.cause.starts_with("the IPN bus: "), "{failure}");
        }
    }

    #[test]
    fn an_endless_line_is_never_stored() {
        let mut reader = BusReader::new();
        reader.feed(br#"{"NetMap":{"Peers":["#).unwrap();
        for _ in 0..1000 {
            reader.feed(&br#"{"Name":"x","Health":{"Warnings":{}}},"#.repeat(1000)).unwrap();
        }
        assert!(reader.splitter.memory() < 4096);
        reader.feed(br#"{}]},"Health":""#).unwrap();
        let fed = (0..100).try_for_each(|_| reader.feed(&[b'x'; 65_536]));
        assert_eq!(fed.unwrap_err().reason, Reason::NodeLocalapiInvalid);
        assert!(reader.splitter.memory() <= 2 * MAX_VALUE);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_keep_much(
            bytes in prop::collection::vec(prop::sample::select(&b"{}[]\":,\\ n6\nHealth\xff"[..]), 0..300),
            piece in 1..40_usize,
        ) {
            let mut reader = BusReader::new();
            for piece in bytes.chunks(piece) {
                if reader.feed(piece).is_err() {
                    break;
                }
                prop_assert!(reader.splitter.memory() <= 2 * bytes.len() + 64);
            }
            let _ = reader.take();
        }

        #[test]
        fn unknown_fields_do_not_disturb(
            noise in "[a-zA-Z0-9{}\\[\\],: ]{0,40}",
            states in prop::collection::vec(prop::option::of(0..7_u8), 1..20),
            piece in 1..100_usize,
        ) {
            let line = |state: &Option<u8>| {
                serde_json::json!({"Noise": noise, "State": state, "Deep": [{"State": 1, "a": noise}]}).to_string() + "\n"
            };
            let text: String = states.iter().map(line).collect();
            let event = read(text.as_bytes(), piece).unwrap();
            prop_assert_eq!(event.wake, states.iter().any(Option::is_some));
        }
    }
}
