//! The charts, rendered by helm.

use crate::tools::{built, output, run};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};
use telltail_testkit::repository;
use tempfile::TempDir;

/// The clusters, as `deploy/clusters` names them.
pub const CLUSTERS: [&str; 2] = ["nyc3", "sfo3"];
/// The environments, as `deploy/environments` names them.
pub const ENVIRONMENTS: [&str; 3] = ["dev", "stg", "prd"];

/// A way to run the worker: a file in the worker chart's `ci/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// SOCKS5 in userspace mode.
    Userspace,
    /// TUN mode.
    Tun,
    /// The operator's egress proxies.
    Egress,
    /// telltail watches and never blocks.
    Observe,
    /// The Tailscale sidecar without telltail.
    AgentOff,
}

impl Mode {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Userspace, Self::Tun, Self::Egress, Self::Observe, Self::AgentOff];

    /// Its name in `ci/`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Userspace => "userspace",
            Self::Tun => "tun",
            Self::Egress => "egress",
            Self::Observe => "observe",
            Self::AgentOff => "agent-off",
        }
    }
}

/// One release of the worker chart.
#[derive(Clone, Copy, Debug)]
pub struct Worker {
    /// One of [`CLUSTERS`].
    pub cluster: &'static str,
    /// One of [`ENVIRONMENTS`].
    pub environment: &'static str,
    /// How it runs.
    pub mode: Mode,
}

impl Worker {
    /// StackEye's own way, where it matters most.
    pub const PRODUCTION: Self = Self { cluster: "nyc3", environment: "prd", mode: Mode::Userspace };

    /// Every cluster × environment × mode.
    pub fn all() -> impl Iterator<Item = Self> {
        CLUSTERS.into_iter().flat_map(|cluster| {
            ENVIRONMENTS
                .into_iter()
                .flat_map(move |environment| Mode::ALL.into_iter().map(move |mode| Self { cluster, environment, mode }))
        })
    }

    /// Has its pod a telltail?
    pub fn has_telltail(self) -> bool {
        self.mode != Mode::AgentOff
    }

    /// The namespace that the ApplicationSet gives it.
    pub fn namespace(self) -> String {
        format!("stackeye-{}", self.environment)
    }
}

/// A copy of `deploy/` with the dependencies of its charts in place, so that nothing is written into the project.
#[derive(Debug)]
pub struct Charts(TempDir);

impl Charts {
    /// Copies the charts and what they link to, and lets helm put the library into those that use it.
    ///
    /// # Panics
    /// When helm is missing or refuses.
    pub fn prepare() -> Self {
        let charts = Self(TempDir::new().expect("a temporary folder"));
        run(Command::new("cp")
            .arg("-a")
            .args([repository().join("deploy"), repository().join("dashboards")])
            .arg(charts.0.path()));
        for chart in ["stackeye-worker", "telltail-monitoring"] {
            run(built("helm").args(["dependency", "build"]).arg(charts.deploy().join("helm").join(chart)));
        }
        charts
    }

    /// The copy of `deploy/`.
    pub fn deploy(&self) -> PathBuf {
        self.0.path().join("deploy")
    }

    /// The objects of a worker, with more arguments for `helm template`.
    ///
    /// # Panics
    /// When helm refuses.
    pub fn render(&self, worker: Worker, more: &[&str]) -> Vec<Value> {
        objects(&run(&mut self.template(worker, more)))
    }

    /// What helm says to more arguments.
    pub fn answer(&self, worker: Worker, more: &[&str]) -> Output {
        output(&mut self.template(worker, more))
    }

    /// `helm template` of a worker, as the ApplicationSet has it rendered.
    pub fn template(&self, worker: Worker, more: &[&str]) -> Command {
        let deploy = self.deploy();
        let chart = deploy.join("helm/stackeye-worker");
        let mut helm = built("helm");
        helm.args(["template", "stackeye-worker"]).arg(&chart).args(["--namespace", &worker.namespace()]);
        helm.arg("--values").arg(deploy.join(format!("environments/{}/values.yaml", worker.environment)));
        helm.arg("--values").arg(deploy.join(format!("clusters/{}.yaml", worker.cluster)));
        helm.arg("--values").arg(chart.join(format!("ci/{}-values.yaml", worker.mode.name())));
        helm.args(more);
        helm
    }
}

/// The objects of a stream of YAML documents; empty documents are left out.
///
/// # Panics
/// When it is not YAML.
pub fn objects(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The one object of this kind.
///
/// # Panics
/// When there is none, or more.
pub fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "objects of kind {kind}");
    found[0]
}
