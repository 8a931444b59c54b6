//! A family whose series are told anew for every page.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Registry, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Series of one name, by `N` labels. They are filled from one snapshot, all at once, so a row whose condition has ended
/// is gone, and so is one whose label text has changed.
///
/// Not the crate's `GaugeVec`: that remembers every series until it is removed by name, and files it under a hash of the
/// label values run together, so that `("ab", "c")` and `("a", "bc")` are one series.
#[derive(Clone, Debug)]
pub(super) struct Rows<const N: usize>(Arc<Family<N>>);

#[derive(Debug)]
struct Family<const N: usize> {
    desc: Desc,
    kind: MetricType,
    rows: Mutex<Vec<Row<N>>>,
}

/// The values of the labels, and the value.
type Row<const N: usize> = ([String; N], f64);

impl<const N: usize> Rows<N> {
    /// A family of gauges.
    pub(super) fn gauge(registry: &Registry, name: &str, help: &str, labels: [&str; N]) -> Result<Self> {
        Self::new(registry, MetricType::GAUGE, name, help, labels)
    }

    /// A family of counters that somebody else counts.
    pub(super) fn counter(registry: &Registry, name: &str, help: &str, labels: [&str; N]) -> Result<Self> {
        Self::new(registry, MetricType::COUNTER, name, help, labels)
    }

    fn new(registry: &Registry, kind: MetricType, name: &str, help: &str, labels: [&str; N]) -> Result<Self> {
        let labels = labels.map(str::to_owned).to_vec();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        let rows = Self(Arc::new(Family { desc, kind, rows: Mutex::default() }));
        registry.register(Box::new(rows.clone()))?;
        Ok(rows)
    }

    /// Replaces all series.
    pub(super) fn fill(&self, rows: impl IntoIterator<Item = Row<N>>) {
        let mut series = self.lock();
        series.clear();
        series.extend(rows);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Row<N>>> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metric(&self, (values, value): &Row<N>) -> Metric {
        let mut metric = Metric::default();
        let pairs = self.0.desc.variable_labels.iter().zip(values).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.clone());
            pair
        });
        metric.set_label(pairs.collect());
        if self.0.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(*value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        metric
    }
}

impl Rows<0> {
    /// Sets the one series of a family without labels; none takes it away.
    pub(super) fn set(&self, value: Option<f64>) {
        self.fill(value.map(|value| ([], value)));
    }
}

impl<const N: usize> Collector for Rows<N> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.0.desc.fq_name.clone());
        family.set_help(self.0.desc.help.clone());
        family.set_field_type(self.0.kind);
        family.set_metric(self.lock().iter().map(|row| self.metric(row)).collect());
        vec![family]
    }
}
