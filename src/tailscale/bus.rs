//! `watch-ipn-bus`: tailscaled's news. It wakes the loop, and is the only place where health warnings have codes; what is
//! true is read from `status`.

use super::observe::{Answer, Call, Observed};
use super::split::{Broken, MAX_PART, Part, Splitter};
use super::warning::{Health, Warning};
use super::{Dialer, MAX_ERROR_TEXT, broken, request, unexpected};
use crate::http::Connection;
use crate::reason::{Failure, Reason, escape};
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use std::io::ErrorKind;
use std::time::Duration;

/// News of the own node: InitialState (2), so that there is a first line, InitialHealthState (128) in it, and
/// NoPrivateKeys (16), without which releases before 1.92 refuse readers who may not write, which a user other than root
/// may not (seen on 1.80.3: 403). Bits that a release does not know it ignores.
pub const MASK: u64 = 2 + 16 + 128;

/// The same, and changes of peers (PeerPatches, 32768, since 1.100). Up to 1.98 every reader hears of them anyhow.
pub const MASK_WITH_PEERS: u64 = MASK + 32_768;

/// Longest time until the answer begins: tailscaled sends its head at once, but nothing at all while it starts.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Fields that say, if they are not null, that a `status` may answer otherwise than before. `NetMap` up to 1.98,
/// `PeerChanges` in 1.98 only, the other peer fields since 1.100.
const WAKING: [&[u8]; 8] = [
    b"State",
    b"Prefs",
    b"SelfChange",
    b"NetMap",
    b"PeerChanges",
    b"PeersChanged",
    b"PeersRemoved",
    b"PeerChangedPatch",
];

/// The stream, on a connection of its own.
pub struct Bus {
    connection: Connection,
    body: Incoming,
    reader: Reader,
}

/// What one or more lines said that came together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Something changed that `status` tells: state, own node, preferences, peers.
    pub wake: bool,
    /// All warnings there are now, if that changed.
    pub health: Option<Vec<Warning>>,
    /// An error message, escaped. That the reader fell behind is one (since 1.102), and is the last event; before,
    /// tailscaled silently leaves lines out.
    pub error: Option<String>,
}

impl Dialer {
    /// Opens the stream. `mask` says of what: [`MASK`] or [`MASK_WITH_PEERS`].
    pub async fn watch(&self, mask: u64) -> Result<Bus, Failure> {
        let mut observed = Observed { observe: &self.observe, call: Call::Bus, answer: Answer::None };
        let answer = tokio::time::timeout(OPEN_TIMEOUT, self.open_bus(mask)).await.unwrap_or_else(|_| {
            let limit = humantime::format_duration(OPEN_TIMEOUT);
            let cause = format_args!("no stream of news from tailscaled within {limit}");
            Err(Failure::new(Reason::NodeLocalapiTimeout, cause))
        });
        observed.answer = Answer::of(&answer);
        answer
    }

    async fn open_bus(&self, mask: u64) -> Result<Bus, Failure> {
        let mut connection = self.connect().await?;
        let request = request(Method::GET, &format!("/localapi/v0/watch-ipn-bus?mask={mask}"), &[])?;
        let (head, body) = connection.send(request).await.map_err(|error| broken(&error))?.into_parts();
        if head.status == StatusCode::OK {
            return Ok(Bus { connection, body, reader: Reader::new() });
        }
        let text = connection.text(body, MAX_ERROR_TEXT).await.unwrap_or_default();
        // A build without the bus, or without LocalAPI's newer half.
        let unsupported = matches!(head.status, StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED);
        let Failure { reason, cause } = unexpected(head.status, &text);
        let cause = if unsupported { format!("no stream of news in this tailscaled: {cause}") } else { cause };
        Err(Failure { reason, cause })
    }
}

