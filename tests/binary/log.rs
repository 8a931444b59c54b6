//! Readers of the log that stall, go away, or keep the pipe in non-blocking mode. None stops the agent.

use crate::run::TestTailnet;
use crate::support::{get, line};
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, PipeReader, Read, Write, pipe};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use telltail_testkit::{MetricsPage, PATIENCE, Process, Signal};
use tokio::time::timeout;

/// Of Linux on x86-64 and arm64.
const O_NONBLOCK: i32 = 0o4000;
/// The unit in which a pipe has room.
const PAGE: usize = 4096;
const DROPPED: &str = "telltail_log_lines_dropped_total";
/// What the kubelet waits by default.
const KUBELET: Duration = Duration::from_secs(1);

/// A pipe that has room for 4 KiB until it is read; its writer waits for the reader, or is told that it would have to.
fn nearly_full_pipe(nonblocking: bool) -> (PipeReader, File) {
    let (mut reader, writer) = pipe().expect("a pipe");
    // Opened once more, for the mode is that of the open file description.
    let open = |flags| {
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        OpenOptions::new().write(true).custom_flags(flags).open(path).expect("Linux has it")
    };
    let mut filler = open(O_NONBLOCK);
    let mut junk = [b'.'; PAGE];
    junk[PAGE - 1] = b'\n';
    let full = loop {
        if let Err(error) = filler.write_all(&junk) {
            break error.kind();
        }
    };
    assert_eq!(full, ErrorKind::WouldBlock);
    reader.read_exact(&mut junk).expect("it is full");
    (reader, if nonblocking { filler } else { open(0) })
}

/// An agent that logs much, with forty targets.
struct Talker {
    process: Process,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Talker {
    fn start(tailnet: &TestTailnet, stdout: File) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let targets: Vec<_> = (0..40).map(|number| format!("postgres://db:5432?name=db{number}")).collect();
        let mut command = tailnet.telltail(&["run"]);
        command.env("TELLTAIL_TARGETS", targets.join(",")).env("TELLTAIL_LISTEN", address.to_string());
        command.env("TELLTAIL_INTERVAL", "400ms").env("TELLTAIL_TIMEOUT", "190ms").env("TELLTAIL_DRAIN", "0s");
        command.env("TELLTAIL_LOG", "telltail=debug");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = Process::spawn_with_stdout(&mut command, stdout, folder.path().join("stderr"));
        Self { process, address, _folder: folder }
    }

    /// Waits until a page has this status; meanwhile, each request to `/livez` is answered as soon as the kubelet wants it.
    async fn until(&self, path: &str, status: u16) {
        self.until_page(path, |(now, _)| *now == status).await;
    }

    /// Waits until so many lines are missing; their number.
    async fn until_dropped(&self, at_least: f64) -> f64 {
        let (_, page) = self.until_page("/metrics", |(_, page)| dropped(page) >= at_least).await;
        dropped(&page)
    }

    async fn until_page(&self, path: &str, mut wanted: impl FnMut(&(u16, String)) -> bool) -> (u16, String) {
        let mut alive = false;
        let page = async || {
            let livez =
                timeout(KUBELET, get(self.address, "/livez")).await.expect("the kubelet restarts the container");
            alive |= livez.is_some();
            assert!(!alive || livez.is_some_and(|(status, _)| status == 200), "it was alive before");
            get(self.address, path).await.filter(&mut wanted)
        };
        self.process.until_some(path, page).await
    }

    async fn terminated(&self) -> ExitStatus {
        self.process.signal(Signal::Term);
        self.process.wait().await
    }
}

fn dropped(page: &str) -> f64 {
    MetricsPage::parse(page).value(DROPPED, &[])
}

/// Reads the pipe from now on: each line, but for the junk, held against the rules for a line.
fn lines(mut reader: PipeReader) -> Receiver<Map<String, Value>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let (mut text, mut chunk) = (Vec::new(), [0; PAGE]);
        while let Ok(read @ 1..) = reader.read(&mut chunk) {
            text.extend_from_slice(&chunk[..read]);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let whole: Vec<_> = text.drain(..=end).collect();
                let whole = str::from_utf8(&whole).expect("UTF-8").trim_end();
                // The test may have seen enough.
                if !whole.starts_with('.') && sender.send(line(whole)).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

#[tokio::test]
async fn a_reader_of_the_log_that_stalls_stops_nothing_and_learns_how_much_is_missing() {
    for nonblocking in [false, true] {
        let tailnet = TestTailnet::new();
        let (reader, stdout) = nearly_full_pipe(nonblocking);
        let agent = Talker::start(&tailnet, stdout);
        agent.until("/healthz", 200).await;
        agent.until_dropped(1.0).await;
        // It still watches its targets.
        tailnet.db.stop();
        agent.until("/healthz", 503).await;
        agent.until_dropped(100.0).await;

        let log = lines(reader);
        let told = "Log lines dropped: they were not read in time";
        let mut missing = 0.0;
        agent
            .until_page("/metrics", |(_, page)| {
                let told = log.try_iter().filter(|line| line["message"] == told);
                missing += told.filter_map(|line| line["lines"].as_f64()).sum::<f64>();
                missing > 0.0 && missing == dropped(page)
            })
            .await;
        assert_eq!(agent.terminated().await.code(), Some(0));
        let rest = std::iter::from_fn(|| log.recv_timeout(PATIENCE).ok());
        assert_eq!(rest.last().map(|line| line["message"].clone()), Some("Stopped".into()), "{nonblocking}");
    }
}

#[tokio::test]
async fn a_reader_of_the_log_that_stalls_does_not_hold_up_the_end() {
    let tailnet = TestTailnet::new();
    let (reader, stdout) = nearly_full_pipe(false);
    let agent = Talker::start(&tailnet, stdout);
    agent.until_dropped(1.0).await;
    let ended = timeout(Duration::from_secs(10), agent.terminated()).await;
    assert_eq!(ended.expect("within the grace period").code(), Some(0));
    drop(reader);
}

#[tokio::test]
async fn a_reader_of_the_log_that_goes_away_or_a_full_disk_stops_nothing() {
    let tailnet = TestTailnet::new();
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    for stdout in [File::from(std::os::fd::OwnedFd::from(writer)), full] {
        let agent = Talker::start(&tailnet, stdout);
        agent.until("/healthz", 200).await;
        agent.until_dropped(100.0).await;
        assert_eq!(agent.terminated().await.code(), Some(0));
        assert_eq!(agent.process.log(), "", "stderr");
    }
}
