//! What holds where nothing is written, and the bounds of what may be written. The figures are the design's ("Timing").

use super::{Expect, Gate, LogFormat, Mode, Via};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Time from probe to probe.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// Longest time for a whole probe: a direct → DERP failover makes one connect take 1 s or more.
pub const TIMEOUT: Duration = Duration::from_secs(3);
/// Successes that bring a target up again (HAProxy's `rise`).
pub const RISE: u32 = 2;
/// Failures that take a target down (HAProxy's `fall`).
pub const FALL: u32 = 3;
/// Readiness mode.
pub const READINESS: Mode = Mode::Strict;
/// A database's outage must not keep fresh workers from starting, so the gate looks at the tailnet alone.
pub const STARTUP_GATE: Gate = Gate::Tailnet;
/// When `/startupz` opens in any case.
pub const STARTUP_RELEASE: Duration = Duration::from_secs(90);
/// Time after SIGTERM: a native sidecar ends after the workers, so nobody is left to wait for.
pub const DRAIN: Duration = Duration::from_secs(2);
/// Way of the connect stage.
pub const VIA: Via = Via::Auto;
/// Paths that are as they should be.
pub const EXPECT: Expect = Expect::Any;
/// Log levels.
pub const LOG: &str = "info";
/// How a log line is written.
pub const LOG_FORMAT: LogFormat = LogFormat::Json;

/// 50 ms is for tests; below a second a warning is given. Beyond an hour it is not monitoring.
pub const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(3600);
/// The upper end is half the longest interval.
pub const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1800);
/// A kubelet has given up long before an hour.
pub const STARTUP_RELEASES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
/// Longer than any pod's grace period should be.
pub const DRAINS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);

/// An interval below this is warned of.
pub const SHORT_INTERVAL: Duration = Duration::from_secs(1);
/// An interval above this is warned of: magicsock forgets a path after 45 s without traffic, so each probe finds it idle.
pub const LONG_INTERVAL: Duration = Duration::from_secs(60);
/// A timeout below this is warned of: a direct → DERP failover makes one connect take 1 s or more.
pub const SHORT_TIMEOUT: Duration = Duration::from_secs(2);