impl Bus {
    /// Waits for the next event; none once the stream has ended, be it that tailscaled said so or that it is gone.
    /// Silence is normal and has no limit.
    ///
    /// Dropping the future loses nothing. After an end or an error the stream is of no more use.
    pub async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.reader.take() {
                return Ok(Some(event));
            }
            match self.connection.chunk(&mut self.body).await {
                Ok(Some(piece)) => self.reader.feed(&piece)?,
                Ok(None) => return self.reader.finish().map(|()| None),
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

/// Is it the end of a connection whose other side went away, as it does when tailscaled is killed?
fn is_end(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let kind = cause.map(std::io::Error::kind);
    error.is_incomplete_message() || matches!(kind, Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset))
}

/// Turns bytes into events. A line is never held: one with a netmap has megabytes.
#[derive(Debug)]
struct Reader {
    splitter: Splitter,
    /// What the line under way has said so far.
    line: Event,
    /// What whole lines have said and nobody has taken.
    told: Event,
}

impl Reader {
    fn new() -> Self {
        Self { splitter: Splitter::lines(&["Health", "ErrMessage"]), line: Event::default(), told: Event::default() }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Self { splitter, line, told } = self;
        splitter
            .feed(bytes, |part| {
                match part {
                    Part::Field(b"Health", value) => {
                        line.health = serde_json::from_slice::<Option<Health>>(value)?.map(|health| health.warnings)
                    }
                    Part::Field(_, value) => {
                        line.error = serde_json::from_slice::<Option<String>>(value)?.map(|text| escape(&text))
                    }
                    Part::Skipped(name, first) => line.wake |= first != b'n' && WAKING.contains(&name),
                    Part::End => told.add(std::mem::take(line)),
                    Part::Peer(_) => {}
                }
                Ok(())
            })
            .map_err(Unread::into_failure)
    }

    fn take(&mut self) -> Option<Event> {
        (self.told != Event::default()).then(|| std::mem::take(&mut self.told))
    }

