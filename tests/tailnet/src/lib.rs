//! A real tailnet on one machine: real tailscaleds in network namespaces around a small control
//! server, with real PostgreSQL and Valkey, and a method for each thing that can go wrong.
//!
//! ```no_run
//! # use std::{process::Command, time::Duration};
//! # use telltail_tailnet::{Mode, Tailnet, Version};
//! # use telltail_testkit::eventually;
//! # async fn example() {
//! let tailnet = Tailnet::start().await;
//! let database = tailnet.node("stackeye-db-prd", Version::V1_102, Mode::Userspace).await;
//! let worker = tailnet.node("worker", Version::V1_102, Mode::Tun).await;
//! let postgres = database.postgres(&[]).await;
//!
//! let telltail = worker.spawn(Command::new("/usr/bin/telltail").arg("run")).await;
//! eventually("ready", Duration::from_secs(10), async || worker.get(8245, "/healthz").await.status == 200).await;
//! postgres.freeze().await;
//! # }
//! ```
//!
//! A [`Tailnet`] is the first process of a PID namespace whose standard input is held by the test.
//! However the test ends, that pipe closes, the lab exits, and the kernel ends every process and
//! every network namespace with it. See `tests/README.md` for how to run and to debug.
//!
//! # Panics
//!
//! Everything here panics with what it could not do. A test has no better way to deal with it, and
//! scenarios read as what happens.

mod agent;
mod lab;
mod localapi;
mod metrics;
mod node;
mod path_bytes;
mod ping;
mod postgres;
mod process;
mod sandbox;
mod shell;
pub mod soak;
mod tailnet;
mod valkey;

pub use agent::{Agent, check, doctor};
pub use lab::program;
pub use localapi::{Dial, HttpResponse};
pub use metrics::{AgentMetrics, ReadyByMode};
pub use node::{Control, Mode, Node, Version};
pub use path_bytes::PathBytes;
pub use ping::Pong;
pub use postgres::Postgres;
pub use process::{NodeProcess, Output, Usage};
pub use sandbox::Sandbox;
pub use shell::run_in_shell;
pub use tailnet::{Login, Region, Tailnet};
pub use valkey::Valkey;
