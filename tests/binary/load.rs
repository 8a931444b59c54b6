//! What the built binary does while everybody asks it, and while it has little CPU time or memory.

use crate::run::{Agent, TestTailnet};
use crate::support::get;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;
use telltail_testkit::{MetricsPage, PATIENCE};
use tokio::time::Instant;

/// The kubelet's timeout, unless a probe says otherwise.
const KUBELET_TIMEOUT: Duration = Duration::from_secs(1);
/// The chart's limit, in KiB.
const MEMORY_LIMIT: u64 = 32 << 10;
const MOST_TARGETS: usize = 64;

/// The kubelet's probes. They have a thread of their own, for the kubelet does not wait for those who flood.
struct Kubelet {
    /// Of each probe, after which time it was answered, or why it was not.
    answers: Arc<Mutex<Vec<Result<Duration, String>>>>,
}

impl Kubelet {
    /// Probes for as long as somebody wants to know.
    fn watches(address: SocketAddr) -> Self {
        let kubelet = Self { answers: Arc::default() };
        let answers = Arc::downgrade(&kubelet.answers);
        thread::spawn(move || {
            for path in ["/livez", "/healthz"].into_iter().cycle() {
                let Some(answers) = answers.upgrade() else { break };
                let begun = Instant::now();
                let answer = ask(address, path, KUBELET_TIMEOUT);
                let answer = answer.map(|_| begun.elapsed()).map_err(|error| format!("{path}: {error}"));
                answers.lock().expect("no panic").push(answer);
                drop(answers);
                thread::park_timeout(Duration::from_millis(20));
            }
        });
        kubelet
    }

    /// Each of its probes so far was answered in time, and there were so many.
    fn was_answered(&self, times: usize) -> bool {
        let answers = self.answers.lock().expect("no panic");
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|took| *took < KUBELET_TIMEOUT)), "{answers:?}");
        answers.len() >= times
    }
}

/// The whole answer, which is none if it is empty.
fn ask(address: SocketAddr, path: &str, timeout: Duration) -> io::Result<String> {
    let stream = request(address, path)?;
    stream.set_read_timeout(Some(timeout))?;
    let answer = io::read_to_string(stream)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

fn request(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, KUBELET_TIMEOUT)?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    Ok(stream)
}

const SCRAPERS: usize = 20;

/// Sends 50 requests, then reads. How many get the whole page: those that have to make room for others are closed.
fn scrape_at_once(address: SocketAddr, sent: &Barrier) -> usize {
    let requests: Vec<_> = (0..50).filter_map(|_| request(address, "/metrics").ok()).collect();
    sent.wait();
    let pages = requests.into_iter().filter_map(|stream| io::read_to_string(stream).ok());
    pages.filter(|page| page.ends_with('\n') && page.contains("telltail_target_up{target=\"db-63\"}")).count()
}

/// An agent with as many targets as there can be.
fn with_most_targets(tailnet: &TestTailnet) -> Agent {
    let targets: Vec<_> = (0..MOST_TARGETS).map(|n| format!("postgres://db-{n:02}:5432")).collect();
    tailnet.run(|command| {
        command.env("TELLTAIL_TARGETS", targets.join(" "));
        command.env("TELLTAIL_INTERVAL", "10s").env("TELLTAIL_TIMEOUT", "3s");
    })
}

#[tokio::test]
async fn the_kubelet_is_answered_in_time_while_a_thousand_scrape_at_once() {
    let tailnet = TestTailnet::new();
    let agent = with_most_targets(&tailnet);
    agent.until("/livez", 200).await;
    let address = agent.address().await;
    let sent = Arc::new(Barrier::new(SCRAPERS + 1));
    let scraper = |_| {
        let sent = Arc::clone(&sent);
        thread::spawn(move || scrape_at_once(address, &sent))
    };
    let scrapers: Vec<_> = (0..SCRAPERS).map(scraper).collect();
    sent.wait();
    let kubelet = Kubelet::watches(address);
    let whole: usize = scrapers.into_iter().map(|scraper| scraper.join().expect("no panic")).sum();
    println!("{whole} of 1000 scrapes got the whole page");
    assert!(whole > 0);
    agent.until_some("the kubelet's probes", async || kubelet.was_answered(20).then_some(())).await;
    agent.ends().await;
}

