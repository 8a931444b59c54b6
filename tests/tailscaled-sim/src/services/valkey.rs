//! A Valkey server that knows PING.

use bytes::BytesMut;

use crate::services::{Manner, Script, banners};

/// What it says first, and what it answers to PING and to everything else.
#[derive(Clone, Debug)]
pub struct Valkey {
    greeting: Script,
    ping: Script,
    /// Does its port speak TLS alone?
    tls: bool,
}

/// As real servers word them.
const NOAUTH: &str = "NOAUTH Authentication required.";
const DENIED: &str = "DENIED Valkey is running in protected mode because protected mode is enabled and no password is set \
for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from \
external computers to Valkey you may adopt one of the following solutions: 1) Just disable protected mode.";

impl Valkey {
    /// PONG
    #[must_use]
    pub fn healthy() -> Self {
        Self::answering(Script::say("+PONG\r\n"))
    }

    /// This at every PING.
    #[must_use]
    pub fn answering(ping: Script) -> Self {
        Valkey { greeting: Script::new(), ping, tls: false }
    }

    /// An error at every PING, say `LOADING Valkey is loading the dataset in memory`.
    #[must_use]
    pub fn failing(error: &str) -> Self {
        Self::answering(Script::say(format!("-{error}\r\n")))
    }

    /// Wants a password.
    #[must_use]
    pub fn asking_for_password() -> Self {
        Self::failing(NOAUTH)
    }

    /// Reads its dataset.
    #[must_use]
    pub fn loading() -> Self {
        Self::failing("LOADING Valkey is loading the dataset in memory")
    }

    /// A replica whose primary is away.
    #[must_use]
    pub fn master_down() -> Self {
        Self::failing("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
    }

    /// A script runs and does not end.
    #[must_use]
    pub fn busy() -> Self {
        Self::failing("BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")
    }

    /// Snapshots fail.
    #[must_use]
    pub fn misconf() -> Self {
        Self::failing(
            "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        )
    }

    /// No client slot free: says so at once and hangs up.
    #[must_use]
    pub fn full() -> Self {
        Self::healthy().greeting(Script::say("-ERR max number of clients reached\r\n").close())
    }

    /// Protected mode: a long line at once, then hangs up.
    #[must_use]
    pub fn protected() -> Self {
        Self::healthy().greeting(Script::say(format!("-{DENIED}\r\n")).close())
    }

    /// Accepts and says nothing.
    #[must_use]
    pub fn frozen() -> Self {
        Self::answering(Script::silence())
    }

    /// Speaks TLS alone: answers a ClientHello by an alert, and closes without a byte at everything else, as OpenSSL does.
    #[must_use]
    pub fn tls_only() -> Self {
        Valkey { tls: true, ..Self::healthy() }
    }

    /// Said before the client says anything.
    #[must_use]
    pub fn greeting(self, greeting: Script) -> Self {
        Valkey { greeting, ..self }
    }
}

impl Manner for Valkey {
    fn greeting(&self) -> Script {
        self.greeting.clone()
    }

    fn answer(&self, heard: &mut BytesMut, _: &mut bool) -> Option<Script> {
        if self.tls {
            return match heard[..] {
                [] | [0x16] => None,
                [0x16, 3, ..] => Some(Script::say(banners::TLS).close()),
                _ => Some(Script::new().close()),
            };
        }
        let (command, length) = command(heard)?;
        drop(heard.split_to(length));
        Some(match command.to_ascii_uppercase().as_str() {
            "PING" => self.ping.clone(),
            "QUIT" => Script::say("+OK\r\n").close(),
            "" => Script::new(),
            other => Script::say(format!("-ERR unknown command '{other}'\r\n")),
        })
    }
}

/// The first word of the first command and the command's length, inline or as an array of strings; `None` if more is to come.
fn command(heard: &[u8]) -> Option<(String, usize)> {
    let (first, mut at) = line(heard, 0)?;
    let Some(count) = first.strip_prefix('*') else {
        return Some((first.split_ascii_whitespace().next().unwrap_or_default().to_owned(), at));
    };
    let mut name = String::new();
    for argument in 0..count.parse().unwrap_or(0) {
        let (length, start) = line(heard, at)?;
        let end = start + length.trim_start_matches('$').parse::<usize>().ok()?;
        let text = heard.get(start..end)?;
        (_, at) = line(heard, end)?;
        if argument == 0 {
            name = String::from_utf8_lossy(text).into_owned();
        }
    }
    Some((name, at))
}

/// A line without its end, and where the next one starts.
fn line(heard: &[u8], start: usize) -> Option<(String, usize)> {
    let rest = heard.get(start..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    Some((String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r').to_owned(), start + end + 1))
}
