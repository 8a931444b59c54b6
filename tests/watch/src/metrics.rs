//! Which metrics there are, with their labels.

use crate::{read, rules};
use std::collections::{BTreeMap, BTreeSet};
use telltail_testkit::MetricsPage;

/// Values of a metric's labels by their names. Where there is but one value, it is an example.
pub type Labels = BTreeMap<String, BTreeSet<String>>;

/// Labels that the scrape adds to every series.
pub const SCRAPE: [&str; 6] = ["cluster", "environment", "namespace", "pod", "job", "instance"];

/// What telltail does not export: Prometheus' own, and kube-state-metrics'.
const FOREIGN: [(&str, &[&str]); 6] = [
    ("up", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity", "target"]),
    ("kube_pod_init_container_info", &["container"]),
    ("kube_pod_init_container_status_restarts_total", &["container"]),
    ("kube_pod_init_container_status_waiting_reason", &["container", "reason"]),
    ("kube_pod_status_phase", &["phase"]),
];

/// Every metric that a rule or a panel may ask for, with its labels: what `tests/metrics.prom` shows, what the rules
/// record, and a few of others.
pub fn metrics() -> BTreeMap<String, Labels> {
    let mut metrics = page();
    let anywhere = metrics.values().flatten().fold(Labels::new(), |mut all, (label, values)| {
        all.entry(label.clone()).or_default().extend(values.iter().cloned());
        all
    });
    metrics.extend(rules().into_iter().filter_map(|rule| Some((rule.record?, anywhere.clone()))));
    for (name, labels) in FOREIGN {
        metrics.insert(name.to_owned(), labels.iter().map(|label| ((*label).to_owned(), BTreeSet::new())).collect());
    }
    for labels in metrics.values_mut() {
        labels.extend(SCRAPE.map(|label| (label.to_owned(), BTreeSet::new())));
    }
    metrics
}

fn page() -> BTreeMap<String, Labels> {
    let mut metrics = BTreeMap::<_, Labels>::new();
    for sample in MetricsPage::parse(read("tests/metrics.prom")).all() {
        let of = metrics.entry(sample.name.clone()).or_default();
        for (label, value) in &sample.labels {
            of.entry(label.clone()).or_default().insert(value.clone());
        }
    }
    metrics
}
