//! Values that cannot work are refused, and the sentence says what to do.

use serde_json::{Value, json};
use telltail_deploy::tools::{run, telltail};
use telltail_deploy::{Charts, Worker};
use telltail_testkit::repository;

/// (what somebody sets, what helm must say)
const REFUSALS: &[(&[&str], &[&str])] = &[
    (
        &["tailscale.image.tag=latest"],
        &["worker.tailscale.image.tag is \"latest\"", "name a release, such as v1.102.5"],
    ),
    (&["tailscale.agent.image.tag=latest"], &["worker.tailscale.agent.image.tag is \"latest\"", "name a release"]),
    (&["tailscale.image.tag=v1.66.4"], &["v1.66.4: telltail is tested from v1.80 on"]),
    (&["tailscale.image.digest=sha256:abc"], &["/worker/tailscale/image/digest", "does not match pattern"]),
    (
        &["tailscale.socks5="],
        &[
            "userspace is true and names no way for the worker",
            "socks5: localhost:1055",
            "userspace: false",
            "egress.enabled: true",
        ],
    ),
    (&["tailscale.userspace=false"], &["socks5 is set and userspace is false", "leave one of the two out"]),
    (
        &["tailscale.userspace=false", "tailscale.socks5="],
        &["Set worker.tailscale.tailnet", "worker.tailscale.clusterDNS"],
    ),
    (&["tailscale.egress.enabled=true"], &["egress.enabled is true beside another way", "choose one of"]),
    (
        &["tailscale.egress.enabled=true", "tailscale.socks5="],
        &["set worker.tailscale.tailnet", "the operator wants full names"],
    ),
    (
        &[
            "tailscale.egress.enabled=true",
            "tailscale.socks5=",
            "tailscale.tailnet=tail1234.ts.net",
            "tailscale.agent.enabled=false",
            "tailscale.agent.config.targets=null",
        ],
        &["becomes a Service, and there is none"],
    ),
    (&["tailscale.agent.config.targets=null"], &["config.targets is empty", "agent.enabled to false"]),
    (
        &["tailscale.agent.config.targets[0]=mysql://db:3306"],
        &["/worker/tailscale/agent/config/targets/0", "does not match pattern"],
    ),
    (&["tailscale.agent.config.startup_release=300s"], &["write at most 110s, in seconds", "gives up after 120 s"]),
    (&["tailscale.agent.config.startup_release=2m"], &["write at most 110s, in seconds"]),
    (&["tailscale.agent.config.readiness=often"], &["config/readiness", "'strict', 'local', 'observe'"]),
    (&["tailscale.agent.config.reddiness=strict"], &["/worker/tailscale/agent/config", "'reddiness' not allowed"]),
    (&["tailscale.agent.config.socket=/tmp/s"], &["'socket' not allowed"]),
    (&["tailscale.agent.labels.cluster="], &["labels.cluster is not set", "deploy/clusters and deploy/environments"]),
    (&["tailscale.userspce=true"], &["/worker/tailscale'", "'userspce' not allowed"]),
    (&["tailscal.enabled=true"], &["/worker'", "'tailscal' not allowed"]),
    (&["tailscale.authSecretName="], &["authSecretName and authSecretKey name the Secret", "set both"]),
    (&["tailscale.tags[0]=stackeye-worker"], &["/worker/tailscale/tags/0", "does not match pattern"]),
    (&["terminationGracePeriodSeconds=10"], &["/worker/terminationGracePeriodSeconds", "minimum"]),
];

#[test]
fn what_cannot_work_is_refused_with_a_sentence() {
    let charts = Charts::prepare();
    for (values, sentences) in REFUSALS {
        let set: Vec<String> =
            values.iter().flat_map(|value| ["--set".to_owned(), format!("worker.{value}")]).collect();
        let answer = charts.answer(Worker::PRODUCTION, &set.iter().map(String::as_str).collect::<Vec<_>>());
        let stderr = String::from_utf8_lossy(&answer.stderr);
        assert!(!answer.status.success(), "{values:?} is taken");
        for sentence in *sentences {
            assert!(stderr.contains(sentence), "{values:?}: no {sentence:?} in\n{stderr}");
        }
    }
}

#[test]
fn the_schema_knows_telltails_file_as_telltail_does() {
    let schema = repository().join("deploy/helm/stackeye-worker/values.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let mut own: Value = serde_json::from_str(&run(telltail().args(["config", "schema"]))).unwrap();
    for set_by_the_chart in ["socket", "listen"] {
        assert!(own["properties"].as_object_mut().unwrap().remove(set_by_the_chart).is_some());
    }
    // No target at all gets the templates' sentence.
    own["properties"]["targets"].as_object_mut().unwrap().remove("minItems");
    assert_eq!(schema["$defs"]["config"]["properties"], own["properties"]);
    assert_eq!(schema["$defs"]["config"]["additionalProperties"], json!(false));
}
