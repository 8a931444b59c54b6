//! What the tests of rules, alerts, runbooks and dashboards share.

mod metrics;
mod program;
mod query;
mod rules;

pub mod dashboard;
pub mod grafana;
pub mod prometheus;
pub mod speed_up;

pub use metrics::{Labels, SCRAPE, metrics};
pub use program::Program;
pub use query::problems;
pub use rules::{Case, Kind, Rule, cases, rules};

use std::path::PathBuf;
use telltail_testkit::repository;

/// A path within the repository.
pub fn in_repository(path: &str) -> PathBuf {
    repository().join(path)
}

/// The text of a file of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
