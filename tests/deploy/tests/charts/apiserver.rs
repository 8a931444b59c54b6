//! Everything that is rendered, judged by a real kube-apiserver.

use crate::workers;
use serde_json::{Value, json};
use std::process::Output;
use telltail_deploy::charts::{ENVIRONMENTS, Mode, objects, only};
use telltail_deploy::tools::{built, run};
use telltail_deploy::{Apiserver, Charts, Worker};
use telltail_testkit::repository;

fn server() -> Apiserver {
    let server = Apiserver::start();
    for environment in ENVIRONMENTS {
        for (namespace, level) in [("stackeye", "restricted"), ("privileged", "privileged")] {
            let namespace = format!("{namespace}-{environment}");
            run(&mut server.kubectl(&["create", "namespace", &namespace]));
            let label = format!("pod-security.kubernetes.io/enforce={level}");
            run(&mut server.kubectl(&["label", "namespace", &namespace, &label]));
        }
    }
    for namespace in ["argocd", "monitoring"] {
        run(&mut server.kubectl(&["create", "namespace", namespace]));
    }
    server
}

/// What is rendered, and its Deployment's pod by itself, for Pod Security judges pods.
fn with_pod(rendered: &[Value]) -> Vec<Value> {
    let template = &only(rendered, "Deployment")["spec"]["template"];
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
    pod["metadata"]["name"] = json!("stackeye-worker-0");
    pod["metadata"]["namespace"] = only(rendered, "Deployment")["metadata"]["namespace"].clone();
    [rendered, &[pod]].concat()
}

/// In a namespace that does not restrict its pods.
fn in_privileged(mut objects: Vec<Value>) -> Vec<Value> {
    for object in &mut objects {
        let namespace = object["metadata"]["namespace"].as_str().unwrap().replace("stackeye", "privileged");
        object["metadata"]["namespace"] = json!(namespace);
    }
    objects
}

fn taken(what: &str, answer: &Output) {
    let (stdout, stderr) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert!(answer.status.success(), "{what}: {stdout}{stderr}");
    assert_eq!(stderr, "", "{what}: the server warns");
}

fn refused(answer: &Output, sentence: &str) {
    let stderr = String::from_utf8_lossy(&answer.stderr);
    assert!(!answer.status.success() && stderr.contains(sentence), "no {sentence:?} in {stderr}");
}

#[test]
fn a_real_apiserver_judges_everything() {
    let server = server();
    every_worker_is_taken_where_pods_are_restricted_but_in_tun_mode(&server);
    all_else_is_taken_too(&server);
    what_schemas_let_pass_is_refused(&server);
}

fn every_worker_is_taken_where_pods_are_restricted_but_in_tun_mode(server: &Apiserver) {
    for (worker, rendered) in workers() {
        let objects = with_pod(rendered);
        if worker.mode == Mode::Tun {
            refused(&server.judge(&objects), "violates PodSecurity \"restricted");
            taken(&format!("{worker:?}"), &server.judge(&in_privileged(objects)));
        } else {
            taken(&format!("{worker:?}"), &server.judge(&objects));
        }
    }
}

fn all_else_is_taken_too(server: &Apiserver) {
    let charts = Charts::prepare();
    let deploy = charts.deploy();
    let mut helm = built("helm");
    helm.args(["template", "telltail"])
        .arg(deploy.join("helm/telltail-monitoring"))
        .args(["--namespace", "monitoring"]);
    taken("telltail-monitoring", &server.judge(&objects(&run(&mut helm))));
    for file in ["argocd/project.yaml", "argocd/workers.yaml", "argocd/monitoring.yaml", "tailnet/secret-template.yaml"]
    {
        let content = std::fs::read_to_string(repository().join("deploy").join(file)).unwrap();
        taken(file, &server.judge(&objects(&content)));
    }
    let policies = ["--set", "worker.tailscale.networkPolicy.enabled=true"];
    taken("network policies", &server.judge(&charts.render(Worker::PRODUCTION, &policies)));
}

fn what_schemas_let_pass_is_refused(server: &Apiserver) {
    let charts = Charts::prepare();
    let spoilt = |place: &str, value: Value| {
        let mut objects = with_pod(&charts.render(Worker::PRODUCTION, &[]));
        let pod = objects.last_mut().unwrap();
        *pod.pointer_mut(place).unwrap_or_else(|| panic!("{place} is not there")) = value;
        server.judge(&objects)
    };
    refused(&spoilt("/spec/initContainers/0/volumeMounts/0/name", json!("no-such-volume")), "Not found");
    refused(&spoilt("/spec/initContainers/1/restartPolicy", Value::Null), "startupProbe");
    refused(&spoilt("/spec/initContainers/1/startupProbe/httpGet/port", json!("no such port")), "port");
    refused(&spoilt("/spec/initContainers/0/securityContext/runAsNonRoot", json!(false)), "PodSecurity");
    refused(&spoilt("/spec/containers/0/securityContext", json!({"privilegd": true})), "unknown field");
}
