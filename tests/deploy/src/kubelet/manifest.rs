//! What a kubelet takes from rendered manifests, and what a cluster adds to them.

use std::collections::BTreeMap;

use serde_json::Value;
use telltail_tailnet::Sandbox;

use super::{environment::Fields, volume::Files};
use crate::charts::only;

/// The one Deployment's pod.
pub(super) fn pod_template(manifests: &[Value]) -> &Value {
    &only(manifests, "Deployment")["spec"]["template"]
}

/// Name and namespace of its pod, as the cluster would make them.
pub(super) fn pod_name(manifests: &[Value]) -> (String, String) {
    let metadata = &only(manifests, "Deployment")["metadata"];
    let text = |key: &str| metadata[key].as_str().unwrap_or_else(|| panic!("the Deployment's {key}"));
    (format!("{}-5d4f7c9b8-x2x7q", text("name")), text("namespace").to_owned())
}

/// The ConfigMaps, by name.
pub(super) fn config_maps(manifests: &[Value]) -> BTreeMap<String, Files> {
    let maps = manifests.iter().filter(|manifest| manifest["kind"] == "ConfigMap");
    maps.map(|map| {
        let files = serde_json::from_value(map["data"].clone()).expect("a ConfigMap's data is text");
        (map["metadata"]["name"].as_str().expect("a name").to_owned(), files)
    })
    .collect()
}

/// What the downward API says.
pub(super) fn fields(namespace: &str, sandbox: &Sandbox) -> Fields {
    Fields::from([
        ("metadata.name", sandbox.name().to_owned()),
        ("metadata.namespace", namespace.to_owned()),
        ("metadata.uid", "6f1c3f0e-8f7b-4d6c-9a3e-5b8f0c2d1a47".to_owned()),
        ("spec.nodeName", "node-1".to_owned()),
        ("status.hostIP", "10.99.0.1".to_owned()),
        ("status.podIP", sandbox.ip().to_string()),
    ])
}
