//! What watches telltail, run by the programs that users run it with: the dashboards' queries and the alerts with a real
//! Prometheus and Alertmanager.

pub mod board;
pub mod faster;
pub mod grafana;
pub mod prometheus;

use std::path::{Path, PathBuf};

/// A file of the project, by its path in there.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
