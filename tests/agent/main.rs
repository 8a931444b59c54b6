//! The agent in this process against a simulated tailscaled and misbehaving services: what is done to them, and
//! what then must be seen.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bus;
mod doctor;
mod fault_coverage;
mod fault_table;
mod faults;
#[path = "../support/golden.rs"]
mod golden;
mod harness;
mod lifecycle;
mod log;
mod paths;
mod pooled_connection;
mod prober;
mod questions;
mod reload;
mod series;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod via;
mod witnesses;
