//! The local tailscaled.

use crate::metrics::family::{flag, gauge, labelled, sanitize_label, unix, unlabelled};
use crate::node::NodeState;
use crate::state::Snapshot;
use prometheus::proto::MetricFamily;
use std::collections::BTreeSet;

pub(super) fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let node = &snapshot.node;
    let facts = node.facts.as_ref();
    // A set, for several warnings may have the code `other`.
    let warnings: BTreeSet<_> =
        snapshot.warnings.iter().map(|warning| (known_code(&warning.code), warning.severity.slug())).collect();
    vec![
        gauge(
            "telltail_node_state",
            "State of tailscaled: 1 for the current one, 0 for the others; unreachable if it does not answer.",
            NodeState::ALL.map(|state| labelled(&[("state", state.slug())], flag(state == node.state))),
        ),
        gauge(
            "telltail_node_online",
            "Whether tailscaled is connected to its control plane (1); absent while it is unreachable.",
            unlabelled(facts.map(|facts| flag(facts.online))),
        ),
        gauge(
            "telltail_node_info",
            "The local tailscaled: version, mode and host name; always 1, absent while it is unreachable.",
            facts.map(|facts| {
                let (version, hostname) = (sanitize_label(&facts.version), sanitize_label(&facts.hostname));
                labelled(&[("version", &version), ("mode", facts.mode.slug()), ("hostname", &hostname)], 1.0)
            }),
        ),
        gauge(
            "telltail_node_key_expiry_timestamp_seconds",
            "Unix time at which this node's own key expires, in seconds; absent if never.",
            unlabelled(facts.and_then(|facts| facts.key_expiry).map(unix)),
        ),
        gauge(
            "telltail_node_derp_info",
            "This node's home DERP region; always 1, absent while it has none.",
            facts.filter(|facts| !facts.home_region.is_empty()).map(|facts| {
                let id = facts.home_region_id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
                labelled(&[("region", &sanitize_label(&facts.home_region)), ("region_id", &id)], 1.0)
            }),
        ),
        gauge(
            "telltail_node_health_warning",
            "A health warning of tailscaled by its code and severity; always 1, absent unless active.",
            warnings.into_iter().map(|(code, severity)| labelled(&[("code", code), ("severity", severity)], 1.0)),
        ),
    ]
}

/// Codes of tailscaled's health warnings that are label values (tailscaled 1.102: `tsconst/health.go`, `health/warnings.go`,
/// `net/dns`); any other is `other`, since the control plane may invent some.
const CODES: [&str; 17] = [
    "derp-region-error",
    "derp-timed-out",
    "dns-forward-failing",
    "dns-read-os-config-failed",
    "dns-set-os-config-failed",
    "login-state",
    "magicsock-receive-func-error",
    "mapresponse-timeout",
    "network-status",
    "no-derp-connection",
    "no-derp-home",
    "no-udp4-bind",
    "not-in-map-poll",
    "tls-connection-failed",
    "update-available",
    "wantrunning-false",
    "warming-up",
];

fn known_code(code: &str) -> &'static str {
    CODES.into_iter().find(|known| *known == code).unwrap_or("other")
}
