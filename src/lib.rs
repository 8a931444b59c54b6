//! telltail tells, from inside a pod, whether its services answer over the tailnet, how fast and over which path, and
//! if not, whose fault it is.
//!
//! One loop ([`prober`]) reads tailscaled's status ([`tailscale`]), runs the probes that are due ([`probe`]) and records
//! the results in one state ([`state`]). Readers ([`admin`], [`metrics`]) take one snapshot of that state.
//!
//! * [`cli`]: one file per subcommand; `run` prepares what [`agent`] is given
//! * [`config`]: every setting and its default, file, environment, target URLs, validation
//! * [`fleet_load`]: the load that many pods put on each server
//! * [`agent`]: builds the parts, owns every task, drains
//! * [`prober`], [`schedule`], [`bus_watch`]: the loop, when each target is due, and what wakes it in between
//! * [`tailscale`], [`http`]: the few LocalAPI calls that are made, over a small HTTP client
//! * [`probe`]: resolve, connect, protocol
//! * [`node`], [`peer`], [`path`], [`health`], [`diagnose`]: decisions, without I/O and clock
//! * [`reason`], [`command_hint`]: the closed list of failures, and the command to run next
//! * [`network_mode`], [`probe_result`]: words that several of these share
//! * [`shortage`], [`descriptor_budget`]: telltail's own lack of descriptors, ports and memory, and how it is kept from
//! * [`doctor`]: every check for every target, once, and advisories
//! * [`state`]: shared state and its snapshot
//! * [`transition_log`], [`key_expiry_log`], [`metrics`], [`admin`]: what the log, Prometheus and the kubelet get
//! * [`log_queue`]: the log's way to stdout, which never blocks the loop
//! * `duration`, `regular_file`, `slug`, `stable_hash`, `untrusted`: how durations are written, files that never block, enums with
//!   stable names, a hash that no release changes, what is done to text from outside
//! * [`document`]: the snapshot as `/api/v1/status`, the status page and `telltail status` show it

pub mod admin;
pub mod agent;
pub mod bus_watch;
#[cfg(test)]
mod captured_log;
pub mod cli;
pub mod command_hint;
pub mod config;
pub mod descriptor_budget;
pub mod diagnose;
pub mod doctor;
pub mod document;
mod duration;
pub mod fleet_load;
pub mod health;
pub mod http;
pub mod key_expiry_log;
pub mod log_queue;
pub mod metrics;
pub mod network_mode;
pub mod node;
pub mod path;
pub mod peer;
pub mod probe;
pub mod probe_result;
pub mod prober;
pub mod reason;
mod regular_file;
pub mod schedule;
pub mod shortage;
mod slug;
mod stable_hash;
pub mod state;
pub mod tailscale;
pub mod transition_log;
mod untrusted;
