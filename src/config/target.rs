//! The URL of a target: `postgres://[user@]host[:port][/database][?name=value&…]`, `valkey://host[:port]`,
//! `tcp://host:port`.
//!
//! Hand-written, because the grammar is closed and a general URL parser brings tables for names that MagicDNS does not
//! have. No sentence repeats a part of a URL that may hold a secret: a password may contain any delimiter, so wherever
//! one is suspected nothing after it is looked at.

use super::keys::Parameter;
use super::percent::{BAD_PERCENT, decoded};
use super::problem::did_you_mean;
use super::query::{self, PASSWORD};
use super::{Host, Kind, host};

/// Longest URL in bytes; a longer one is not a URL.
const LONGEST: usize = 2048;
/// Longest user or database in bytes. Postgres cuts at 63, poolers take more.
const LONGEST_WORD: usize = 255;

/// What a URL says; parts that were wrong are missing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Draft {
    pub kind: Option<Kind>,
    pub user: Option<String>,
    pub host: Option<Host>,
    pub port: Option<u16>,
    pub database: Option<String>,
    /// In the order of the URL, each at most once.
    pub parameters: Vec<(Parameter, String)>,
}

/// Takes a URL apart. The second part says everything that is wrong with it, in sentences.
pub(super) fn parse(url: &str) -> (Draft, Vec<String>) {
    let mut draft = Draft::default();
    match take_apart(url, &mut draft) {
        Ok(faults) => (draft, faults),
        Err(sentence) => (draft, vec![sentence]),
    }
}

/// `Err` where nothing more can be looked at.
fn take_apart(url: &str, draft: &mut Draft) -> Result<Vec<String>, String> {
    if url.len() > LONGEST {
        return Err(format!("the URL is longer than {LONGEST} bytes"));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| no_scheme(url))?;
    // Whatever stands before the last `@`: a password may hold any delimiter.
    if rest.rsplit_once('@').is_some_and(|(before, _)| before.contains(':')) {
        return Err(PASSWORD.to_owned());
    }
    let mut faults = Vec::new();
    match kind(scheme) {
        Ok(kind) => draft.kind = Some(kind),
        Err(sentence) => faults.push(sentence),
    }
    if rest.contains('#') {
        faults.push("a `#` has no meaning here: write it as `%23` in a name".to_owned());
    }
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let (user, host_port) = authority.rsplit_once('@').map_or((None, authority), |(user, rest)| (Some(user), rest));
    if let Some(user) = user {
        user_part(user, draft, &mut faults);
    }
    if let Err(sentence) = host_part(host_port, draft, &mut faults) {
        // What stands there may be the beginning of a password, and the rest of it what follows. The parameters are not
        // read, so the host must not give a name that they may replace.
        draft.host = None;
        faults.push(sentence);
        return Ok(faults);
    }
    if !path.is_empty() {
        database_part(path, draft, &mut faults);
    }
    if let Some(query) = query {
        draft.parameters = query::parse(query, &mut faults);
    }
    Ok(faults)
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
    match scheme.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => Ok(Kind::Postgres),
        "valkey" | "redis" => Ok(Kind::Valkey),
        "tcp" => Ok(Kind::Tcp),
        "rediss" | "valkeys" => {
            Err("TLS is not spoken yet: use `tcp://`, or `valkey://` where plain text is served".to_owned())
        }
        other => {
            let meant = did_you_mean(other, ["postgres", "postgresql", "valkey", "redis", "tcp"]);
            Err(format!("the scheme is not known{meant}; known are postgres, postgresql, valkey, redis and tcp"))
        }
    }
}

fn user_part(text: &str, draft: &mut Draft, faults: &mut Vec<String>) {
    match draft.kind {
        Some(Kind::Postgres) | None => match word("user", text) {
            // An encoded colon: a password that was encoded together with its user.
            Ok(user) if user.contains(':') => faults.push(PASSWORD.to_owned()),
            Ok(user) => draft.user = Some(user),
            Err(sentence) => faults.push(sentence),
        },
        Some(Kind::Valkey) => {
            faults.push("Valkey is asked without a user (a refused PING is an answer): remove it".to_owned())
        }
        Some(Kind::Tcp) => faults.push("`tcp://` speaks nothing, so it has no user: remove it".to_owned()),
    }
}

/// `Err` where the port is no number.
fn host_part(text: &str, draft: &mut Draft, faults: &mut Vec<String>) -> Result<(), String> {
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
    match decoded(host).ok_or_else(|| BAD_PERCENT.to_owned()).and_then(|host| host::parse(&host)) {
        Ok(host) => draft.host = Some(host),
        Err(sentence) => faults.push(sentence),
    }
    // `u16` also reads "+1", and a port of `0` cannot be dialled.
    let number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    match (port, draft.kind) {
        (Some(port), _) => match number(port) {
            Some(0) | None => return Err("the port is not a number from 1 to 65535".to_owned()),
            port => draft.port = port,
        },
        (None, Some(Kind::Postgres)) => draft.port = Some(5432),
        (None, Some(Kind::Valkey)) => draft.port = Some(6379),
        (None, Some(Kind::Tcp)) => faults.push("`tcp://` needs a port".to_owned()),
        (None, None) => {}
    }
    Ok(())
}

fn database_part(text: &str, draft: &mut Draft, faults: &mut Vec<String>) {
    match draft.kind {
        Some(Kind::Postgres) | None => match word("database", text) {
            Ok(database) => draft.database = Some(database),
            Err(sentence) => faults.push(sentence),
        },
        Some(Kind::Valkey) => faults.push("a PING needs no database: remove what follows the `/`".to_owned()),
        Some(Kind::Tcp) => faults.push("`tcp://` has no path: remove what follows the `/`".to_owned()),
    }
}

fn word(what: &str, text: &str) -> Result<String, String> {
    let word = decoded(text).ok_or_else(|| BAD_PERCENT.to_owned())?;
    if word.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if word.chars().any(char::is_control) {
        return Err(format!("the {what} has a control character"));
    }
    if word.len() > LONGEST_WORD {
        return Err(format!("the {what} is longer than {LONGEST_WORD} bytes"));
    }
    Ok(word)
}
