//! What is there for those without Helm or without the Prometheus Operator.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use telltail_deploy::charts::objects;
use telltail_deploy::pod::{list, text};
use telltail_deploy::tools::run;
use telltail_deploy::{Charts, Worker};
use telltail_testkit::repository;
use tempfile::TempDir;

const HEADER: &str = "\
# StackEye's worker in prd on nyc3, for `kubectl apply`. Rendered from the chart with deploy/plain/values.yaml; change it
# there and run `UPDATE_GOLDEN=1 cargo test -p telltail-deploy plain`.
";

#[test]
fn the_plain_manifest_is_the_charts() {
    let charts = Charts::prepare();
    let values = charts.deploy().join("plain/values.yaml");
    let rendered = run(&mut charts.template(Worker::PRODUCTION, &["--values", &values.to_string_lossy()]));
    let rendered = format!("{HEADER}{}", rendered.replace("managed-by: Helm", "managed-by: kubectl"));
    let file = repository().join("deploy/plain/stackeye-worker.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &rendered).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        kept == rendered,
        "not current: run `UPDATE_GOLDEN=1 cargo test -p telltail-deploy plain` and read the diff"
    );
    let kinds: Vec<Value> = objects(&kept).into_iter().map(|object| object["kind"].clone()).collect();
    assert_eq!(kinds, ["PodDisruptionBudget", "ConfigMap", "Deployment"]);
}

/// A container's port, as Prometheus finds it in a cluster.
fn discovered(namespace: &str, pod: &str, port: &str, phase: &str) -> Value {
    json!({"targets": [format!("10.0.0.1:{}", if port == "telltail" { 8245 } else { 80 })], "labels": {
        "__meta_kubernetes_namespace": namespace,
        "__meta_kubernetes_pod_name": pod,
        "__meta_kubernetes_pod_phase": phase,
        "__meta_kubernetes_pod_container_init": "true",
        "__meta_kubernetes_pod_container_port_name": port,
    }})
}

/// Debian builds Prometheus without Kubernetes' discovery, so the pods come from a file; the rest is Prometheus' own work.
#[test]
fn plain_prometheus_finds_telltails_and_labels_them() {
    let folder = TempDir::new().unwrap();
    let pods = json!([
        discovered("stackeye-prd", "stackeye-worker-a", "telltail", "Running"),
        discovered("stackeye-dev", "stackeye-worker-b", "telltail", "Pending"),
        discovered("stackeye-dev", "stackeye-worker-c", "telltail", "Failed"),
        discovered("stackeye-dev", "web", "http", "Running"),
    ]);
    std::fs::write(folder.path().join("pods.json"), pods.to_string()).unwrap();
    let kept = std::fs::read_to_string(repository().join("deploy/plain/scrape-config.yaml")).unwrap();
    let cluster = "    kubernetes_sd_configs:\n      - role: pod\n";
    assert!(kept.contains(cluster), "{kept}");
    let from_file = "    file_sd_configs:\n      - files: [pods.json]\n";
    std::fs::write(folder.path().join("prometheus.yml"), kept.replace(cluster, from_file)).unwrap();
    let promtool = || {
        let mut command = Command::new("promtool");
        command.current_dir(folder.path());
        command
    };
    run(promtool().args(["check", "config", "prometheus.yml"]));
    let found = run(promtool().args(["check", "service-discovery", "--timeout=2s", "prometheus.yml", "telltail"]));
    let found: Value = serde_json::from_str(&found).unwrap();
    let scraped: BTreeMap<&str, [&str; 4]> = list(&found)
        .iter()
        .map(|target| &target["labels"])
        .filter(|labels| !labels["instance"].is_null())
        .map(|labels| {
            (text(&labels["pod"]), ["job", "cluster", "environment", "namespace"].map(|name| text(&labels[name])))
        })
        .collect();
    let expected = [
        ("stackeye-worker-a", ["telltail", "nyc3", "prd", "stackeye-prd"]),
        ("stackeye-worker-b", ["telltail", "nyc3", "dev", "stackeye-dev"]),
    ];
    assert_eq!(scraped, BTreeMap::from(expected));
}
