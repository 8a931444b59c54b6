//! Every setting, declared once: key, doc, default, syntax with bounds, and when a change takes effect. Variables, keys
//! of the file, parameters of URLs, JSON Schema, help, `config show`, hash and reload follow from here.

use super::settings_macro::{Setting, SettingKind, settings};
use super::syntax::{
    Boolean, Count, Durations, HostNames, Keywords, ListenAddress, LogLevels, SocketPath, Syntax, TargetName, ViaSyntax,
};
use super::{Depth, Expect, Gate, Host, Kind, Listen, LogFormat, Mode, PageAccess, Via};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

settings! {
    /// Everything `telltail run` needs to know.
    pub struct Config {
        /// What to probe. A loaded configuration has at least one target, and their names are unique.
        targets: Vec<Arc<Target>>,
        /// Hash of what the configuration was made from, hexadecimal: `telltail_config_info`.
        hash: String,
    }

    /// tailscaled's socket.
    socket: Option<PathBuf> = None, SocketPath, NeedsRestart;
    /// Where the HTTP server listens, as ADDRESS:PORT.
    listen: Listen = Listen::Default, ListenAddress, NeedsRestart;
    /// Host names of the status page and document beside the pod's own, separated by commas.
    allowed_hosts: Vec<String> = Vec::new(), HostNames, Reloadable;
    /// Which connections get the status page and document.
    // Those of `kubectl port-forward` and `exec` are from loopback.
    pages: PageAccess = PageAccess::All, Keywords(&PageAccess::ALL, PageAccess::slug), Reloadable;
    /// Consecutive successes after which a down target is up.
    // HAProxy's `rise` and `fall`.
    rise: u32 = 2, Count, Reloadable;
    /// Consecutive failures that take a target down.
    fall: u32 = 3, Count, Reloadable;
    /// How readiness (/healthz) is decided.
    readiness: Mode = Mode::Strict, Keywords(&Mode::ALL, Mode::slug), Reloadable;
    /// What /startupz waits for.
    // An outage of a database must not keep fresh workers from starting, so the default needs the tailnet alone.
    startup_gate: Gate = Gate::Tailnet, Keywords(&Gate::ALL, Gate::slug), NeedsRestart;
    /// When /startupz opens in any case.
    // A kubelet has given up long before an hour.
    startup_release: Duration = seconds(90), Durations(Duration::ZERO..=seconds(3600)), NeedsRestart;
    /// How long the HTTP server goes on after SIGTERM.
    // A native sidecar ends after the workers, so no client remains. The bound is longer than any pod's grace
    // period should be.
    drain: Duration = seconds(2), Durations(Duration::ZERO..=seconds(300)), NeedsRestart;
    /// Log levels, such as info or info,telltail::probe=debug.
    log: String = "info".to_owned(), LogLevels, NeedsRestart;
    /// How a log line is written.
    log_format: LogFormat = LogFormat::Json, Keywords(&LogFormat::ALL, LogFormat::slug), NeedsRestart;
}

settings! {
    /// One service to probe.
    pub struct Target {
        /// The protocol.
        kind: Kind,
        /// Name or address to connect to.
        host: Host,
        /// TCP port.
        port: u16,
        /// Postgres only: the user of the StartupMessage; without it none is sent.
        user: Option<String>,
        /// Postgres only: the database of the StartupMessage.
        database: Option<String>,
    }

    /// Name in labels, paths and logs. Default: the first label of the host.
    name: String = host.first_label().unwrap_or_default().to_owned(), TargetName, PerTarget;
    /// Whether readiness depends on the target.
    required: bool = true, Boolean, PerTarget;
    /// Time from probe to probe.
    // 50 ms is for tests. Beyond an hour it is not monitoring.
    interval: Duration = seconds(10), Durations(Duration::from_millis(50)..=seconds(3600)), TargetDefault;
    /// Longest time for a whole probe; below half the interval.
    // A direct → DERP failover makes one connect take 1 s or more.
    timeout: Duration = seconds(3), Durations(Duration::from_millis(10)..=seconds(1800)), TargetDefault;
    /// How a probe connects: auto, localapi, tcp or socks5://HOST:PORT.
    via: Via = Via::Auto, ViaSyntax, TargetDefault;
    /// How far a probe goes. Default: protocol, and tcp for tcp:// targets.
    depth: Depth = kind.default_depth(), Keywords(&Depth::ALL, Depth::slug), PerTarget;
    /// Expected paths.
    expect: Expect = Expect::Any, Keywords(&Expect::ALL, Expect::slug), PerTarget;
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Targets beyond this are refused: a pod that needs more is not probing its own services.
pub const MAX_TARGETS: usize = 64;
/// The key of the list of targets.
pub(super) const TARGETS: &str = "targets";
/// The variable of the list of targets.
pub const TARGETS_VARIABLE: &str = "TELLTAIL_TARGETS";
/// The key of a target's URL.
pub(super) const URL: &str = "url";
/// The parameter that names a target.
pub(super) const NAME: &str = "name";

/// The keys of the file that have one value, each with a variable.
pub(super) fn setting_keys() -> impl Iterator<Item = &'static str> {
    Config::SETTINGS.iter().map(|setting| setting.key).chain(target_defaults().map(|setting| setting.key))
}

/// The parameters of a target's URL, which are also keys beside `url` in the file.
pub(super) fn parameter_keys() -> impl Iterator<Item = &'static str> {
    Target::SETTINGS.iter().map(|setting| setting.key)
}

/// The settings of targets whose default is a setting too.
pub(super) fn target_defaults() -> impl Iterator<Item = &'static Setting<Target>> {
    Target::SETTINGS.iter().filter(|setting| setting.kind == SettingKind::TargetDefault)
}

/// The variable of a key of the file.
pub(super) fn variable(key: &str) -> String {
    format!("TELLTAIL_{}", key.to_ascii_uppercase())
}

impl Target {
    /// A target without a URL, for the defaults that all targets share.
    pub(super) fn without_url(kind: Kind) -> Self {
        Self::with_defaults(kind, Host::Name(String::new()), 0, None, None)
    }
}
