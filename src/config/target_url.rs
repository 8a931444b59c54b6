//! The URL of a target: `postgres://[user@]host[:port][/database][?name=value&…]`, `valkey://host[:port]`,
//! `tcp://host:port`.
//!
//! Hand-written, because the grammar is closed and a general URL parser brings tables for names that MagicDNS does not
//! have. No sentence repeats a part of a URL that may hold a secret. A password may contain any delimiter, so
//! nothing after a suspected one is parsed.

use super::problem::did_you_mean;
use super::url_query::{self, PASSWORD};
use super::{Host, Kind, host};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Longest URL in bytes; a longer one is not a URL.
const LONGEST: usize = 2048;
/// Longest user or database in bytes. Postgres cuts at 63, poolers take more.
const LONGEST_COMPONENT: usize = 255;

/// The parts of a URL; those that were wrong are missing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TargetUrl {
    pub kind: Option<Kind>,
    pub user: Option<String>,
    pub host: Option<Host>,
    pub port: Option<u16>,
    pub database: Option<String>,
    /// In the order of the URL, each at most once.
    pub parameters: Vec<(&'static str, String)>,
}

/// Parses a URL. The second value has a sentence for everything that is wrong with it.
pub(super) fn parse(url: &str) -> (TargetUrl, Vec<String>) {
    let mut parsed = TargetUrl::default();
    match parse_into(url, &mut parsed) {
        Ok(errors) => (parsed, errors),
        Err(sentence) => (parsed, vec![sentence]),
    }
}

/// `Err` where the rest cannot be parsed.
fn parse_into(url: &str, parsed: &mut TargetUrl) -> Result<Vec<String>, String> {
    if url.len() > LONGEST {
        return Err(format!("the URL is longer than {LONGEST} bytes"));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| no_scheme(url))?;
    // Whatever stands before the last `@`: a password may hold any delimiter.
    if rest.rsplit_once('@').is_some_and(|(before, _)| before.contains(':')) {
        return Err(PASSWORD.to_owned());
    }
    let mut errors = Vec::new();
    match kind(scheme) {
        Ok(kind) => parsed.kind = Some(kind),
        Err(sentence) => errors.push(sentence),
    }
    if rest.contains('#') {
        errors.push("a URL with `#` is not supported: write it as `%23` in a name".to_owned());
    }
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let (user, host_port) = authority.rsplit_once('@').map_or((None, authority), |(user, rest)| (Some(user), rest));
    if let Some(user) = user {
        user_part(user, parsed, &mut errors);
    }
    if let Err(sentence) = host_part(host_port, parsed, &mut errors) {
        // This may be the beginning of a password, and the rest of it what follows. The parameters are not
        // read, so the host must not give a name that they may replace.
        parsed.host = None;
        errors.push(sentence);
        return Ok(errors);
    }
    if !path.is_empty() {
        database_part(path, parsed, &mut errors);
    }
    if let Some(query) = query {
        parsed.parameters = url_query::parse(query, &mut errors);
    }
    Ok(errors)
}

fn no_scheme(url: &str) -> String {
    const FORMS: &str = "such as `postgres://db:5432`, `valkey://cache` or `tcp://host:443`";
    if url.contains('@') {
        // A password with a comma or a space in it was cut in two there.
        return "this is not a URL; if it is the rest of a password: telltail needs none, remove it".to_owned();
    }
    format!("this is not a URL {FORMS}")
}

fn kind(scheme: &str) -> Result<Kind, String> {
    if let Some(kind) = Kind::from_scheme(scheme) {
        return Ok(kind);
    }
    let scheme = scheme.to_ascii_lowercase();
    if ["rediss", "valkeys"].contains(&scheme.as_str()) {
        return Err("TLS is not supported yet: use `tcp://`, or `valkey://` where plain text is served".to_owned());
    }
    let known: Vec<&str> = Kind::ALL.into_iter().flat_map(Kind::schemes).copied().collect();
    let suggestion = did_you_mean(&scheme, known.iter().copied());
    Err(format!("the scheme is unknown{suggestion}; known are {}", known.join(", ")))
}

fn user_part(text: &str, parsed: &mut TargetUrl, errors: &mut Vec<String>) {
    match parsed.kind {
        Some(Kind::Postgres) | None => match component("user", text) {
            // An encoded colon: a password that was encoded together with its user.
            Ok(user) if user.contains(':') => errors.push(PASSWORD.to_owned()),
            Ok(user) => parsed.user = Some(user),
            Err(sentence) => errors.push(sentence),
        },
        Some(Kind::Valkey) => {
            errors.push("Valkey is probed without a user (a refused PING is an answer): remove it".to_owned())
        }
        Some(Kind::Tcp) => errors.push("`tcp://` takes no user: remove it".to_owned()),
    }
}

/// `Err` where the port is not a number.
fn host_part(text: &str, parsed: &mut TargetUrl, errors: &mut Vec<String>) -> Result<(), String> {
    // The colons of an IPv6 literal are inside its brackets; what follows `]` is the port.
    let (host, port) = match text.rfind(']') {
        Some(end) => {
            let (host, port) = text.split_at(end + 1);
            (host, (!port.is_empty()).then(|| port.strip_prefix(':').unwrap_or("")))
        }
        None if text.matches(':').count() > 1 => {
            return Err("an IPv6 address needs brackets: `[fd7a:115c:a1e0::1]:5432`".to_owned());
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    match decoded(host).and_then(|host| host::parse(&host)) {
        Ok(host) => parsed.host = Some(host),
        Err(sentence) => errors.push(sentence),
    }
    // `u16` also reads "+1", and a port of `0` cannot be dialled.
    let number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    match (port, parsed.kind) {
        (Some(port), _) => match number(port) {
            Some(0) | None => return Err("the port is not a number from 1 to 65535".to_owned()),
            port => parsed.port = port,
        },
        (None, Some(kind)) if kind.default_port().is_some() => parsed.port = kind.default_port(),
        (None, Some(kind)) => errors.push(format!("`{}://` needs a port", kind.slug())),
        (None, None) => {}
    }
    Ok(())
}

fn database_part(text: &str, parsed: &mut TargetUrl, errors: &mut Vec<String>) {
    match parsed.kind {
        Some(Kind::Postgres) | None => match component("database", text) {
            Ok(database) => parsed.database = Some(database),
            Err(sentence) => errors.push(sentence),
        },
        Some(Kind::Valkey) => errors.push("a PING needs no database: remove what follows the `/`".to_owned()),
        Some(Kind::Tcp) => errors.push("`tcp://` has no path: remove what follows the `/`".to_owned()),
    }
}

fn component(name: &str, text: &str) -> Result<String, String> {
    let component = decoded(text)?;
    if component.is_empty() {
        return Err(format!("the {name} is empty"));
    }
    if component.chars().any(char::is_control) {
        return Err(format!("the {name} has a control character"));
    }
    if component.len() > LONGEST_COMPONENT {
        return Err(format!("the {name} is longer than {LONGEST_COMPONENT} bytes"));
    }
    Ok(component)
}

/// Percent-decoding; `+` stays a plus.
pub(super) fn decoded(text: &str) -> Result<String, String> {
    const BAD_PERCENT: &str =
        "a `%` is followed by two hexadecimal digits and gives UTF-8; a plain `%` is written `%25`";
    // The crate leaves a broken sequence as it is, so it is found here.
    let whole = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|_| text.split('%').skip(1).all(whole));
    decoded.map(Into::into).ok_or_else(|| BAD_PERCENT.to_owned())
}

/// Everything but the unreserved characters encoded, RFC 3986 section 2.3.
pub(super) fn encoded(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}
