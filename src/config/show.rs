//! A configuration as text: the effective YAML, which can be fed back as a file, and the hash of its content.

use super::settings::{TARGETS, URL};
use super::settings_macro::Setting;
use super::syntax::quoted;
use super::target_url::encoded;
use super::{Config, Host, Target};
use crate::stable_hash::fnv1a;
use std::fmt::Write;

/// The effective configuration as YAML, every default written out. Fed back as a file it gives the same [`Config`].
///
/// There are no secrets in it, because a configuration cannot hold any; users' names are shown.
pub fn show(config: &Config) -> String {
    let mut text = format!("# Effective configuration, hash {}.\n", config.hash);
    for setting in Config::SETTINGS {
        let _ = match (setting.yaml)(config) {
            Some(value) => writeln!(text, "{}: {value}", setting.key),
            None => writeln!(text, "# {}: {}", setting.key, (setting.unset)()),
        };
    }
    let _ = writeln!(text, "{TARGETS}:");
    for target in &config.targets {
        let _ = writeln!(text, "  - {URL}: {}", quoted(&url(target)));
        for setting in Target::SETTINGS {
            let _ = writeln!(text, "    {}: {}", setting.key, (setting.yaml)(target).unwrap_or_default());
        }
    }
    text
}

/// 16 hexadecimal digits over what was configured. What equals its default does not count, so that the hash stays the
/// same across a release that adds a setting.
pub(super) fn hash(config: &Config) -> String {
    let mut text = String::new();
    add_changed(&mut text, Config::SETTINGS, config, &Config::with_defaults(Vec::new(), String::new()));
    for target in &config.targets {
        let _ = writeln!(text, "{URL}: {}", quoted(&url(target)));
        let defaults = Target::with_defaults(target.kind, target.host.clone(), target.port, None, None);
        add_changed(&mut text, Target::SETTINGS, target, &defaults);
    }
    format!("{:016x}", fnv1a(text.as_bytes()))
}

fn add_changed<T>(text: &mut String, settings: &[Setting<T>], of: &T, defaults: &T) {
    for setting in settings {
        let value = (setting.yaml)(of);
        if let Some(value) = value.filter(|value| Some(value) != (setting.yaml)(defaults).as_ref()) {
            let _ = writeln!(text, "{}: {value}", setting.key);
        }
    }
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
