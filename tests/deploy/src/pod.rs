//! A rendered pod, looked at by its parts.

use serde_json::{Value, json};

/// A pod's spec.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a>(pub &'a Value);

impl<'a> Pod<'a> {
    /// The pod of a rendered worker.
    ///
    /// # Panics
    /// When there is not one Deployment.
    pub fn of(objects: &'a [Value]) -> Self {
        Self(&crate::charts::only(objects, "Deployment")["spec"]["template"]["spec"])
    }

    /// The containers in the order in which they start.
    pub fn containers(self) -> impl Iterator<Item = Container<'a>> {
        [&self.0["initContainers"], &self.0["containers"]].into_iter().flat_map(list).map(Container)
    }

    /// The container of this name, if the pod has it.
    pub fn container(self, name: &str) -> Option<Container<'a>> {
        self.containers().find(|container| container.name() == name)
    }

    /// The volume of this name.
    pub fn volume(self, name: &str) -> Option<&'a Value> {
        list(&self.0["volumes"]).iter().find(|volume| volume["name"] == name)
    }
}

/// A container of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a>(pub &'a Value);

impl<'a> Container<'a> {
    /// Its name.
    pub fn name(self) -> &'a str {
        text(&self.0["name"])
    }

    /// Its variables; one that comes from the pod's fields has the field's path as its value.
    pub fn env(self) -> Vec<(&'a str, &'a str)> {
        let value = |one: &'a Value| {
            let from = &one["valueFrom"];
            text(if from.is_null() { &one["value"] } else { &from["fieldRef"]["fieldPath"] })
        };
        list(&self.0["env"]).iter().map(|one| (text(&one["name"]), value(one))).collect()
    }

    /// One of its variables.
    pub fn variable(self, name: &str) -> Option<&'a str> {
        self.env().into_iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// What it mounts.
    pub fn mounts(self) -> &'a [Value] {
        list(&self.0["volumeMounts"])
    }

    /// How it mounts the volume of this name.
    pub fn mount(self, volume: &str) -> Option<&'a Value> {
        self.mounts().iter().find(|mount| mount["name"] == volume)
    }

    /// Its probes with their names.
    pub fn probes(self) -> impl Iterator<Item = (&'static str, &'a Value)> {
        ["startupProbe", "readinessProbe", "livenessProbe"]
            .into_iter()
            .map(move |kind| (kind, &self.0[kind]))
            .filter(|(_, probe)| !probe.is_null())
    }

    /// Has it a port of this name?
    pub fn has_port(self, name: &str) -> bool {
        list(&self.0["ports"]).iter().any(|port| port["name"] == name)
    }

    /// Does Pod Security "restricted" accept it, with a read-only root and numbers for its user and group?
    pub fn is_restricted(self) -> bool {
        let context = &self.0["securityContext"];
        context["runAsNonRoot"] == true
            && context["runAsUser"].as_u64().is_some_and(|uid| uid > 0)
            && context["runAsGroup"].as_u64().is_some_and(|gid| gid > 0)
            && context["allowPrivilegeEscalation"] == false
            && context["readOnlyRootFilesystem"] == true
            && context["capabilities"] == json!({"drop": ["ALL"]})
            && context["seccompProfile"]["type"] == "RuntimeDefault"
    }
}

/// The elements of a list, none where there is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text, empty where there is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
