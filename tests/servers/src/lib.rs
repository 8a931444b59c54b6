//! Real servers on loopback, each in every state that a probe can meet, and telltail looking at them.
//!
//! A test starts a server, puts telltail beside it, and names the verdict that telltail must reach:
//!
//! ```no_run
//! # use telltail_servers::{Postgres, Telltail};
//! # async fn example() {
//! let postgres = Postgres::start(&[]).await;
//! let telltail = Telltail::beside(postgres.address());
//! telltail.sees("alive", &[("postgres://HERE", "answering"), ("postgres://HERE?depth=tcp", "connected")]).await;
//! postgres.freeze();
//! telltail.sees("frozen", &[("postgres://HERE", "protocol_timeout service")]).await;
//! # }
//! ```
//!
//! Every row is probed twice: through the simulated tailscaled, as in userspace mode, and by plain TCP, as in TUN mode.
//! The two differ in how a connection ends, and a server's log may tell the difference.
//!
//! `tests/tailnet/install` installs the servers; a test that lacks one fails and says so. Servers run as `nobody` (or as
//! whoever runs the tests, if that is not root), each in a folder of its own, and end with their test, however it ends.
//!
//! # Panics
//!
//! Everything here panics with what it could not do: a test has no better way to deal with it.

mod folder;
mod haproxy;
mod nutcracker;
mod pgbouncer;
mod pgpool;
mod port;
mod postgres;
mod redis;
mod telltail;
mod unprivileged;

pub use haproxy::Haproxy;
pub use nutcracker::Nutcracker;
pub use pgbouncer::PgBouncer;
pub use pgpool::Pgpool;
pub use port::free_port;
pub use postgres::{Postgres, Session};
pub use redis::{Flavour, Redis};
pub use telltail::{DialVia, Probing, Telltail, verdict};
