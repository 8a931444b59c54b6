//! What the pods of a fleet export, and what the rules have recorded of it.

use crate::remote_write::Series;
use std::ops::Range;
use telltail_testkit::{MetricsPage, Sample};
use telltail_watch::read;

/// Pods that export the page that is a contract, with values of a fleet that is well or out.
pub struct Fleet {
    page: MetricsPage,
    /// How many.
    pub pods: usize,
    /// Whether every tailscaled needs a login and every target is down.
    pub outage: bool,
}

impl Fleet {
    pub fn new(pods: usize) -> Self {
        Self { page: MetricsPage::parse(read("tests/metrics.prom")), pods, outage: false }
    }

    pub fn series_per_pod(&self) -> usize {
        self.page.all().len() + 1
    }

    /// All series of one pod.
    pub fn pod(&self, pod: usize, times: Range<u64>, step: u64) -> Vec<Series> {
        assert!(pod < self.pods, "there are {} pods", self.pods);
        let scraped = [
            ("cluster", "nyc3".to_owned()),
            ("environment", "prd".to_owned()),
            ("namespace", "stackeye-prd".to_owned()),
            ("pod", format!("stackeye-worker-7d9f-{pod:05}")),
            ("instance", format!("10.42.{}.{}:8245", pod / 250, pod % 250)),
            ("job", "telltail".to_owned()),
        ];
        let with = |name: &str, labels: &[(String, String)]| {
            let scraped = scraped.iter().map(|(label, value)| ((*label).to_owned(), value.clone()));
            let name = ("__name__".to_owned(), name.to_owned());
            scraped.chain(labels.iter().cloned()).chain([name]).collect::<Vec<_>>()
        };
        let series =
            |row: &Sample| Series::new(with(&row.name, &row.labels), times.clone(), step, |at| self.value(row, at));
        let up = Series::new(with("up", &[]), times.clone(), step, |_| 1.0);
        self.page.all().iter().map(series).chain([up]).collect()
    }

    fn value(&self, row: &Sample, at: u64) -> f64 {
        let (down, up) = (f64::from(u8::from(self.outage)), f64::from(u8::from(!self.outage)));
        let now = at as f64;
        let is = |value: &str| row.labels.iter().any(|(_, other)| other == value);
        match row.name.as_str() {
            "telltail_node_state" if is("running") => up,
            "telltail_node_state" if is("needs_login") => down,
            "telltail_target_state" if is("up") => up,
            "telltail_target_state" if is("down") => down,
            "telltail_path" if is("direct") => up,
            "telltail_path" if is("derp") => down,
            "telltail_path_seconds_total" if is("direct") => now,
            "telltail_node_state" | "telltail_target_state" | "telltail_path" | "telltail_path_seconds_total" => 0.0,
            "telltail_probe_last_timestamp_seconds" | "telltail_probe_last_success_timestamp_seconds" => now,
            name if name.ends_with("expiry_timestamp_seconds") => now + 90.0 * 86400.0,
            name if ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end)) => {
                // Counts what the page shows once in a minute.
                row.value * (now / 60.0).floor()
            }
            _ => row.value,
        }
    }
}

/// What the rules over long ranges have recorded of a fleet that was well.
pub fn recorded(times: Range<u64>, step: u64) -> Vec<Series> {
    let mut series = Vec::new();
    for target in ["stackeye-db-prd", "stackeye-valkey-prd"] {
        let mut add = |name: &str, labels: &[(&str, &str)], value: f64| {
            let place =
                [("cluster", "nyc3"), ("environment", "prd"), ("namespace", "stackeye-prd"), ("target", target)];
            let all = [&[("__name__", name)], &place[..], labels].concat();
            let all = all.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
            series.push(Series::new(all, times.clone(), step, |_| value));
        };
        for (path, pods) in [("direct", 1000.0), ("derp", 0.0), ("peer_relay", 0.0), ("idle", 0.0), ("unknown", 0.0)] {
            add("target_path:telltail_path_seconds:rate5m", &[("path", path)], pods);
        }
        add("target:telltail_path_derp_per_known:ratio_rate1d", &[], 0.0);
        for stage in ["connect", "protocol"] {
            let labels = [("path", "direct"), ("stage", stage)];
            add("target_path_stage:telltail_probe_duration_seconds_sum:rate10m", &labels, 0.5);
            add("target_path_stage:telltail_probe_duration_seconds_count:rate10m", &labels, 100.0);
        }
    }
    series
}
