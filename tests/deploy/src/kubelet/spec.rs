//! What a kubelet reads of a pod. A field that is not here stops the test: what would be ignored in silence proves nothing.

use serde::{Deserialize, de::IgnoredAny};

/// A pod's `spec`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PodSpec {
    #[serde(default)]
    pub init_containers: Vec<Container>,
    pub containers: Vec<Container>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    pub termination_grace_period_seconds: u64,
    /// There is no API server here whose token could be mounted.
    #[serde(rename = "automountServiceAccountToken")]
    _automount_service_account_token: No,
    #[serde(default)]
    pub dns_policy: DnsPolicy,
    #[serde(default)]
    pub dns_config: DnsConfig,
}

/// A boolean that must be `false`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "bool")]
pub(super) struct No;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Container {
    pub name: String,
    pub image: String,
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: Vec<EnvVar>,
    #[serde(default)]
    pub ports: Vec<Port>,
    pub restart_policy: Option<RestartPolicy>,
    pub startup_probe: Option<ProbeSpec>,
    pub readiness_probe: Option<ProbeSpec>,
    pub liveness_probe: Option<ProbeSpec>,
    #[serde(default)]
    pub volume_mounts: Vec<VolumeMount>,
    pub security_context: SecurityContext,
    /// Not enforced: it needs control groups of a node's own.
    #[serde(rename = "resources")]
    _resources: IgnoredAny,
}

/// An init container with it is a sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum RestartPolicy {
    Always,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EnvVar {
    pub name: String,
    #[serde(default)]
    pub value: String,
    pub value_from: Option<EnvSource>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum EnvSource {
    #[serde(rename_all = "camelCase")]
    FieldRef {
        field_path: String,
    },
    SecretKeyRef {
        name: String,
        key: String,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Port {
    pub name: String,
    pub container_port: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProbeSpec {
    pub http_get: HttpGet,
    #[serde(default = "ten")]
    pub period_seconds: u32,
    #[serde(default = "one")]
    pub timeout_seconds: u32,
    #[serde(default = "three")]
    pub failure_threshold: u32,
    #[serde(default = "one")]
    pub success_threshold: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HttpGet {
    pub path: String,
    pub port: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SecurityContext {
    pub run_as_user: u32,
    pub run_as_group: u32,
    pub run_as_non_root: bool,
    pub allow_privilege_escalation: bool,
    pub read_only_root_filesystem: bool,
    pub capabilities: Capabilities,
    /// Not enforced: its filter is the container runtime's.
    #[serde(rename = "seccompProfile")]
    _seccomp_profile: IgnoredAny,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capabilities {
    pub drop: Vec<String>,
    #[serde(default)]
    pub add: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VolumeMount {
    pub name: String,
    pub mount_path: String,
    #[serde(default)]
    pub read_only: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    pub name: String,
    #[serde(flatten)]
    pub source: VolumeSource,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum VolumeSource {
    #[serde(rename_all = "camelCase")]
    EmptyDir {
        /// Not enforced: the kubelet measures it, and evicts the pod.
        #[serde(rename = "sizeLimit")]
        _size_limit: IgnoredAny,
    },
    ConfigMap {
        name: String,
    },
    #[serde(rename_all = "camelCase")]
    Secret {
        secret_name: String,
        #[serde(default)]
        items: Vec<Item>,
    },
    HostPath {
        path: String,
        #[serde(rename = "type")]
        _kind: CharDevice,
    },
}

/// A folder of the machine has no place in such a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum CharDevice {
    CharDevice,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    pub key: String,
    pub path: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum DnsPolicy {
    #[default]
    ClusterFirst,
    None,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DnsConfig {
    #[serde(default)]
    pub nameservers: Vec<String>,
    #[serde(default)]
    pub searches: Vec<String>,
    #[serde(default)]
    pub options: Vec<DnsOption>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DnsOption {
    pub name: String,
    pub value: String,
}

impl TryFrom<bool> for No {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value { Err("must be false") } else { Ok(Self) }
    }
}

impl Container {
    /// The port that a probe names.
    pub(super) fn port(&self, name: &str) -> u16 {
        let port = self.ports.iter().find(|port| port.name == name);
        port.unwrap_or_else(|| panic!("{} has no port {name:?}", self.name)).container_port
    }

    /// The image without tag and digest.
    pub(super) fn repository(&self) -> &str {
        let untagged = self.image.split('@').next().unwrap_or_default();
        match untagged.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => untagged,
        }
    }
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn ten() -> u32 {
    10
}
