//! What can be wrong with the LocalAPI itself.

use std::time::Duration;

use bytes::Bytes;

use crate::http_stream::WritePace;

/// A LocalAPI call that misbehaviour can be limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `GET /localapi/v0/status`
    Status,
    /// `POST /localapi/v0/dial`
    Dial,
    /// `POST /localapi/v0/ping`
    Ping,
    /// `GET /localapi/v0/watch-ipn-bus`
    Bus,
    /// `GET /localapi/v0/derpmap`
    DerpMap,
    /// `GET /localapi/v0/prefs`
    Prefs,
    /// Anything else.
    Other,
}

impl Call {
    /// The call that a request's path names.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/localapi/v0/status" => Self::Status,
            "/localapi/v0/dial" => Self::Dial,
            "/localapi/v0/ping" => Self::Ping,
            "/localapi/v0/watch-ipn-bus" => Self::Bus,
            "/localapi/v0/derpmap" => Self::DerpMap,
            "/localapi/v0/prefs" => Self::Prefs,
            _ => Self::Other,
        }
    }
}

/// Something that takes the place of a right answer, or spoils it.
#[derive(Clone, Debug)]
pub enum Misbehaviour {
    /// Accepts and reads, answers nothing.
    Silent,
    /// The right answer up to here, then nothing.
    StallAfter(usize),
    /// The right answer up to here, then the end of the connection.
    CloseAfter(usize),
    /// The right answer, one byte per interval.
    Drip(Duration),
    /// The right answer with a `Content-Length` that is off by this much, then the end.
    ContentLength(i64),
    /// The right head, half a chunk, then something that is no chunk.
    BrokenChunk,
    /// The right answer and some bytes behind it.
    Trailing(Bytes),
    /// An error as Go's `http.Error` writes it: status and text.
    Error(u16, String),
    /// 200 with this body as `application/json`.
    Json(Bytes),
    /// These bytes, then nothing; the connection stays open.
    Hold(Bytes),
    /// These bytes, then the end.
    Close(Bytes),
    /// `start`, then `unit` so many times (`None`: without end), then `end`.
    #[allow(missing_docs, reason = "said in the line above")]
    Flood { start: Bytes, unit: Bytes, units: Option<u64>, end: Bytes },
}

const UNIT: usize = 1 << 16;

impl Misbehaviour {
    /// Another program owns the path.
    #[must_use]
    pub fn not_http() -> Self {
        Self::Close(Bytes::from_static(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"))
    }

    /// 301 to another host.
    #[must_use]
    pub fn redirect() -> Self {
        let head = b"HTTP/1.1 301 Moved Permanently\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n";
        Self::Hold(Bytes::from_static(head))
    }

    /// 101 although nobody asked.
    #[must_use]
    pub fn unsolicited_upgrade() -> Self {
        Self::glued_upgrade(b"")
    }

    /// 101 with bytes of the stream in the same segment.
    #[must_use]
    pub fn glued_upgrade(stream: &[u8]) -> Self {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ts-dial\r\n\r\n";
        Self::Hold([&head[..], stream].concat().into())
    }

    /// 1xx answers for ever.
    #[must_use]
    pub fn informational_flood() -> Self {
        Self::endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n")
    }

    /// A header for ever.
    #[must_use]
    pub fn endless_head() -> Self {
        Self::endless(b"HTTP/1.1 200 OK\r\n", b"X-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
    }

    /// A chunked status whose certificate domains never end, which telltail skips.
    #[must_use]
    pub fn endless_body() -> Self {
        Self::endless_field("CertDomains")
    }

    /// A chunked object whose first field is a list of texts that never ends.
    #[must_use]
    pub fn endless_field(name: &str) -> Self {
        let unit = format!("{UNIT:x}\r\n{}\r\n", "\"\",\n".repeat(UNIT / 4));
        let start = format!("{{\"{name}\":[");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        Self::endless(format!("{head}{:x}\r\n{start}\r\n", start.len()).as_bytes(), unit.as_bytes())
    }

    /// A status with this many arrays in one another.
    #[must_use]
    pub fn deep_nesting(depth: usize) -> Self {
        Self::Json(format!("{{\"Self\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into())
    }

    /// A status whose `Version` has about this many bytes, made while it is written.
    #[must_use]
    pub fn giant_string(bytes: u64) -> Self {
        let units = bytes.div_ceil(UNIT as u64);
        let (open, close) = ("{\"Version\":\"", "\"}\n");
        let length = units * UNIT as u64 + (open.len() + close.len()) as u64;
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{open}");
        let unit = Bytes::from(vec![b'1'; UNIT]);
        Self::Flood { start: head.into(), unit, units: Some(units), end: close.into() }
    }

    fn endless(start: &[u8], unit: &[u8]) -> Self {
        // Large writes, so that a flood is limited by its reader.
        let unit = Bytes::from(unit.repeat(UNIT.div_ceil(unit.len())));
        Self::Flood { start: Bytes::copy_from_slice(start), unit, units: None, end: Bytes::new() }
    }

    pub(crate) fn pace(&self) -> WritePace {
        if let Self::StallAfter(bytes) = self {
            WritePace::Stall(*bytes)
        } else if let Self::CloseAfter(bytes) = self {
            WritePace::Close(*bytes)
        } else if let Self::Drip(interval) = self {
            WritePace::Drip(*interval)
        } else {
            WritePace::Free
        }
    }
}

/// What misbehaves now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conduct {
    everywhere: Option<Misbehaviour>,
    at: Vec<(Call, Misbehaviour)>,
}

impl Conduct {
    pub(crate) fn everywhere(misbehaviour: Misbehaviour) -> Self {
        Conduct { everywhere: Some(misbehaviour), at: Vec::new() }
    }

    pub(crate) fn at(&mut self, call: Call, misbehaviour: Misbehaviour) {
        self.at.retain(|(have, _)| *have != call);
        self.at.push((call, misbehaviour));
    }

    pub(crate) fn of(&self, call: Call) -> Option<Misbehaviour> {
        let here = self.at.iter().find(|(have, _)| *have == call).map(|(_, misbehaviour)| misbehaviour);
        here.or(self.everywhere.as_ref()).cloned()
    }
}
