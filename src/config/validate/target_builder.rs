//! One target: its URL, the keys beside it, the defaults, and the rules for it.

use super::TargetDefaults;
use crate::config::problem::Problems;
use crate::config::raw::{Located, RawTarget};
use crate::config::settings::NAME;
use crate::config::syntax::{Syntax, TargetName};
use crate::config::target_url::{self, TargetUrl};
use crate::config::{Depth, Host, Kind, Target};
use std::collections::BTreeMap;

pub(super) struct TargetBuilder<'a> {
    raw: &'a RawTarget,
    url: TargetUrl,
    /// Parameters of the URL and keys beside it.
    options: BTreeMap<&'static str, Located>,
    /// Keys with a wrong value.
    wrong: Vec<&'static str>,
    /// Begins each problem: "target 2 `db`: ".
    about: String,
    problems: &'a mut Problems,
}

impl<'a> TargetBuilder<'a> {
    /// Parses the URL and puts its parameters and the keys beside it together.
    pub fn new(raw: &'a RawTarget, problems: &'a mut Problems) -> Self {
        let (mut url, errors) = target_url::parse(&raw.url.text);
        let about = format!("target {}: ", raw.number);
        for error in errors {
            problems.add(&raw.url.location, format!("{about}{error}"));
        }
        let mut options = raw.options.clone();
        for (key, text) in url.parameters.drain(..) {
            if let Some(option) = options.get(key) {
                problems.add(&option.location, format!("{about}`{key}` is in the URL and beside it: keep one"));
            } else {
                options.insert(key, Located { location: raw.url.location.clone(), text });
            }
        }
        Self { raw, url, options, wrong: Vec::new(), about, problems }
    }

    /// The target, or nothing and at least one problem. `names` maps those of the targets before it to their numbers.
    pub fn build(mut self, defaults: &TargetDefaults, names: &mut BTreeMap<String, usize>) -> Option<Target> {
        let name = self.name(names);
        if let Some(name) = &name {
            self.about = format!("target {} `{name}`: ", self.raw.number);
        }
        let (kind, host, port) = (self.url.kind, self.url.host.take(), self.url.port);
        // Options are checked even where the URL is wrong, so that every problem is reported at once.
        let mut target = Target::without_url(kind.unwrap_or(Kind::Postgres));
        defaults.apply_to(&mut target);
        for setting in Target::SETTINGS.iter().filter(|setting| setting.key != NAME) {
            let Some(option) = self.options.get(setting.key) else { continue };
            let about = format!("{}`{}`: ", self.about, setting.key);
            if self
                .problems
                .ok_or_report(&option.location, &about, (setting.parse_into)(&mut target, &option.text))
                .is_none()
            {
                self.wrong.push(setting.key);
            }
        }
        self.check_depth(&target);
        self.check_timing(&target, defaults);
        let (user, database) = (self.url.user, self.url.database);
        Some(Target { name: name?, kind: kind?, host: host?, port: port?, user, database, ..target })
    }

    fn name(&mut self, names: &mut BTreeMap<String, usize>) -> Option<String> {
        let (location, name) = match (self.options.get(NAME), &self.url.host) {
            (Some(name), _) => (name.location.clone(), TargetName.parse(&name.text)),
            (None, Some(Host::Name(host))) => {
                (self.raw.url.location.clone(), TargetName.parse(crate::config::first_label(host)))
            }
            (None, Some(Host::Ip(_))) => {
                let sentence = "an IP address needs a name: add `name`, as in `?name=db`";
                (self.raw.url.location.clone(), Err(sentence.to_owned()))
            }
            (None, None) => return None,
        };
        let name = name.and_then(|name| match names.get(&name) {
            Some(other) => Err(format!("the name `{name}` is already used by target {other}: add another `name`")),
            None => Ok(name),
        });
        let name = self.problems.ok_or_report(&location, &self.about, name)?;
        names.insert(name.clone(), self.raw.number);
        Some(name)
    }

    fn check_depth(&mut self, target: &Target) {
        if let Some(option) = self.options.get("depth")
            && (self.url.kind, target.depth) == (Some(Kind::Tcp), Depth::Protocol)
        {
            let sentence = format!("{}`depth`: `tcp://` has no protocol, its depth is `tcp`", self.about);
            self.problems.add(&option.location, sentence);
        }
    }

    fn check_timing(&mut self, target: &Target, defaults: &TargetDefaults) {
        const KEYS: [&str; 2] = ["timeout", "interval"];
        let is_wrong = |key: &&str| {
            let wrong = if self.options.contains_key(key) { &self.wrong } else { &defaults.wrong };
            wrong.contains(key)
        };
        let (interval, timeout) = (target.interval, target.timeout);
        if timeout < interval / 2 || KEYS.iter().any(is_wrong) {
            return;
        }
        let own = KEYS.iter().find_map(|key| self.options.get(key));
        // Without the target's name where it is every target's, so that it is reported once.
        let about = if own.is_some() { self.about.as_str() } else { "" };
        let location =
            own.or_else(|| KEYS.iter().find_map(|key| defaults.raw.settings.get(key))).unwrap_or(&self.raw.url);
        let (t, i) = (humantime::format_duration(timeout), humantime::format_duration(interval));
        let rest = "so that a probe and its retry fit; lower `timeout` or raise `interval`";
        let sentence = format!("{about}the timeout {t} must be less than half the interval {i}, {rest}");
        self.problems.add(&location.location, sentence);
    }
}
