//! telltail tells, from inside a pod, whether its services answer over the tailnet, how fast and over which path, and
//! if not, whose fault it is.
//!
//! One loop ([`prober`]) reads tailscaled's status ([`tailscale`]), runs the probes that are due ([`probe`]) and records
//! what came out in one state ([`state`]). Readers ([`admin`], [`metrics`]) take one snapshot of that state.

pub mod admin;
pub mod config;
pub mod health;
pub mod http;
pub mod node;
pub mod probe;
pub mod reason;
pub mod schedule;
pub mod state;
pub mod tailscale;
