//! What the kernel says of this process, read when a page is rendered.

use super::family::{counter, gauge, unlabelled};
use prometheus::proto::MetricFamily;
use std::fs;
use std::path::Path;

/// The `process_*` families. What cannot be read is absent.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    boot: Option<f64>,
}

/// Clock ticks per second in `/proc`. The kernel converts its own HZ to USER_HZ for user space, and USER_HZ is 100 on
/// every architecture that telltail is built for. Asking (`sysconf`) would need libc and `unsafe`.
const USER_HZ: f64 = 100.0;

impl ProcessMetrics {
    pub(super) fn new() -> Self {
        // Read once: the file has a line for every interrupt and the answer does not change.
        Self { boot: read("/proc/stat").as_deref().and_then(boot_time) }
    }

    /// Reads everything else again.
    pub(super) fn families(&self) -> [MetricFamily; 7] {
        let times = read("/proc/self/stat").as_deref().and_then(times);
        let memory = read("/proc/self/status").map(|text| memory(&text)).unwrap_or_default();
        [
            counter(
                "process_cpu_seconds_total",
                "User and system CPU time of this process, in seconds.",
                unlabelled(times.map(|times| times.cpu_ticks as f64 / USER_HZ)),
            ),
            gauge(
                "process_resident_memory_bytes",
                "Resident memory of this process, in bytes.",
                unlabelled(memory.resident),
            ),
            gauge(
                "process_virtual_memory_bytes",
                "Virtual memory of this process, in bytes.",
                unlabelled(memory.virtual_memory),
            ),
            gauge("process_threads", "Threads of this process.", unlabelled(memory.threads)),
            gauge(
                "process_open_fds",
                "Open file descriptors of this process.",
                unlabelled(open_descriptors().map(|open| open as f64)),
            ),
            gauge(
                "process_max_fds",
                "Limit of open file descriptors of this process.",
                unlabelled(descriptor_limit().map(|limit| limit as f64)),
            ),
            gauge(
                "process_start_time_seconds",
                "Unix time at which this process started, in seconds.",
                unlabelled(self.boot.zip(times).map(|(boot, times)| boot + times.start_ticks as f64 / USER_HZ)),
            ),
        ]
    }
}

/// The limit of open file descriptors; none where there is no limit.
pub fn descriptor_limit() -> Option<usize> {
    read("/proc/self/limits").as_deref().and_then(max_fds)
}

/// The file descriptors that are open.
pub fn open_descriptors() -> Option<usize> {
    open_fds(Path::new("/proc/self/fd"))
}

fn read(path: &str) -> Option<String> {
    // Lossy, for a process may have any bytes as its name.
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    cpu_ticks: u64,
    start_ticks: u64,
}

/// Reads `/proc/PID/stat` (proc(5)). The second field is the name in parentheses, which may itself hold spaces and
/// parentheses: what follows the last one is fields 3 and up.
fn times(stat: &str) -> Option<Times> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
    let cpu_ticks = field(14)?.checked_add(field(15)?)?;
    Some(Times { cpu_ticks, start_ticks: field(22)? })
}

#[derive(Debug, Default, PartialEq)]
struct Memory {
    resident: Option<f64>,
    virtual_memory: Option<f64>,
    threads: Option<f64>,
}

/// Reads `/proc/PID/status`, which counts in kB, where `stat` counts in pages of a size that it does not tell. Its own
/// `Name:` line cannot forge another: the kernel escapes line feeds there.
fn memory(status: &str) -> Memory {
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let bytes = |key| number(key).map(|kilobytes| kilobytes as f64 * 1024.0);
    Memory {
        resident: bytes("VmRSS:"),
        virtual_memory: bytes("VmSize:"),
        threads: number("Threads:").map(|threads| threads as f64),
    }
}

/// Reads the soft limit in `/proc/PID/limits`; none where there is no limit.
fn max_fds(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Reads the Unix time of the boot in `/proc/stat`.
fn boot_time(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse::<u64>().ok().map(|seconds| seconds as f64)
}

/// Counts the open descriptors, without the one that counting opens.
fn open_fds(folder: &Path) -> Option<usize> {
    let listed = fs::read_dir(folder).ok()?.count();
    Some(listed.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "1234 (NAME) S 1 1234 1234 0 -1 4194560 100 0 5 0 731 42 0 0 20 0 3 0 98765 9998336 512 \
                        18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    #[test]
    fn cpu_time_and_start_are_found_behind_any_name() {
        for name in ["telltail", "tell tail", "a) S 1 2 3 (b", ")", "((", "", "x\n) R 9"] {
            let parsed = times(&STAT.replace("NAME", name));
            assert_eq!(parsed, Some(Times { cpu_ticks: 773, start_ticks: 98765 }), "{name:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_number_is_absent() {
        assert_eq!(times(""), None);
        assert_eq!(times("1 (a) S 1 2 3"), None);
        assert_eq!(times(&STAT.replace("731", "-1")), None);
        assert_eq!(memory("Name:\ttelltail\nVmRSS:\tmany kB\n"), Memory::default());
        assert_eq!(max_fds("Max open files            unlimited            unlimited            files"), None);
        assert_eq!(boot_time("cpu 1 2 3\n"), None);
    }

    #[test]
    fn memory_is_bytes_and_the_soft_limit_counts() {
        let status = "Name:\ttelltail\nUmask:\t0022\nVmSize:\t    9764 kB\nVmRSS:\t    2048 kB\nThreads:\t1\n";
        let expected = Memory { resident: Some(2_097_152.0), virtual_memory: Some(9_998_336.0), threads: Some(1.0) };
        assert_eq!(memory(status), expected);
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             unlimited            unlimited            processes \n\
                      Max open files            1024                 1048576              files     \n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(boot_time("cpu 1 2 3\nintr 5\nbtime 1700000000\nprocesses 9\n"), Some(1_700_000_000.0));
    }

    #[test]
    fn the_descriptor_that_counting_opens_is_not_counted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["0", "1", "2", "3"] {
            fs::write(folder.path().join(name), "").expect("a file");
        }
        assert_eq!(open_fds(folder.path()), Some(3));
        assert_eq!(open_fds(&folder.path().join("absent")), None);
    }
}
