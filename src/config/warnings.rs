//! Warnings: what is allowed and probably not wanted.

use super::{Config, Target};
use std::collections::BTreeMap;
use std::time::Duration;

/// An interval below this is warned of.
const SHORT_INTERVAL: Duration = Duration::from_secs(1);
/// An interval above this is warned of: the peer sleeps between probes. tailscaled calls a peer active for 45 s after the last
/// packet to it, WireGuard may send a keepalive 10 s after the last answer, and two probes may be a tenth nearer than the interval.
pub const LONG_INTERVAL: Duration = Duration::from_secs(60);
/// A timeout below this is warned of: a direct → DERP failover makes one connect take 1 s or more.
const SHORT_TIMEOUT: Duration = Duration::from_secs(2);

/// A sentence for everything in `config` that is probably not wanted.
pub(super) fn of(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut about = |which: &dyn Fn(&Target) -> bool, sentence: &str| {
        let names: Vec<String> =
            config.targets.iter().filter(|target| which(target)).map(|target| format!("`{}`", target.name)).collect();
        if !names.is_empty() {
            warnings.push(format!("{}: {sentence}", names.join(", ")));
        }
    };
    let text = |duration: Duration| humantime::format_duration(duration).to_string();
    about(
        &|target| target.timeout < SHORT_TIMEOUT,
        &format!(
            "the timeout is below {}: when a path fails over from direct to DERP one connect takes 1s or more, and will count as a failure",
            text(SHORT_TIMEOUT)
        ),
    );
    about(
        &|target| target.interval < SHORT_INTERVAL,
        &format!("the interval is below {}: suitable for tests only", text(SHORT_INTERVAL)),
    );
    about(
        &|target| target.interval > LONG_INTERVAL,
        &format!(
            "the interval is above {}: tailscaled marks the peer idle between probes, so the path is often `idle` and each probe reactivates it",
            text(LONG_INTERVAL)
        ),
    );
    about(
        &|target| target.database.is_some() && target.user.is_none(),
        "the database is not used, because only a StartupMessage names one and that needs a user",
    );
    let mut addresses: BTreeMap<(String, u16), Vec<&str>> = BTreeMap::new();
    for target in &config.targets {
        addresses.entry((target.host.to_string(), target.port)).or_default().push(&target.name);
    }
    for ((host, port), names) in addresses.iter().filter(|(_, names)| names.len() > 1) {
        warnings
            .push(format!("{} have the same address, {host} port {port}: each is probed separately", names.join(", ")));
    }
    warnings
}
