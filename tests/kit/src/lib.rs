//! What every layer of telltail's tests needs: waiting for a condition, processes, the programs that are tested or tested
//! with, and a reader of metrics pages. It knows nothing of telltail's code.
//!
//! # Panics
//!
//! Everything here panics with what it could not do: a test has no better way to deal with it.

mod metrics;
pub mod postgres;
mod process;
mod programs;
pub mod valkey;
mod wait;

pub use metrics::{MetricsPage, Sample, is_metric_name};
pub use process::{Process, Signal};
pub use programs::{debian_program, installed_program, repository, target_folder, telltail};
pub use wait::{PATIENCE, eventually, eventually_some};
