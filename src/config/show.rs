//! A configuration as text: the effective YAML, which can be fed back as a file, and the hash of what it says.

use super::keys::{Parameter, Setting, TARGETS, URL};
use super::percent::encoded;
use super::{Config, Depth, Host, Kind, Listen, LogFormat, Target, defaults};
use crate::schedule::fnv1a;
use std::fmt::Write;
use std::time::Duration;

/// The effective configuration as YAML, every default written out. Fed back as a file it gives the same [`Config`].
///
/// There are no secrets in it, because a configuration cannot hold any; users' names are shown.
pub fn show(config: &Config) -> String {
    let mut text = format!("# Effective configuration, hash {}.\n", config.hash);
    for (setting, value, _) in settings(config) {
        let _ = match value {
            Some(value) => writeln!(text, "{}: {value}", setting.key()),
            None => writeln!(text, "# {}: {}", setting.key(), unset(setting)),
        };
    }
    let _ = writeln!(text, "{TARGETS}:");
    for target in &config.targets {
        let _ = writeln!(text, "  - {URL}: {}", quoted(&url(target)));
        for (parameter, value, _) in parameters(target) {
            let _ = writeln!(text, "    {}: {value}", parameter.key());
        }
    }
    text
}

/// 16 hexadecimal digits over what was configured. What equals its default does not count, so that the hash stays the
/// same across a release that adds a setting.
pub(super) fn hash(config: &Config) -> String {
    let mut text = String::new();
    for (setting, value, default) in settings(config) {
        if let (Some(value), false) = (value, default) {
            let _ = writeln!(text, "{}: {value}", setting.key());
        }
    }
    for target in &config.targets {
        let _ = writeln!(text, "{URL}: {}", quoted(&url(target)));
        for (parameter, value, _) in parameters(target).into_iter().filter(|(.., default)| !default) {
            let _ = writeln!(text, "{}: {value}", parameter.key());
        }
    }
    format!("{:016x}", fnv1a(text.as_bytes()))
}

/// The target's URL without its parameters, default port written out.
pub fn url(target: &Target) -> String {
    let mut url = format!("{}://", target.kind.slug());
    if let Some(user) = &target.user {
        url.push_str(&encoded(user));
        url.push('@');
    }
    let _ = match &target.host {
        Host::Ip(std::net::IpAddr::V6(ip)) => write!(url, "[{ip}]:{}", target.port),
        Host::Ip(_) | Host::Name(_) => write!(url, "{}:{}", target.host, target.port),
    };
    if let Some(database) = &target.database {
        url.push('/');
        url.push_str(&encoded(database));
    }
    url
}

/// Each setting with its value as YAML, and whether that is the default. `interval`, `timeout` and `via` are the
/// targets' by now.
fn settings(config: &Config) -> Vec<(Setting, Option<String>, bool)> {
    let socket = config.socket.as_ref().map(|path| quoted(&path.to_string_lossy()));
    let listen = match config.listen {
        Listen::Default => None,
        Listen::At(address) => Some(quoted(&address.to_string())),
    };
    let log_format = match config.log_format {
        LogFormat::Json => "json",
        LogFormat::Text => "text",
    };
    let (readiness, gate) = (config.readiness.slug().to_owned(), config.startup_gate.slug().to_owned());
    let release = config.startup_release;
    vec![
        (Setting::Socket, socket, false),
        (Setting::Listen, listen, false),
        (Setting::Rise, Some(config.rise.to_string()), config.rise == defaults::RISE),
        (Setting::Fall, Some(config.fall.to_string()), config.fall == defaults::FALL),
        (Setting::Readiness, Some(readiness), config.readiness == defaults::READINESS),
        (Setting::StartupGate, Some(gate), config.startup_gate == defaults::STARTUP_GATE),
        (Setting::StartupRelease, Some(duration(release)), release == defaults::STARTUP_RELEASE),
        (Setting::Drain, Some(duration(config.drain)), config.drain == defaults::DRAIN),
        (Setting::Log, Some(quoted(&config.log)), config.log == defaults::LOG),
        (Setting::LogFormat, Some(log_format.to_owned()), config.log_format == defaults::LOG_FORMAT),
    ]
}

fn unset(setting: Setting) -> &'static str {
    if setting == Setting::Listen {
        return "[::]:8245, or 0.0.0.0:8245 where there is no IPv6";
    }
    "/var/run/tailscale/tailscaled.sock or /tmp/tailscaled.sock, whichever answers"
}

fn parameters(target: &Target) -> Vec<(Parameter, String, bool)> {
    let name_is_hosts = match &target.host {
        Host::Name(host) => host.split('.').next() == Some(target.name.as_str()),
        Host::Ip(_) => false,
    };
    let deepest = if target.kind == Kind::Tcp { Depth::Tcp } else { Depth::Protocol };
    vec![
        (Parameter::Name, quoted(&target.name), name_is_hosts),
        (Parameter::Required, target.required.to_string(), target.required),
        (Parameter::Interval, duration(target.interval), target.interval == defaults::INTERVAL),
        (Parameter::Timeout, duration(target.timeout), target.timeout == defaults::TIMEOUT),
        (Parameter::Via, quoted(&target.via.to_string()), target.via == defaults::VIA),
        (Parameter::Depth, target.depth.slug().to_owned(), target.depth == deepest),
        (Parameter::Expect, target.expect.slug().to_owned(), target.expect == defaults::EXPECT),
    ]
}

fn duration(value: Duration) -> String {
    humantime::format_duration(value).to_string()
}

/// A double-quoted scalar; whatever is not printable ASCII is escaped, so that no reader folds or refuses it.
fn quoted(text: &str) -> String {
    let mut yaml = String::with_capacity(text.len() + 2);
    yaml.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(yaml, "\\{c}"),
            ' '..='~' => write!(yaml, "{c}"),
            c => write!(yaml, "\\U{:08X}", u32::from(c)),
        };
    }
    yaml.push('"');
    yaml
}
