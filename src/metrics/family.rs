//! Builds Prometheus families from plain values, so that a name, its help, its labels and its values stand together.
//!
//! Not the crate's `GaugeVec`: that remembers every series until it is removed by its label values. It would keep series
//! that a newer snapshot no longer has.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::time::SystemTime;

/// One series: its labels, in the order of the page, and its value.
pub(super) type LabelledValue = (Vec<LabelPair>, f64);

/// A family of gauges; absent from the page while it has no series.
pub(super) fn gauge(name: &str, help: &str, series: impl IntoIterator<Item = LabelledValue>) -> MetricFamily {
    family(name, help, MetricType::GAUGE, series.into_iter().collect())
}

/// A family of counters whose values are kept elsewhere.
pub(super) fn counter(name: &str, help: &str, series: impl IntoIterator<Item = LabelledValue>) -> MetricFamily {
    family(name, help, MetricType::COUNTER, series.into_iter().collect())
}

/// A series with labels.
pub(super) fn labelled(labels: &[(&str, &str)], value: f64) -> LabelledValue {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    (pairs.collect(), value)
}

/// The only series of a family without labels. None omits the family.
pub(super) fn unlabelled(value: impl Into<Option<f64>>) -> Option<LabelledValue> {
    value.into().map(|value| (Vec::new(), value))
}

fn family(name: &str, help: &str, kind: MetricType, mut series: Vec<LabelledValue>) -> MetricFamily {
    // The order in which the crate's registry puts the families that it keeps.
    series.sort_by(|(a, _), (b, _)| a.iter().map(LabelPair::value).cmp(b.iter().map(LabelPair::value)));
    let metrics = series.into_iter().map(|(labels, value)| {
        let mut metric = Metric::from_label(labels);
        if kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    });
    let mut family = MetricFamily::default();
    family.set_metric(metrics.collect());
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family
}

/// 1 for yes, 0 for no.
pub(super) fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Unix time in seconds. Milliseconds are enough, and keep the page short.
pub(super) fn unix(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_millis() as f64 / 1000.0)
}

/// Longest label value from [`sanitize_label`], as long as a DNS label.
const MAX_LABEL: usize = 63;

/// Makes text from outside a label value: `[a-z0-9.-]{1,63}`, so that no peer fills Prometheus with what it calls itself.
pub(super) fn sanitize_label(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    if text.is_empty() { "unknown".to_owned() } else { text.chars().take(MAX_LABEL).map(allowed).collect() }
}
