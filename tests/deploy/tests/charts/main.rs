//! What `deploy/` holds, looked at with the tools that its users have.

mod apiserver;
mod argocd;
mod binary;
mod lint;
mod manifests;
mod plain;
mod policy;
mod refusals;

use serde_json::Value;
use std::sync::LazyLock;
use telltail_deploy::{Charts, Worker};

static CHARTS: LazyLock<Charts> = LazyLock::new(Charts::prepare);
static WORKERS: LazyLock<Vec<(Worker, Vec<Value>)>> =
    LazyLock::new(|| Worker::all().map(|worker| (worker, charts().render(worker, &[]))).collect());

fn charts() -> &'static Charts {
    &CHARTS
}

/// Every worker with what it renders to.
fn workers() -> &'static [(Worker, Vec<Value>)] {
    &WORKERS
}