    fn finish(&self) -> Result<(), Failure> {
        self.splitter.finish().map_err(|broken| Unread::Broken(broken).into_failure())
    }
}

impl Event {
    /// Adds what was said later.
    fn add(&mut self, later: Self) {
        self.wake |= later.wake;
        self.health = later.health.or(self.health.take());
        self.error = later.error.or(self.error.take());
    }
}

enum Unread {
    Broken(Broken),
    Json(serde_json::Error),
}

impl From<Broken> for Unread {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<serde_json::Error> for Unread {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl Unread {
    fn into_failure(self) -> Failure {
        let cause = match self {
            Self::Broken(Broken::Syntax(at)) => format!("no JSON object at byte {at}"),
            Self::Broken(Broken::TooLong) => format!("a part is longer than {MAX_PART} bytes"),
            Self::Broken(Broken::Incomplete) => "ended within a line".to_owned(),
            Self::Json(error) => error.to_string(),
        };
        Failure::new(Reason::NodeLocalapiInvalid, format_args!("tailscaled's news: {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailscale::Severity;
    use proptest::prelude::*;

    const FIRST: &str = r#"{"Version":"1.102.5-t0","SessionID":"d2e3334083bf2a44","ErrMessage":null,"LoginFinished":null,"State":6,"Prefs":null,"NetMap":null,"Engine":null,"BrowseToURL":null,"DriveShares":null,"Health":{"Warnings":null}}"#;
    /// Seen on 1.102.5, 10 s after all DERP servers had stopped.
    const NO_DERP: &str = r#"{"Version":"1.102.5-t0","ErrMessage":null,"LoginFinished":null,"State":null,"Prefs":null,"NetMap":null,"Engine":null,"BrowseToURL":null,"DriveShares":null,"Health":{"Warnings":{"no-derp-connection":{"WarnableCode":"no-derp-connection","Severity":"medium","Title":"Relay server unavailable","Text":"Tailscale could not connect to the 'nyc' relay server. Your Internet connection might be down, or the server might be temporarily unavailable.","BrokenSince":"2026-11-23T14:10:57.597855937Z","Args":{"derp-region-id":"1","derp-region-name":"nyc"},"DependsOn":["network-status","no-derp-home","warming-up"],"ImpactsConnectivity":true,"ETag":"b1fcc4a4ee41f7b172d4530b5adb282594251d2ced0d913d2b4f66813a6dea42"}}}}"#;
    /// Sent to everybody whenever somebody watches the engine.
    const ENGINE: &str = r#"{"Version":"1.102.5-t0","ErrMessage":null,"State":null,"Prefs":null,"NetMap":null,"Engine":{"RBytes":0,"WBytes":0,"NumLive":0,"LiveDERPs":1,"LivePeers":{}},"BrowseToURL":null}"#;
    const FELL_BEHIND: &str =
        r#"{"Version":"1.102.5-t0","ErrMessage":"IPN bus consumer fell behind; closing watch","State":null}"#;

    fn read(bytes: &[u8], piece: usize) -> Result<Event, Failure> {
        let mut reader = Reader::new();
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
    fn a_line_says_the_same_however_it_is_cut() {
        let text = format!("{FIRST}\n{ENGINE}\n\n{NO_DERP}\r\n{FELL_BEHIND}");
        let code = "no-derp-connection".to_owned();
        let warning = Warning { code, severity: Severity::Medium, impacts_connectivity: true };
        let error = Some("IPN bus consumer fell behind; closing watch".to_owned());
        let want = Event { wake: true, health: Some(vec![warning]), error };
        for piece in 1..=text.len() {
            assert_eq!(read(text.as_bytes(), piece).unwrap(), want, "{piece}");
        }
        for length in 0..FIRST.len() {
            let cut = read(&FIRST.as_bytes()[..length], 7);
            assert_eq!(cut.is_err(), length > 0, "{length}");
        }
    }

    #[test]
    fn what_status_tells_wakes_and_the_rest_does_not() {
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
        assert_eq!(read(ENGINE.as_bytes(), 9).unwrap(), Event::default());
    }

    #[test]
    fn null_and_absent_mean_the_same() {
        for text in [r#"{"Health":null,"ErrMessage":null}"#, "{}", "", "\n\n"] {
            assert_eq!(read(text.as_bytes(), 2).unwrap(), Event::default(), "{text}");
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
    fn later_news_take_the_place_of_earlier_ones_and_add_to_others() {
        let text = format!("{NO_DERP}\n{FIRST}\n{FELL_BEHIND}\n{ENGINE}\n");
        let event = read(text.as_bytes(), text.len()).unwrap();
        assert_eq!((event.wake, event.health), (true, Some(Vec::new())));
        assert!(event.error.is_some());
    }

    #[test]
    fn warnings_from_outside_are_bounded() {
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
    fn what_is_no_line_is_an_error() {
        for text in
            ["[]", "null", "{\"State\":6}x", "{\"State\":6", "{\"Health\":3}", "{\"ErrMessage\":[]}", "<html>", "{,}"]
        {
            let failure = read(text.as_bytes(), 4).unwrap_err();
            assert_eq!(failure.reason, Reason::NodeLocalapiInvalid, "{text}");
            assert!(failure.cause.starts_with("tailscaled's news: "), "{failure}");
        }
    }

    #[test]
    fn a_line_without_end_is_never_held() {
        let mut reader = Reader::new();
        reader.feed(br#"{"NetMap":{"Peers":["#).unwrap();
        for _ in 0..1000 {
            reader.feed(&br#"{"Name":"x","Health":{"Warnings":{}}},"#.repeat(1000)).unwrap();
        }
        assert!(reader.splitter.held() < 4096);
        reader.feed(br#"{}]},"Health":""#).unwrap();
        let fed = (0..100).try_for_each(|_| reader.feed(&[b'x'; 65_536]));
        assert_eq!(fed.unwrap_err().reason, Reason::NodeLocalapiInvalid);
        assert!(reader.splitter.held() <= 2 * MAX_PART);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_keep_much(
            bytes in prop::collection::vec(prop::sample::select(&b"{}[]\":,\\ n6\nHealth\xff"[..]), 0..300),
            piece in 1..40_usize,
        ) {
            let mut reader = Reader::new();
            for piece in bytes.chunks(piece) {
                if reader.feed(piece).is_err() {
                    break;
                }
                prop_assert!(reader.splitter.held() <= 2 * bytes.len() + 64);
            }
            let _ = reader.take();
        }

        #[test]
        fn lines_are_read_whatever_is_between_and_inside(
            noise in "[a-zA-Z0-9{}\\[\\],: ]{0,40}",
            states in prop::collection::vec(prop::option::of(0..7_u8), 0..20),
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
