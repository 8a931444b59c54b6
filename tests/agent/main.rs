//! The agent in this process against a simulated tailscaled and misbehaving services: what is done to the world, and
//! what then has to be seen.

mod faults;
mod held;
mod life;
mod log;
mod page;
mod paths;
mod reload;
mod rig;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod ways;
