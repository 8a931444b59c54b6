//! The states tailscaled can be in, and what its ports can do.

use std::net::SocketAddr;

/// How tailscaled attaches to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `--tun=userspace-networking`
    Userspace,
    /// A TUN device.
    Tun,
}

/// The word in `BackendState`.
#[allow(missing_docs, reason = "the words are Tailscale's")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendState {
    NoState,
    NeedsLogin,
    NeedsMachineAuth,
    Stopped,
    Starting,
    Running,
    InUseOtherUser,
    /// A word that no release says yet.
    Other(String),
}

impl BackendState {
    /// As tailscaled writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            BackendState::NoState => "NoState",
            BackendState::NeedsLogin => "NeedsLogin",
            BackendState::NeedsMachineAuth => "NeedsMachineAuth",
            BackendState::Stopped => "Stopped",
            BackendState::Starting => "Starting",
            BackendState::Running => "Running",
            BackendState::InUseOtherUser => "InUseOtherUser",
            BackendState::Other(word) => word,
        }
    }
}

/// What a dial to one port of one peer meets.
#[derive(Clone, Debug)]
pub enum PeerPort {
    /// A server at this local address; if nothing listens there, the dial is refused.
    Forward(SocketAddr),
    /// Nothing listens. What a port is that nobody mentioned.
    Refuse,
    /// No answer, for ever.
    BlackHole,
    /// 101 and then nothing.
    Mute,
    /// tailscaled's "not mine, dial it yourself".
    DialSelf,
    /// 502 with this text after `dial failure: `.
    Fail(String),
}

/// What the sidecar's own resolver does with a name that MagicDNS does not know.
#[derive(Clone, Debug)]
pub enum SystemResolver {
    /// No answer, for ever: what was seen where no resolver could be reached.
    Silent,
    /// Go's error text.
    Fails(String),
}
