//! The agent in this process against a simulated tailscaled and misbehaving services: what is done to the world, and
//! what then has to be seen.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bus;
mod doctor;
mod elsewhere;
mod faults;
#[path = "../support/golden.rs"]
mod golden;
mod held;
mod life;
mod log;
mod page;
mod paths;
mod reload;
mod rig;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod ways;
