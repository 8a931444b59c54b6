//! For tests: the log of this thread.

use serde_json::{Map, Value};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt;

/// Keeps what this thread logs from level INFO on, until it is dropped.
pub struct CapturedLog {
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

impl CapturedLog {
    /// Keeps the log from now on.
    pub fn start() -> Self {
        let (bytes, level) = (Bytes::default(), Level::INFO);
        let writer = bytes.clone();
        let log = fmt().json().flatten_event(true).with_target(false).with_max_level(level);
        let log = log.with_writer(move || writer.clone()).finish();
        Self { bytes, _keeps: tracing::subscriber::set_default(log) }
    }

    /// The lines since the start or the last call.
    pub fn take_lines(&self) -> Vec<Map<String, Value>> {
        let bytes = std::mem::take(&mut *self.bytes.0.lock().unwrap_or_else(PoisonError::into_inner));
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a JSON object")).collect()
    }
}
