//! What an agent writes into its log, and the rules for every line of it.

use serde_json::{Map, Value};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;

/// Longest line: a cause has at most 200 characters, and the sentences are our own.
const LONGEST_LINE: usize = 1024;

/// Keeps what is logged by this thread for as long as it lives.
pub struct Log {
    bytes: Bytes,
    _keeps: DefaultGuard,
}

#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Keeps lines from level INFO on, in the form of `telltail run`.
    pub fn keep() -> Self {
        let bytes = Bytes::default();
        let writer = bytes.clone();
        let lines = fmt::layer().with_ansi(false).with_target(false).json().flatten_event(true);
        let lines = lines.with_writer(move || writer.clone());
        let levels = tracing_subscriber::filter::Targets::new().with_target("telltail", tracing::Level::INFO);
        let subscriber = tracing_subscriber::registry().with(levels).with(lines);
        Self { bytes, _keeps: tracing::subscriber::set_default(subscriber) }
    }

    /// Every line so far. One that is not a JSON object, has a key twice, is too long or has anything but printable ASCII
    /// in it is a failure.
    pub fn lines(&self) -> Vec<Map<String, Value>> {
        let bytes = self.bytes.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(bytes).expect("the log is UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "a line without end: {text:?}");
        text.lines().map(line).collect()
    }

    /// The lines with this message or beginning.
    pub fn saying(&self, message: &str) -> Vec<Map<String, Value>> {
        let said = |line: &Map<_, _>| line["message"].as_str().is_some_and(|said: &str| said.starts_with(message));
        self.lines().into_iter().filter(said).collect()
    }
}

/// One line by the rules.
pub fn line(line: &str) -> Map<String, Value> {
    assert!(line.len() <= LONGEST_LINE, "{} bytes: {line}", line.len());
    assert!(line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{line:?}");
    assert!(!line.contains("login.tailscale.com"), "the AuthURL is a secret: {line}");
    let object: Map<String, Value> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    for key in object.keys() {
        let written = format!("\"{key}\":");
        let places = line.match_indices(&written).filter(|(at, _)| !line[..*at].ends_with('\\'));
        assert_eq!(places.count(), 1, "{key} is there twice: {line}");
    }
    for key in ["timestamp", "level", "message"] {
        assert!(object.contains_key(key), "no {key}: {line}");
    }
    object
}
