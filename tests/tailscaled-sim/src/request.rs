//! What was asked.

/// One request to the LocalAPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// In the order of arrival, from 1: equal numbers mean a kept-alive connection.
    pub connection: u64,
    /// User id at the other end of the socket.
    pub uid: Option<u32>,
    /// `GET`, `POST`
    pub method: String,
    /// Without the query.
    pub path: String,
    /// What follows the question mark.
    pub query: String,
    /// As sent, in their order.
    pub headers: Vec<(String, String)>,
    /// `HTTP/1.0` instead of `HTTP/1.1`
    pub(crate) old: bool,
}

/// Why no request came out of the bytes: what Go's server answers, both as status line and as body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Request {
    /// First value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Value of a parameter of the query.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|pair| pair.1)
    }

    /// Reads a head without its empty line.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, Malformed> {
        const BAD: Malformed = Malformed("400 Bad Request");
        let head = std::str::from_utf8(head).map_err(|_| BAD)?;
        let mut lines = head.split("\r\n");
        let words: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, version] = words[..] else { return Err(BAD) };
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return Err(Malformed("505 HTTP Version Not Supported: unsupported protocol version"));
        }
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(BAD)?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
        let old = version == "HTTP/1.0";
        let request = Request { connection: 0, uid: None, method, path, query, headers, old };
        match request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count() {
            0 if !old => Err(Malformed("400 Bad Request: missing required Host header")),
            0 | 1 => Ok(request),
            _ => Err(BAD),
        }
    }

    /// Whether the connection serves another request afterwards.
    pub(crate) fn keeps_alive(&self) -> bool {
        let connection = self.header("Connection").unwrap_or_default().to_ascii_lowercase();
        if self.old { connection.contains("keep-alive") } else { !connection.contains("close") }
    }

    /// Go's rules for who may ask at all.
    pub(crate) fn is_trusted(&self) -> bool {
        let empty = |name| self.header(name).unwrap_or_default().is_empty();
        let host = self.header("Host").unwrap_or_default();
        empty("Origin") && empty("Referer") && matches!(host, "" | "local-tailscaled.sock")
    }

    pub(crate) fn body_length(&self) -> usize {
        self.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0)
    }
}
