//! What is allowed and probably not wanted.

use super::{Config, Target, defaults};
use std::collections::BTreeMap;
use std::time::Duration;

/// A sentence for everything about `config` that a person should think twice about.
pub(super) fn warnings(config: &Config) -> Vec<String> {
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
        &|target| target.timeout < defaults::SHORT_TIMEOUT,
        &format!(
            "the timeout is below {}: when a path fails over from direct to DERP one connect takes 1s or more, and will count as a failure",
            text(defaults::SHORT_TIMEOUT)
        ),
    );
    about(
        &|target| target.interval < defaults::SHORT_INTERVAL,
        &format!("the interval is below {}: fit for tests only", text(defaults::SHORT_INTERVAL)),
    );
    about(
        &|target| target.interval > defaults::LONG_INTERVAL,
        &format!(
            "the interval is above {}: tailscaled lets the peer fall asleep between probes, so the path is often `idle` and each probe wakes it",
            text(defaults::LONG_INTERVAL)
        ),
    );
    about(
        &|target| target.database.is_some() && target.user.is_none(),
        "the database is not used, because only a StartupMessage names one and that needs a user",
    );
    let mut places: BTreeMap<(String, u16), Vec<&str>> = BTreeMap::new();
    for target in &config.targets {
        places.entry((target.host.to_string(), target.port)).or_default().push(&target.name);
    }
    for ((host, port), names) in places.iter().filter(|(_, names)| names.len() > 1) {
        warnings.push(format!("{} are all at {host} port {port}: each is probed on its own", names.join(", ")));
    }
    warnings
}
