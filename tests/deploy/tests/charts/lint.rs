//! What the users' own linters say.

use crate::workers;
use serde_json::Value;
use std::collections::BTreeSet;
use telltail_deploy::Charts;
use telltail_deploy::charts::{CLUSTERS, ENVIRONMENTS, Mode};
use telltail_deploy::pod::{list, text};
use telltail_deploy::tools::{built, run, wheel};
use tempfile::TempDir;

/// From the oldest that has native sidecars by itself to the newest that is known.
const KUBERNETES: [&str; 5] = ["1.29", "1.31", "1.33", "1.35", "1.37"];

/// What checkov finds and we mean so.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("CKV_K8S_11", "no CPU limits: a throttled tunnel looks like a slow network"),
    ("CKV_K8S_8", "tailscale and the worker have no liveness probe: a restart mends no network"),
    ("CKV_K8S_9", "telltail alone says when the pod is ready"),
    ("CKV_K8S_15", "tags are exact releases, so that a pull at each start gains nothing"),
    ("CKV_K8S_29", "each container has a security context of its own, which says more than one for all could"),
    ("CKV_K8S_43", "a digest is the user's to add: worker.tailscale.image.digest"),
    ("CKV2_K8S_6", "the network policy is a value: only the user knows what else the worker needs"),
];
/// And in TUN mode.
const TUN: &[(&str, &str)] = &[("CKV_K8S_25", "NET_ADMIN makes the interface")];

#[test]
fn helm_lint_finds_nothing() {
    let charts = Charts::prepare();
    let deploy = charts.deploy();
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

/// Clusters and environments differ in words only, and the newest schemas judge all of them in `apiserver`.
#[test]
fn kubernetes_schemas_of_every_age_take_it() {
    let folder = TempDir::new().unwrap();
    for mode in Mode::ALL {
        let (_, rendered) = workers().iter().find(|(worker, _)| worker.mode == mode).unwrap();
        let own = rendered.iter().filter(|object| !text(&object["apiVersion"]).contains("coreos.com"));
        std::fs::write(folder.path().join(mode.name()), documents(own)).unwrap();
    }
    for version in KUBERNETES {
        let mut validate = wheel("kubernetes-validate");
        run(validate.args(["--strict", "-k", version]).args(Mode::ALL.map(|mode| folder.path().join(mode.name()))));
    }
}

/// The checks that fail.
fn checkov(mode: Mode) -> BTreeSet<String> {
    let folder = TempDir::new().unwrap();
    let (_, rendered) = workers().iter().find(|(worker, _)| worker.mode == mode).unwrap();
    let file = folder.path().join("worker.yaml");
    std::fs::write(&file, documents(rendered.iter())).unwrap();
    let mut checkov = wheel("checkov");
    checkov.args(["--framework", "kubernetes", "--skip-download", "--soft-fail", "--output", "json", "--file"]);
    let report: Value = serde_json::from_str(&run(checkov.arg(&file))).unwrap();
    assert!(report["summary"]["passed"].as_u64() > Some(50), "{}", report["summary"]);
    list(&report["results"]["failed_checks"]).iter().map(|check| text(&check["check_id"]).to_owned()).collect()
}

#[test]
fn checkov_finds_only_what_is_meant() {
    let expected = |exceptions: &[&[(&str, &str)]]| -> BTreeSet<String> {
        exceptions.concat().iter().map(|(check, _)| (*check).to_owned()).collect()
    };
    assert_eq!(checkov(Mode::Userspace), expected(&[EXCEPTIONS]));
    assert_eq!(checkov(Mode::Tun), expected(&[EXCEPTIONS, TUN]));
}

fn documents<'a>(objects: impl Iterator<Item = &'a Value>) -> String {
    objects.map(|object| format!("---\n{object}\n")).collect()
}
