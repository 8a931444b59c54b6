//! A PostgreSQL server, as far as one sees it without a password.

use bytes::{Buf, BytesMut};

use crate::services::{Manner, Script, messages};

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;
/// `MAX_STARTUP_PACKET_LENGTH`
const LONGEST_STARTUP: usize = 10_000;

/// What it answers to each kind of first packet. The constructors are servers one meets; the methods change one answer.
#[derive(Clone, Debug)]
pub struct Postgres {
    greeting: Script,
    gssenc: Script,
    ssl: Script,
    startup: Script,
}

impl Postgres {
    /// Accepts connections and asks for a password (SCRAM). No GSS, no TLS.
    #[must_use]
    pub fn asking_for_password() -> Self {
        let startup = Script::say(messages::sasl());
        Postgres { greeting: Script::new(), gssenc: Script::say("N"), ssl: Script::say("N"), startup }
    }

    /// Lets everybody in.
    #[must_use]
    pub fn trusting() -> Self {
        let ready = [
            messages::message(b'R', &0_u32.to_be_bytes()),
            messages::message(b'S', b"server_version\x0015.9\0"),
            messages::message(b'K', b"\0\0\x10\x92\x12\x34\x56\x78"),
            messages::message(b'Z', b"I"),
        ];
        Self::asking_for_password().startup(Script::say(ready.concat()))
    }

    /// Ends a login with this SQLSTATE and text.
    #[must_use]
    pub fn refusing(sqlstate: &str, text: &str) -> Self {
        Self::asking_for_password().startup(Script::say(messages::error(sqlstate, text)).close())
    }

    /// 57P03 while it recovers.
    #[must_use]
    pub fn starting() -> Self {
        Self::refusing("57P03", "the database system is starting up")
    }

    /// 53300: no slot free.
    #[must_use]
    pub fn full() -> Self {
        Self::refusing("53300", "sorry, too many clients already")
    }

    /// 57P03 on its way out.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::refusing("57P03", "the database system is shutting down")
    }

    /// A release before 12, which takes a GSSENCRequest for a protocol it does not speak.
    #[must_use]
    pub fn before_12() -> Self {
        let text = "unsupported frontend protocol 1234.5680: server supports 2.0 to 3.0";
        Self::asking_for_password().gssenc(Script::say(messages::error("0A000", text)).close())
    }

    /// The same at every packet.
    #[must_use]
    pub fn always(script: &Script) -> Self {
        Postgres { greeting: Script::new(), gssenc: script.clone(), ssl: script.clone(), startup: script.clone() }
    }

    /// Accepts and says nothing, as a frozen server does.
    #[must_use]
    pub fn frozen() -> Self {
        Self::always(&Script::silence())
    }

    /// Said before the client says anything.
    #[must_use]
    pub fn greeting(self, greeting: Script) -> Self {
        Postgres { greeting, ..self }
    }

    /// Response to a GSSENCRequest.
    #[must_use]
    pub fn gssenc(self, gssenc: Script) -> Self {
        Postgres { gssenc, ..self }
    }

    /// Response to an SSLRequest.
    #[must_use]
    pub fn ssl(self, ssl: Script) -> Self {
        Postgres { ssl, ..self }
    }

    /// Response to a StartupMessage.
    #[must_use]
    pub fn startup(self, startup: Script) -> Self {
        Postgres { startup, ..self }
    }

    fn first_packet(&self, heard: &mut BytesMut, begun: &mut bool) -> Option<Script> {
        let length = usize::try_from((&heard[..]).try_get_u32().ok()?).unwrap_or(usize::MAX);
        // The real one logs "invalid length of startup packet" and hangs up.
        if !(8..=LONGEST_STARTUP).contains(&length) {
            return Some(Script::new().close());
        }
        if heard.len() < length {
            return None;
        }
        let packet = heard.split_to(length);
        match (&packet[4..]).get_u32() {
            GSSENC => Some(self.gssenc.clone()),
            SSL => Some(self.ssl.clone()),
            CANCEL => Some(Script::new().close()),
            version if version >> 16 == 3 => {
                *begun = true;
                Some(self.startup.clone())
            }
            _ => Some(Script::say(messages::error("0A000", "unsupported frontend protocol")).close()),
        }
    }
}

impl Manner for Postgres {
    fn greeting(&self) -> Script {
        self.greeting.clone()
    }

    fn answer(&self, heard: &mut BytesMut, begun: &mut bool) -> Option<Script> {
        if !*begun {
            return self.first_packet(heard, begun);
        }
        let kind = *heard.first()?;
        let length = usize::try_from((&heard[1..]).try_get_u32().ok()?).unwrap_or(usize::MAX);
        let whole = length.saturating_add(1);
        if heard.len() < whole {
            return None;
        }
        drop(heard.split_to(whole));
        Some(match kind {
            b'X' => Script::new().close(),
            b'p' => Script::say(messages::error("28P01", "password authentication failed")).close(),
            _ => Script::new(),
        })
    }
}
