//! What telltail's metrics say.

use telltail_testkit::{MetricsPage, Sample};

/// One answer of `/metrics`: what holds at one moment.
#[derive(Debug, Clone)]
pub struct AgentMetrics(MetricsPage);

/// Whether each readiness mode would answer ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "telltail's documentation describes the modes")]
pub struct ReadyByMode {
    pub strict: bool,
    pub local: bool,
    pub observe: bool,
}

impl AgentMetrics {
    pub(crate) fn parse(text: String) -> Self {
        Self(MetricsPage::parse(text))
    }

    /// The value of the first series of this name that has these labels, and perhaps others.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.0.samples(name, labels).next().map(|sample| sample.value)
    }

    /// The state that a target is in: `unknown`, `up` or `down`.
    pub fn state(&self, target: &str) -> String {
        let mut states = self.0.samples("telltail_target_state", &[("target", target)]);
        label(states.find(|sample| sample.value == 1.0), "state").unwrap_or_else(|| "none".to_owned())
    }

    /// Reason and scope, if the target's last probe failed.
    pub fn failing(&self, target: &str) -> Option<(String, String)> {
        let row = self.0.samples("telltail_target_failing_info", &[("target", target)]).next();
        Some((label(row, "reason")?, label(row, "scope")?))
    }

    /// The path that a target's packets take; panics unless it is exactly one.
    pub fn path(&self, target: &str) -> String {
        let paths = self.0.samples("telltail_path", &[("target", target)]);
        let taken: Vec<_> = paths.filter(|sample| sample.value == 1.0).collect();
        assert_eq!(taken.len(), 1, "exactly one path: {taken:?}");
        label(taken.first().copied(), "path").unwrap_or_default()
    }

    /// The DERP region that relays to a target, if one does: code and number.
    pub fn region(&self, target: &str) -> Option<(String, String)> {
        let row = self.0.samples("telltail_path_derp_info", &[("target", target)]).next();
        Some((label(row, "region")?, label(row, "region_id")?))
    }

    /// Seconds on a path, or on all of them.
    pub fn path_seconds(&self, target: &str, path: Option<&str>) -> f64 {
        let labels: Vec<_> = [("target", target)].into_iter().chain(path.map(|path| ("path", path))).collect();
        self.total("telltail_path_seconds_total", &labels)
    }

    /// The values of a label in all series of a name.
    pub fn label_values(&self, name: &str, key: &str) -> Vec<String> {
        self.0.samples(name, &[]).filter_map(|sample| label(Some(sample), key)).collect()
    }

    /// The sum of all series of a name that have these labels.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.0.sum(name, labels)
    }

    /// Would each mode answer ready?
    pub fn modes(&self) -> ReadyByMode {
        let ready = |mode| self.0.is("telltail_ready_by_mode", &[("mode", mode)]);
        ReadyByMode { strict: ready("strict"), local: ready("local"), observe: ready("observe") }
    }

    /// tailscaled's state, as telltail names it.
    pub fn node_state(&self) -> String {
        let mut states = self.0.samples("telltail_node_state", &[]);
        label(states.find(|sample| sample.value == 1.0), "state").unwrap_or_else(|| "none".to_owned())
    }

    /// The page itself.
    pub fn text(&self) -> &str {
        self.0.text()
    }
}

fn label(sample: Option<&Sample>, name: &str) -> Option<String> {
    sample?.label(name).map(str::to_owned)
}
