//! What is on the metrics page, by name.

use crate::read;
use std::collections::{BTreeMap, BTreeSet};

/// Series of `tests/metrics.prom`: metric → label → values.
#[derive(Debug)]
pub struct Page(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Page {
    /// The page that is a contract.
    pub fn golden() -> Self {
        let mut metrics = BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new();
        for line in read("tests/metrics.prom").lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').expect("a series and a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels_of = metrics.entry(name.to_owned()).or_default();
            for pair in labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty()) {
                let (label, value) = pair.split_once("=\"").expect("a label and a value");
                labels_of.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
            }
        }
        Self(metrics)
    }

    /// Labels of a metric with their values; none if there is no such metric.
    pub fn labels(&self, metric: &str) -> Option<&BTreeMap<String, BTreeSet<String>>> {
        self.0.get(metric)
    }
}
