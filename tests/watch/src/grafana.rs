//! What Grafana makes of a query before it asks Prometheus.

use std::time::Duration;

/// What a user has chosen: a range, and a value for each variable.
#[derive(Debug, Clone)]
pub struct View {
    /// The range that is shown.
    pub range: Duration,
    /// The data source's scrape interval: Grafana asks for no smaller steps.
    pub scrape: Duration,
    /// Variables and their values; `.*` is what the dashboards make of All.
    pub values: Vec<(&'static str, String)>,
}

impl View {
    /// Everything of the last so many seconds.
    pub fn all(range: Duration, scrape: Duration) -> Self {
        let values = ["cluster", "environment", "target", "pod"].map(|name| (name, ".*".to_owned())).into();
        Self { range, scrape, values }
    }

    /// With another value for a variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, value.to_owned()));
        self
    }

    /// The step at which a panel of so many points is asked for, in whole seconds.
    pub fn step(&self, points: u64) -> Duration {
        Duration::from_secs(self.range.as_secs().div_ceil(points)).max(self.scrape)
    }

    /// The query without variables. What is no variable of ours stays, and Prometheus refuses it.
    pub fn expand(&self, expr: &str, points: u64) -> String {
        let step = self.step(points);
        let rate = (step + self.scrape).max(4 * self.scrape);
        // The longer name first, where one begins with the other.
        let builtin = [("$__rate_interval", rate), ("$__range", self.range), ("$__interval", step)];
        let mut query = expr.to_owned();
        for (name, time) in builtin {
            query = query.replace(name, &format!("{}s", time.as_secs()));
        }
        for (name, value) in &self.values {
            query = query.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
        }
        query
    }
}

/// The selector and the label of `label_values(SELECTOR, LABEL)`.
pub fn label_values(query: &str) -> Option<(&str, &str)> {
    let inner = query.strip_prefix("label_values(")?.strip_suffix(')')?;
    let (selector, label) = inner.rsplit_once(',')?;
    Some((selector.trim(), label.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_expanded_as_grafana_does() {
        let view = View::all(Duration::from_secs(6 * 3600), Duration::from_secs(15)).with("cluster", "nyc3");
        let query = r#"x{cluster=~"$cluster",pod="${pod}"}[$__rate_interval] y[$__range:$__interval]"#;
        assert_eq!(view.expand(query, 300), r#"x{cluster=~"nyc3",pod=".*"}[87s] y[21600s:72s]"#);
        assert_eq!(view.expand("[$__rate_interval]", 5000), "[60s]", "at least four scrapes");
    }

    #[test]
    fn a_variable_names_a_selector_and_a_label() {
        let query = r#"label_values(x{cluster=~"$cluster", environment=~"$environment"}, target)"#;
        assert_eq!(label_values(query), Some((r#"x{cluster=~"$cluster", environment=~"$environment"}"#, "target")));
        assert_eq!(label_values("query_result(x)"), None);
    }
}
