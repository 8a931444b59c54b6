//! What was written → what holds: defaults, rules, and a problem for everything that breaks one.

use super::problem::{Place, Problems, shown};
use super::schema::{Given, MAX_TARGETS, Parameter, Raw, RawTarget, Setting, TARGETS_VARIABLE};
use super::target::{self, Draft};
use super::{Config, Depth, Host, Kind, Listen, Target, Via, defaults, show, value};
use std::collections::BTreeMap;
use std::time::Duration;

/// `/healthz?verbose` gives the node's own check this name.
const NODES_NAME: &str = "node";
/// Longest name in bytes: a DNS label, so that a host's first label always fits.
const LONGEST_NAME: usize = 63;

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

fn targets(raw: &Raw, timing: &Timing, problems: &mut Problems) -> Option<Vec<Target>> {
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
    let targets: Vec<_> = each.map(|raw| One::new(raw, problems).resolve(timing, &mut names)).collect();
    targets.into_iter().collect()
}

/// One target on its way.
struct One<'a> {
    raw: &'a RawTarget,
    draft: Draft,
    given: BTreeMap<Parameter, Given>,
    about: String,
    problems: &'a mut Problems,
}

impl<'a> One<'a> {
    /// Takes the URL apart and puts its parameters and the keys beside it together.
    fn new(raw: &'a RawTarget, problems: &'a mut Problems) -> Self {
        let (mut draft, faults) = target::parse(&raw.url.text);
        let about = format!("target {}: ", raw.number);
        for fault in faults {
            problems.add(&raw.url.place, format!("{about}{fault}"));
        }
        let mut given = raw.beside.clone();
        for (parameter, text) in draft.parameters.drain(..) {
            if let Some(beside) = given.get(&parameter) {
                let key = parameter.key();
                problems.add(&beside.place, format!("{about}`{key}` is in the URL and beside it: keep one"));
            } else {
                given.insert(parameter, Given { place: raw.url.place.clone(), text });
            }
        }
        Self { raw, draft, given, about, problems }
    }

    fn resolve(mut self, timing: &Timing, names: &mut BTreeMap<String, usize>) -> Option<Target> {
        let name = self.name(names);
        if let Some(name) = &name {
            self.about = format!("target {} `{name}`: ", self.raw.number);
        }
        let required = self.parameter(Parameter::Required, Some(true), value::truth);
        let (interval, timeout) = self.timing(timing);
        let via = self.parameter(Parameter::Via, timing.via, value::via);
        let depth = self.depth();
        let expect = self.parameter(Parameter::Expect, Some(defaults::EXPECT), value::expect);
        Some(Target {
            name: name?,
            kind: self.draft.kind?,
            host: self.draft.host?,
            port: self.draft.port?,
            user: self.draft.user,
            database: self.draft.database,
            required: required?,
            interval: interval?,
            timeout: timeout?,
            via: via?,
            depth: depth?,
            expect: expect?,
        })
    }

    fn parameter<T>(
        &mut self,
        parameter: Parameter,
        default: Option<T>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some(given) = self.given.get(&parameter) else { return default };
        let about = format!("{}`{}`: ", self.about, parameter.key());
        self.problems.keep(&given.place, &about, read(&given.text))
    }

    fn name(&mut self, names: &mut BTreeMap<String, usize>) -> Option<String> {
        let (place, name) = match (self.given.get(&Parameter::Name), &self.draft.host) {
            (Some(given), _) => (given.place.clone(), given.text.clone()),
            (None, Some(Host::Name(host))) => {
                (self.raw.url.place.clone(), host.split('.').next().unwrap_or_default().to_owned())
            }
            (None, Some(Host::Ip(_))) => {
                let sentence = format!("{}an address gives no name: add `name`, as in `?name=db`", self.about);
                self.problems.add(&self.raw.url.place, sentence);
                return None;
            }
            (None, None) => return None,
        };
        let fault = if !is_name(&name) {
            let lower = name.to_lowercase();
            let meant = if is_name(&lower) { format!("; did you mean `{lower}`?") } else { String::new() };
            format!("the name {} is not 1 to {LONGEST_NAME} of `a-z`, `0-9`, `_` and `-`{meant}", shown(&name))
        } else if name == NODES_NAME {
            format!("the name `{NODES_NAME}` is taken by the check of this pod's own node: add another as `name`")
        } else if let Some(other) = names.get(&name) {
            format!("the name `{name}` is that of target {other} already: add another as `name`")
        } else {
            names.insert(name.clone(), self.raw.number);
            return Some(name);
        };
        self.problems.add(&place, format!("{}{fault}", self.about));
        None
    }

    fn timing(&mut self, timing: &Timing) -> (Option<Duration>, Option<Duration>) {
        let interval =
            self.parameter(Parameter::Interval, timing.interval, |text| value::duration(text, &defaults::INTERVALS));
        let timeout =
            self.parameter(Parameter::Timeout, timing.timeout, |text| value::duration(text, &defaults::TIMEOUTS));
        if let (Some(interval), Some(timeout)) = (interval, timeout)
            && timeout >= interval / 2
        {
            let own = [Parameter::Timeout, Parameter::Interval].iter().find_map(|one| self.given.get(one));
            let own = own.map(|given| given.place.clone());
            // Said once where it is every target's.
            let about = if own.is_some() { self.about.as_str() } else { "" };
            let place = own.or_else(|| timing.place.clone()).unwrap_or_else(|| self.raw.url.place.clone());
            let (t, i) = (humantime::format_duration(timeout), humantime::format_duration(interval));
            let rest = "so that a probe and its retry fit; lower `timeout` or raise `interval`";
            self.problems.add(&place, format!("{about}the timeout {t} has to be below half the interval {i}, {rest}"));
        }
        (interval, timeout)
    }

    fn depth(&mut self) -> Option<Depth> {
        let default = self.draft.kind.map(|kind| match kind {
            Kind::Postgres | Kind::Valkey => Depth::Protocol,
            Kind::Tcp => Depth::Tcp,
        });
        let kind = self.draft.kind;
        self.parameter(Parameter::Depth, default, |text| match (value::depth(text)?, kind) {
            (Depth::Protocol, Some(Kind::Tcp)) => Err("`tcp://` speaks no protocol, its depth is `tcp`".to_owned()),
            (depth, _) => Ok(depth),
        })
    }
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}
