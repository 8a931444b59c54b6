//! The log's way to stdout: a bounded queue, and a thread that does nothing but write.
//!
//! A pipe that nobody reads blocks whoever writes to it, and must not block the loop. `O_NONBLOCK` is no way out: whoever else
//! has inherited the same stdout would get it too. Nor is the crate tracing-appender: its bound counts lines and not bytes, it
//! does not count what a failed write loses, and if its queue is full at the end, it prints that to the stdout that blocks.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tracing::warn;

/// Lines that wait for the writer. When it is dropped, what waits is written, unless the reader stalls.
#[derive(Debug)]
pub struct LogQueue(Arc<Shared>);

/// Puts lines into the queue and never waits; each call of `write` brings whole lines.
#[derive(Clone, Debug)]
pub struct LogWriter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    /// Lines that were dropped since the log last told so.
    untold: u64,
    /// The thread is writing what it has taken.
    writing: bool,
}

/// Some 250 lines; as much again is in the writer's hands.
const MAX_BYTES: usize = 64 * 1024;
/// Longest wait for the reader at the end. It adds to the drain, after which the kubelet waits for seconds at least.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause before another attempt where stdout was inherited in non-blocking mode and its pipe is full.
const RETRY: Duration = Duration::from_millis(100);

impl LogQueue {
    /// Starts the thread that writes to `out`. Lines that nobody takes are added to `dropped`.
    pub fn start(out: impl Write + Send + 'static, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), dropped });
        let of_thread = Arc::clone(&shared);
        // Detached: a join would wait for the reader.
        thread::Builder::new().name("log".to_owned()).spawn(move || of_thread.write_all(out))?;
        Ok(Self(shared))
    }

    /// What the log's lines go through.
    pub fn writer(&self) -> LogWriter {
        LogWriter(Arc::clone(&self.0))
    }
}

impl Drop for LogQueue {
    fn drop(&mut self) {
        let busy = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        drop(self.0.changed.wait_timeout_while(self.0.lock(), FLUSH_TIMEOUT, busy));
    }
}

impl Write for LogWriter {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut queue = self.0.lock();
        if queue.lines.is_empty() || queue.lines.len() + lines.len() <= MAX_BYTES {
            queue.lines.extend_from_slice(lines);
            self.0.changed.notify_all();
        } else {
            self.0.count_dropped(&mut queue, lines);
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn write_all(&self, mut out: impl Write) {
        let (mut lines, mut flows) = (Vec::new(), true);
        loop {
            let untold = self.take(&mut lines, flows);
            if untold > 0 {
                // It goes through the queue, where it follows the last line that was not dropped.
                warn!(lines = untold, "Log lines dropped: they were not read in time");
            }
            let unwritten = write_lines(&mut out, &lines);
            flows = unwritten.is_empty();
            if !flows {
                self.count_dropped(&mut self.lock(), unwritten);
            }
            lines.clear();
        }
    }

    /// Waits for lines, and takes them and the number of those that were dropped. That is not told while writing fails: telling
    /// would be the next line to fail.
    fn take(&self, lines: &mut Vec<u8>, flows: bool) -> u64 {
        let mut queue = self.lock();
        queue.writing = false;
        self.changed.notify_all();
        let idle = |queue: &mut Queue| queue.lines.is_empty() && !(flows && queue.untold > 0);
        let mut queue = self.changed.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
        queue.writing = true;
        std::mem::swap(&mut queue.lines, lines);
        if flows { std::mem::take(&mut queue.untold) } else { 0 }
    }

    fn count_dropped(&self, queue: &mut Queue, lines: &[u8]) {
        let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        queue.untold += count;
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes lines; those that could not be written.
fn write_lines<'a>(out: &mut impl Write, mut lines: &'a [u8]) -> &'a [u8] {
    while !lines.is_empty() {
        match out.write(lines) {
            Ok(0) => break,
            Ok(written) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(RETRY),
            Err(_) => break,
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Yields what a write brings when it begins, and lets it end when it is told how; once nobody can tell, at once.
    struct Gate {
        begun: Sender<String>,
        ends: Receiver<io::Result<()>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // After its end no test is interested.
            let _ = self.begun.send(String::from_utf8_lossy(bytes).into_owned());
            self.ends.recv().unwrap_or(Ok(()))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Gated {
        queue: LogQueue,
        begun: Receiver<String>,
        end: Sender<io::Result<()>>,
        dropped: Arc<AtomicU64>,
    }

    impl Gated {
        fn start() -> Self {
            let ((begins, begun), (end, ends)) = (channel(), channel());
            let dropped = Arc::new(AtomicU64::new(0));
            let queue = LogQueue::start(Gate { begun: begins, ends }, Arc::clone(&dropped)).expect("a thread");
            Self { queue, begun, end, dropped }
        }

        fn log(&self, lines: &[u8]) {
            self.queue.writer().write_all(lines).expect("it never fails");
        }

        fn end_write(&self, with: io::Result<()>) {
            self.end.send(with).expect("the thread lives");
        }

        fn next_write(&self) -> String {
            self.begun.recv_timeout(Duration::from_secs(30)).expect("a write")
        }

        fn dropped(&self) -> u64 {
            self.dropped.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn nobody_waits_for_the_reader_and_lines_that_do_not_fit_are_counted() {
        let log = Gated::start();
        log.log(b"first\n");
        assert_eq!(log.next_write(), "first\n");
        let line = format!("{}\n", "x".repeat(1023));
        (0..100).for_each(|_| log.log(line.as_bytes()));
        assert_eq!(log.dropped(), 36, "64 fit");
        log.end_write(Ok(()));
        assert_eq!(log.next_write().len(), MAX_BYTES);
        log.log(&[&[b'y'; 2 * MAX_BYTES][..], b"\n"].concat());
        assert_eq!(log.dropped(), 36, "a long line fits where none waits");
        let Gated { queue, begun, end, .. } = log;
        drop(end);
        drop(queue);
        assert!(
            begun.recv_timeout(Duration::from_secs(30)).is_ok_and(|lines| lines.ends_with("y\n")),
            "what waits at the end is written"
        );
    }

    #[test]
    fn a_reader_that_stalls_does_not_hold_up_the_end() {
        let Gated { queue, begun: _begun, end: _end, dropped } = Gated::start();
        queue.writer().write_all(b"last\n").expect("it never fails");
        drop(queue);
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_those_that_can_later_are_not() {
        let log = Gated::start();
        log.log(b"one\ntwo\n");
        for error in [ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::BrokenPipe] {
            assert_eq!(log.next_write(), "one\ntwo\n");
            log.end_write(Err(error.into()));
        }
        log.log(b"three\n");
        assert_eq!((log.next_write().as_str(), log.dropped()), ("three\n", 2));
    }
}
