//! What the users' own linters say.

use crate::{charts, workers};
use serde_json::json;
use std::process::Command;
use telltail_deploy::Worker;
use telltail_deploy::charts::{CLUSTERS, ENVIRONMENTS, Mode};
use telltail_deploy::pod::text;
use telltail_deploy::tools::{built, run, wheel};
use tempfile::TempDir;

/// From the oldest that has native sidecars by itself to the newest that is known.
const KUBERNETES: [&str; 5] = ["1.29", "1.31", "1.33", "1.35", "1.37"];

/// What checkov finds and we mean so.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("CKV_K8S_11", "no CPU limits: a throttled tunnel looks like a slow network"),
    ("CKV_K8S_8", "tailscale and the worker have no liveness probe: a restart mends no network"),
    ("CKV_K8S_9", "telltail alone says when the pod is ready"),
    ("CKV_K8S_43", "a digest is the user's to add: worker.tailscale.image.digest"),
    ("CKV_K8S_15", "tags are exact releases, so that a pull at each start gains nothing"),
    ("CKV_K8S_40", "65531 to 65533 are above 10000"),
    ("CKV2_K8S_6", "the network policy is a value; without the worker's other needs it would cut them"),
];
/// And in TUN mode.
const TUN: &[(&str, &str)] = &[
    ("CKV_K8S_22", "of tailscale alone: none"),
    ("CKV_K8S_23", "a capability of a user other than root does not take effect"),
    ("CKV_K8S_25", "NET_ADMIN makes the interface"),
    ("CKV_K8S_37", "NET_ADMIN makes the interface"),
    ("CKV_K8S_28", "NET_RAW is dropped with all others"),
];

#[test]
fn helm_lint_finds_nothing() {
    let deploy = charts().deploy();
    run(built("helm").args(["lint", "--strict"]).arg(deploy.join("helm/telltail-monitoring")));
    for environment in ENVIRONMENTS {
        for cluster in CLUSTERS {
            let mut helm = built("helm");
            helm.args(["lint", "--strict"]).arg(deploy.join("helm/stackeye-worker"));
            helm.arg("--values").arg(deploy.join(format!("environments/{environment}/values.yaml")));
            helm.arg("--values").arg(deploy.join(format!("clusters/{cluster}.yaml")));
            run(&mut helm);
        }
    }
}

#[test]
fn kubernetes_schemas_of_every_age_take_it() {
    let folder = TempDir::new().unwrap();
    for (number, (_, rendered)) in workers().iter().enumerate() {
        let own = rendered.iter().filter(|object| !text(&object["apiVersion"]).contains("coreos.com"));
        let file = folder.path().join(format!("{number}.yaml"));
        std::fs::write(file, own.map(|object| format!("---\n{object}\n")).collect::<String>()).unwrap();
    }
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for version in KUBERNETES {
        run(wheel("kubernetes-validate").args(["--strict", "-k", version]).args(&files));
    }
}

fn checkov(worker: Worker, exceptions: &[(&str, &str)]) -> String {
    let folder = TempDir::new().unwrap();
    let (_, rendered) = workers().iter().find(|(one, _)| one.mode == worker.mode).unwrap();
    std::fs::write(folder.path().join("worker.json"), json!({"apiVersion": "v1", "kind": "List", "items": rendered}).to_string())
        .unwrap();
    let skipped: Vec<&str> = exceptions.iter().map(|(check, _)| *check).collect();
    let mut checkov: Command = wheel("checkov");
    checkov.args(["--framework", "kubernetes", "--compact", "--quiet", "--skip-download", "--directory"]).arg(folder.path());
    run(checkov.args(["--skip-check", &skipped.join(",")]))
}

#[test]
fn checkov_finds_only_what_is_meant() {
    checkov(Worker::PRODUCTION, EXCEPTIONS);
    checkov(Worker { mode: Mode::Tun, ..Worker::PRODUCTION }, &[EXCEPTIONS, TUN].concat());
}
