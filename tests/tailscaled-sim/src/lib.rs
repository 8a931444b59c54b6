//! A simulated tailscaled, at a real unix socket, and the services behind its tailnet.
//!
//! [`Tailscaled`] answers the LocalAPI calls `status`, `dial`, `ping`, `watch-ipn-bus`, `derpmap` and `prefs` by the real daemon's
//! rules, from a [`SimState`] that a test changes while it runs; a call it does not know is a 404 as in reality and is kept for the test
//! to see ([`Tailscaled::unexpected_requests`]). [`Misbehaviour`] replaces or damages its answers. [`services`] holds
//! servers which speak, or refuse to speak, the protocols of the targets.
//!
//! It knows nothing of the agent it is tested against: the JSON is written from Tailscale's own definitions, so that the
//! agent's types cannot agree with themselves. Where it differs from a real tailscaled, it is wrong.

mod bus;
mod clock;
mod connection;
mod derpmap;
mod dial;
mod dial_plan;
mod health;
mod http_stream;
mod json;
mod listener;
mod misbehaviour;
mod modes;
mod netmap;
mod notify;
mod peer;
mod peer_status;
mod ping;
mod prefs;
mod request;
mod response;
pub mod services;
mod sim_state;
mod socket_file;
mod status;
mod tailnet;
mod tailscaled;
mod version;

pub use health::{Severity, Warning};
pub use listener::Tally;
pub use misbehaviour::{Call, Misbehaviour};
pub use modes::{BackendState, Mode, PeerPort, SystemResolver};
pub use peer::{Crowd, DnsRecord, Peer, Service};
pub use request::Request;
pub use sim_state::SimState;
pub use socket_file::SocketFile;
pub use tailscaled::Tailscaled;
pub use version::Version;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that failed while holding a lock has said so already; those after it may still read.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
