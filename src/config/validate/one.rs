//! One target: its URL, the keys beside it, what it takes over, and the rules for it.

use super::Timing;
use crate::config::keys::Parameter;
use crate::config::problem::{Problems, shown};
use crate::config::schema::{Given, RawTarget};
use crate::config::target::{self, Draft};
use crate::config::{Depth, Host, Kind, Target, defaults, value};
use std::collections::BTreeMap;
use std::time::Duration;

/// `/healthz?verbose` gives the node's own check this name.
const NODES_NAME: &str = "node";
/// Longest name in bytes: a DNS label, so that a host's first label always fits.
const LONGEST_NAME: usize = 63;

/// One target on its way.
pub(super) struct One<'a> {
    raw: &'a RawTarget,
    draft: Draft,
    given: BTreeMap<Parameter, Given>,
    about: String,
    problems: &'a mut Problems,
}

impl<'a> One<'a> {
    /// Takes the URL apart and puts its parameters and the keys beside it together.
    pub(super) fn new(raw: &'a RawTarget, problems: &'a mut Problems) -> Self {
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

    /// The target, or nothing and at least one problem. `names` maps those of the targets before it to their numbers.
    pub(super) fn resolve(mut self, timing: &Timing, names: &mut BTreeMap<String, usize>) -> Option<Target> {
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
