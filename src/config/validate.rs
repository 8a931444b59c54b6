//! What was written → what holds: defaults, rules, and a problem for everything that breaks one.

mod one;

use super::keys::{MAX_TARGETS, Setting, TARGETS_VARIABLE};
use super::problem::{Place, Problems};
use super::schema::Raw;
use super::{Config, Listen, Target, Via, defaults, show, value};
use one::One;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The configuration, or nothing and at least one problem.
pub(super) fn resolve(raw: &Raw, problems: &mut Problems) -> Option<Config> {
    let timing = Timing::of_all(raw, problems);
    let targets = targets(raw, &timing, problems);
    let mut read = Reader { raw, problems };
    let socket = read.optional(Setting::Socket, value::socket);
    let listen = read.setting(Setting::Listen, Listen::Default, value::listen);
    let rise = read.setting(Setting::Rise, defaults::RISE, value::count);
    let fall = read.setting(Setting::Fall, defaults::FALL, value::count);
    let readiness = read.setting(Setting::Readiness, defaults::READINESS, value::mode);
    let startup_gate = read.setting(Setting::StartupGate, defaults::STARTUP_GATE, value::gate);
    let release = |text: &str| value::duration(text, &defaults::STARTUP_RELEASES);
    let startup_release = read.setting(Setting::StartupRelease, defaults::STARTUP_RELEASE, release);
    let drain = read.setting(Setting::Drain, defaults::DRAIN, |text| value::duration(text, &defaults::DRAINS));
    let log = read.setting(Setting::Log, defaults::LOG.to_owned(), value::log);
    let log_format = read.setting(Setting::LogFormat, defaults::LOG_FORMAT, value::log_format);
    let mut config = Config {
        targets: targets?,
        socket: socket?,
        listen: listen?,
        rise: rise?,
        fall: fall?,
        readiness: readiness?,
        startup_gate: startup_gate?,
        startup_release: startup_release?,
        drain: drain?,
        log: log?,
        log_format: log_format?,
        hash: String::new(),
    };
    config.hash = show::hash(&config);
    Some(config)
}

struct Reader<'a> {
    raw: &'a Raw,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    /// The value; `default` where none is written; nothing where it is wrong.
    fn setting<T>(&mut self, setting: Setting, default: T, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.optional(setting, read).map(|value| value.unwrap_or(default))
    }

    fn optional<T>(&mut self, setting: Setting, read: impl Fn(&str) -> Result<T, String>) -> Option<Option<T>> {
        let Some(given) = self.raw.settings.get(&setting) else { return Some(None) };
        // A variable's name says what it is about.
        let about = match given.place {
            Place::Variable(_) => String::new(),
            Place::File { .. } => format!("`{}`: ", setting.key()),
        };
        self.problems.keep(&given.place, &about, read(&given.text)).map(Some)
    }
}

/// What the targets take over; nothing where it is wrong, so that its consequences are not reported too.
struct Timing {
    interval: Option<Duration>,
    timeout: Option<Duration>,
    via: Option<Via>,
    /// Where the two durations are written, if they are.
    place: Option<Place>,
}

impl Timing {
    fn of_all(raw: &Raw, problems: &mut Problems) -> Self {
        let mut read = Reader { raw, problems };
        let interval =
            read.setting(Setting::Interval, defaults::INTERVAL, |text| value::duration(text, &defaults::INTERVALS));
        let timeout =
            read.setting(Setting::Timeout, defaults::TIMEOUT, |text| value::duration(text, &defaults::TIMEOUTS));
        let via = read.setting(Setting::Via, defaults::VIA, value::via);
        let place = [Setting::Timeout, Setting::Interval].iter().find_map(|one| raw.settings.get(one));
        Self { interval, timeout, via, place: place.map(|given| given.place.clone()) }
    }
}

fn targets(raw: &Raw, timing: &Timing, problems: &mut Problems) -> Option<Vec<Arc<Target>>> {
    let nowhere = Place::Variable(TARGETS_VARIABLE.to_owned());
    let place = raw.targets_at.as_ref().unwrap_or(&nowhere);
    if raw.targets.is_empty() && !raw.incomplete {
        problems.add(place, "there are no targets: name at least one, such as `postgres://db:5432`");
    }
    if raw.targets.len() > MAX_TARGETS {
        problems.add(place, format!("there are {} targets, the most is {MAX_TARGETS}", raw.targets.len()));
    }
    let mut names = BTreeMap::new();
    let each = raw.targets.iter().take(MAX_TARGETS);
    let targets: Vec<_> = each.map(|raw| One::new(raw, problems).resolve(timing, &mut names).map(Arc::new)).collect();
    targets.into_iter().collect()
}
