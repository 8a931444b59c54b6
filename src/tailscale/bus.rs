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
