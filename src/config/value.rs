//! One value each: from its text to its type, or a sentence that says what it should look like.

use super::problem::{did_you_mean, shown};
use super::{Depth, Expect, Gate, Listen, LogFormat, Mode, Via};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Longest path of a unix socket in bytes: `sun_path` of unix(7) without its NUL.
const LONGEST_SOCKET: usize = 107;

/// A duration with its unit, within bounds.
pub(super) fn duration(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    const FORM: &str = "a duration is written like `10s`, `500ms` or `1m 30s`";
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("{} has no unit: {FORM}", shown(text)));
    }
    let value = humantime::parse_duration(text).map_err(|_| {
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let known = ["ms", "s", "sec", "seconds", "m", "min", "minutes", "h", "hours"];
        format!("{} is not a duration{}; {FORM}", shown(text), did_you_mean(unit, known))
    })?;
    if bounds.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (humantime::format_duration(*bounds.start()), humantime::format_duration(*bounds.end()));
    Err(format!("{} is not between {least} and {most}", shown(text)))
}

/// A count from 1 to 100.
pub(super) fn count(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.then(|| text.parse().ok()).flatten().filter(|count| (1..=100).contains(count));
    count.ok_or_else(|| format!("{} is not a whole number from 1 to 100", shown(text)))
}

/// `true` or `false`, as YAML 1.2 has them.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    word(text, &[(true, "true"), (false, "false")])
}

/// A readiness mode.
pub(super) fn mode(text: &str) -> Result<Mode, String> {
    word(text, &Mode::ALL.map(|mode| (mode, mode.slug())))
}

/// A startup gate.
pub(super) fn gate(text: &str) -> Result<Gate, String> {
    word(text, &[Gate::Tailnet, Gate::Targets, Gate::None].map(|gate| (gate, gate.slug())))
}

/// A depth.
pub(super) fn depth(text: &str) -> Result<Depth, String> {
    word(text, &[Depth::Tcp, Depth::Protocol].map(|depth| (depth, depth.slug())))
}

/// The paths that are as they should be.
pub(super) fn expect(text: &str) -> Result<Expect, String> {
    word(text, &[Expect::Any, Expect::NoDerp, Expect::Direct].map(|expect| (expect, expect.slug())))
}

/// How a log line is written.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    word(text, &[(LogFormat::Json, "json"), (LogFormat::Text, "text")])
}

fn word<T: Copy>(text: &str, words: &[(T, &'static str)]) -> Result<T, String> {
    words.iter().find(|(_, word)| *word == text).map(|(value, _)| *value).ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
        let meant = did_you_mean(text, names.iter().copied());
        format!("{} is none of {}{meant}", shown(text), names.join(", "))
    })
}

/// A way. The proxy's host is never asked of a resolver: that would start threads and leave the tailnet's names.
pub(super) fn via(text: &str) -> Result<Via, String> {
    const FORM: &str = "a proxy is written `socks5://127.0.0.1:1055`, with an IP address or `localhost`";
    let Some(proxy) = text.strip_prefix("socks5://") else {
        if text.contains("://") {
            // A proxy of another kind may carry a password, so nothing of it is repeated.
            return Err(format!("this kind of proxy is not spoken; {FORM}"));
        }
        return word(text, &[(Via::Auto, "auto"), (Via::LocalApi, "localapi"), (Via::Tcp, "tcp")])
            .map_err(|sentence| format!("{sentence}; {FORM}"));
    };
    if proxy.contains('@') {
        return Err("the proxy's URL holds a user or a password: telltail cannot sign in there, remove it".to_owned());
    }
    let (host, port) = proxy.rsplit_once(':').ok_or_else(|| format!("the proxy has no port; {FORM}"))?;
    let address = match host {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse(),
    };
    let address = address.map_err(|_| format!("the proxy's host is not an IP address; {FORM}"))?;
    match port.parse() {
        Ok(port) if port > 0 => Ok(Via::Socks5(SocketAddr::new(address, port))),
        _ => Err("the proxy's port is not a number from 1 to 65535".to_owned()),
    }
}

/// Where to listen; port 0 lets the kernel choose.
pub(super) fn listen(text: &str) -> Result<Listen, String> {
    text.parse()
        .map(Listen::At)
        .map_err(|_| format!("{} is not an address with a port: write `0.0.0.0:8245` or `[::]:8245`", shown(text)))
}

/// The path of tailscaled's socket.
pub(super) fn socket(text: &str) -> Result<PathBuf, String> {
    if !text.starts_with('/') {
        return Err(format!("{} is not an absolute path", shown(text)));
    }
    if text.len() > LONGEST_SOCKET {
        return Err(format!("the path is {} bytes long, a socket's has at most {LONGEST_SOCKET}", text.len()));
    }
    if text.contains('\0') {
        return Err("the path has a NUL in it".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// Log levels: `info`, or `info,telltail::probe=debug`.
///
/// `tracing_subscriber` takes a misspelt level for the name of a module with everything switched on, so the words are
/// looked at here.
pub(super) fn log(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',').map(str::trim) {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            let meant = did_you_mean(level, LEVELS);
            return Err(format!("{} is none of {}{meant}", shown(level), LEVELS.join(", ")));
        }
    }
    match text.parse::<tracing_subscriber::filter::Targets>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("{} is not a list of levels such as `info,telltail::probe=debug`", shown(text))),
    }
}
