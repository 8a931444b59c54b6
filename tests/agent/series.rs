//! Series of a metrics page.

use std::collections::BTreeSet;
use telltail_testkit::MetricsPage;

/// Families that the contract calls absent at times.
const COMING_AND_GOING: [&str; 14] = [
    "telltail_target_failing_info",
    "telltail_http_requests_total",
    "telltail_startup_gate_release_info",
    "telltail_probe_last_timestamp_seconds",
    "telltail_probe_last_success_timestamp_seconds",
    "telltail_node_online",
    "telltail_node_info",
    "telltail_node_derp_info",
    "telltail_node_health_warning",
    "telltail_node_key_expiry_timestamp_seconds",
    "telltail_path_derp_info",
    "telltail_path_rtt_seconds",
    "telltail_peer_key_expiry_timestamp_seconds",
    "telltail_target_info",
];

/// Every series without its value, but for the families that come and go.
pub fn lasting_series(page: &MetricsPage) -> BTreeSet<String> {
    let lasting = page.all().iter().filter(|sample| !COMING_AND_GOING.contains(&sample.name.as_str()));
    lasting.map(|sample| format!("{}{:?}", sample.name, sample.labels)).collect()
}
