//! What `deploy/` holds, looked at with the tools that its users have.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod apiserver;
mod argocd;
mod binary;
mod docs;
mod lint;
mod manifests;
mod plain;
mod policy;
mod refusals;

use serde_json::Value;
use std::sync::LazyLock;
use telltail_deploy::{Charts, Worker};

/// Every worker with what it renders to.
fn workers() -> &'static [(Worker, Vec<Value>)] {
    static WORKERS: LazyLock<Vec<(Worker, Vec<Value>)>> = LazyLock::new(|| {
        let charts = Charts::prepare();
        Worker::all().map(|worker| (worker, charts.render(worker, &[]))).collect()
    });
    &WORKERS
}