#[tokio::test]
async fn clients_that_read_nothing_do_not_use_up_the_containers_memory() {
    let tailnet = TestTailnet::new();
    let agent = with_most_targets(&tailnet);
    agent.until("/livez", 200).await;
    let address = agent.address().await;
    let mut silent = Vec::new();
    for round in 0..4 {
        for path in ["/metrics", "/metrics", "/metrics", "/api/v1/status"].repeat(40) {
            let mut stream = TcpStream::connect(address).expect("it listens");
            let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            // In each second round the clients stop in the middle of the head.
            let sent = if round % 2 == 0 { request.len() } else { request.len() / 2 };
            // It may have been closed already.
            let _ = stream.write_all(&request.as_bytes()[..sent]);
            silent.push(stream);
        }
        for path in ["/livez", "/healthz"] {
            ask(address, path, KUBELET_TIMEOUT).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let page = ask(address, "/metrics", PATIENCE).expect("an answer");
        assert!(page.ends_with('\n'), "{page}");
    }
    let most = agent.figure("VmHWM");
    println!("{most} kB of memory at most, with what is mapped of the program (not a release build)");
    assert!(most < MEMORY_LIMIT, "{most} kB");
    agent.ends().await;
}

/// A cgroup with little CPU time, removed with this.
struct Throttle(PathBuf);

/// Microseconds of each 100 ms: 10m of CPU for the shipped program. A debug build takes five times the time for the same.
const QUOTA: &str = if cfg!(debug_assertions) { "5000" } else { "1000" };

impl Throttle {
    /// None where no cgroup can be made.
    fn of(agent: &Agent) -> Option<Self> {
        let name = format!("telltail-{}", agent.id());
        let max = format!("{QUOTA} 100000");
        let hierarchies: [(&str, &[(&str, &str)]); 2] = [
            ("/sys/fs/cgroup", &[("cpu.max", &max)]),
            ("/sys/fs/cgroup/cpu", &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", QUOTA)]),
        ];
        for (hierarchy, limits) in hierarchies {
            let cgroup = Self(PathBuf::from(hierarchy).join(&name));
            let id = agent.id().to_string();
            let mut files = limits.iter().copied().chain([("cgroup.procs", id.as_str())]);
            // In a folder that is no cgroup these files would be made.
            let write = |(file, value)| {
                let file = fs::OpenOptions::new().write(true).open(cgroup.0.join(file));
                file.is_ok_and(|mut file| file.write_all(str::as_bytes(value)).is_ok())
            };
            let made = fs::create_dir(&cgroup.0).is_ok() && files.all(write);
            if made {
                return Some(cgroup);
            }
        }
        None
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // Where it could not be made it is not there.
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn throttled_it_answers_the_kubelet_in_time_while_scraping_reloading_and_probing() {
    let tailnet = TestTailnet::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telltail.yaml");
    let one = "interval: 2s\ntimeout: 900ms\ntargets: ['postgres://db:5432', 'valkey://cache:6379']\n";
    let other = "interval: 2s\ntimeout: 900ms\ntargets: ['postgres://db:5432', 'tcp://cache:6379?name=other']\n";
    fs::write(&file, one).expect("a file");
    let agent = tailnet.run(|command| {
        command.arg("--config").arg(&file);
        for variable in ["TELLTAIL_TARGETS", "TELLTAIL_INTERVAL", "TELLTAIL_TIMEOUT"] {
            command.env_remove(variable);
        }
    });
    agent.until("/livez", 200).await;
    let address = agent.address().await;
    let throttle = Throttle::of(&agent);
    if throttle.is_none() {
        println!("no cgroup for CPU time can be made here: tried at full speed instead");
    }
    // The agent ends first, then its cgroup.
    let (ref agent, _) = (agent, throttle);
    let kubelet = Kubelet::watches(address);
    let sets = [["db", "cache"], ["db", "other"]].map(|set| BTreeSet::from(set.map(str::to_owned)));
    let mut seen = BTreeSet::new();
    for round in 0.. {
        fs::write(&file, if round % 2 == 0 { other } else { one }).expect("a file");
        agent.signal("HUP", 1);
        let page = MetricsPage::parse(get(address, "/metrics").await.expect("an answer").1);
        let targets = consistent_targets(&page);
        assert!(sets.contains(&targets), "{targets:?}");
        seen.insert(targets);
        if seen.len() == 2 && kubelet.was_answered(30) {
            break;
        }
    }
}

/// The targets of a page, of which each has all its series: what is counted and what is read from the state agree.
fn consistent_targets(page: &MetricsPage) -> BTreeSet<String> {
    let targets = |name: &str, series: usize| {
        let all: Vec<_> = page.samples(name, &[]).filter_map(|sample| sample.label("target")).collect();
        let targets: BTreeSet<_> = all.iter().map(|target| (*target).to_owned()).collect();
        assert_eq!(all.len(), targets.len() * series, "{name}: {all:?}");
        targets
    };
    let of_state = targets("telltail_target_state", 3);
    for (name, series) in [
        ("telltail_probes_total", 3),
        ("telltail_target_transitions_total", 2),
        ("telltail_probe_duration_seconds_count", 3),
        ("telltail_path", 5),
        ("telltail_probe_interval_seconds", 1),
    ] {
        assert_eq!(targets(name, series), of_state, "{name}");
    }
    of_state
}
