//! A simulated tailscaled, at a real unix socket, and the services behind its tailnet.
//!
//! [`Tailscaled`] answers the LocalAPI calls `status`, `dial`, `ping`, `watch-ipn-bus`, `derpmap` and `prefs` by the real daemon's
//! rules, from a [`World`] that a test changes while it runs; a call it does not know is a 404 as in reality and is kept for the test
//! to see ([`Tailscaled::unexpected_requests`]). [`Misbehaviour`] replaces or damages its answers. [`services`] holds
//! servers which speak, or refuse to speak, the protocols of the targets.
//!
//! It knows nothing of the agent it is tested against: the JSON is written from Tailscale's own definitions, so that the
//! agent's types cannot agree with themselves. Where it differs from a real tailscaled, it is wrong.

mod answer;
mod bus;
mod clock;
mod connection;
mod derpmap;
mod dial;
mod health;
mod json;
mod listening;
mod misbehaviour;
mod netmap;
mod news;
mod node;
mod peer;
mod ping;
mod plan;
mod prefs;
mod request;
pub mod services;
mod socket;
mod state;
mod status;
mod tailnet;
mod tailscaled;
mod version;
mod wire;
mod world;

pub use health::{Severity, Warning};
pub use listening::Tally;
pub use misbehaviour::{Call, Misbehaviour};
pub use peer::{Crowd, Peer, Service};
pub use request::Request;
pub use socket::Place;
pub use state::{Backend, BackendState, Mode, SystemResolver};
pub use tailscaled::Tailscaled;
pub use version::Version;
pub use world::World;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that failed while holding a lock has said so already; those after it may still read.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
