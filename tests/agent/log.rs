//! What an agent writes into its log, and the rules for every line of it.

use crate::support::line;
use serde_json::{Map, Value};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;

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

    /// Every line so far, held against the rules for a line.
    pub fn lines(&self) -> Vec<Map<String, Value>> {
        let bytes = self.bytes.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(bytes).expect("the log is UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "a line without end: {text:?}");
        text.lines().map(line).collect()
    }

    /// The lines with this message or beginning.
    pub fn lines_with(&self, message: &str) -> Vec<Map<String, Value>> {
        let begins = |line: &Map<_, _>| line["message"].as_str().is_some_and(|text: &str| text.starts_with(message));
        self.lines().into_iter().filter(begins).collect()
    }
}
