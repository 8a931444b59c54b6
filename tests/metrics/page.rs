//! A strict reader of the text format 0.0.4: what telltail writes, and nothing beside it, passes. A line's own form is the
//! kit's to check, the page's structure is checked here.

use std::collections::{BTreeMap, BTreeSet};
use telltail_testkit::{Sample, is_metric_name};

/// A page.
#[derive(Debug, Default)]
pub struct Page {
    /// In the order of the page.
    pub families: Vec<Family>,
}

/// A family.
#[derive(Debug)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Its samples, in the order of the page.
    pub samples: Vec<Sample>,
}

impl Page {
    /// Reads a page; the error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix('\n').ok_or("the last line does not end")?;
        let mut page = Self::default();
        let mut help: Option<String> = None;
        for line in body.split('\n') {
            let wrong = |what: &str| format!("{what}: {line:?}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').ok_or_else(|| wrong("no help text"))?;
                (help.is_none() && !words.is_empty()).then_some(()).ok_or_else(|| wrong("HELP out of place"))?;
                help = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
                (help.take().as_deref() == Some(name)).then_some(()).ok_or_else(|| wrong("TYPE without HELP"))?;
                page.begin(name, kind).map_err(|what| wrong(&what))?;
            } else {
                help.is_none().then_some(()).ok_or_else(|| wrong("a sample between HELP and TYPE"))?;
                let sample = Sample::parse(line).map_err(|what| wrong(&what))?;
                let family = page.families.last_mut().ok_or_else(|| wrong("a sample before any TYPE"))?;
                family.take(sample).map_err(|what| wrong(&what))?;
            }
        }
        page.check()?;
        Ok(page)
    }

    /// Every series, as the page names it.
    pub fn series(&self) -> BTreeSet<String> {
        self.samples().map(|sample| format!("{}{:?}", sample.name, sample.labels)).collect()
    }

    /// Every sample.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.iter().flat_map(|family| &family.samples)
    }

    /// The value of the one series with this name and these labels, whatever others it has; none if there is none.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |s: &&Sample| s.name == name && labels.iter().all(|(label, value)| s.label(label) == Some(value));
        let found: Vec<_> = self.samples().filter(fits).collect();
        assert!(found.len() < 2, "{name}{labels:?} is more than one series: {found:?}");
        found.first().map(|sample| sample.value)
    }

    fn begin(&mut self, name: &str, kind: &str) -> Result<(), String> {
        if !is_metric_name(name) || !matches!(kind, "counter" | "gauge" | "histogram") {
            return Err("a wrong name or type".to_owned());
        }
        if self.families.last().is_some_and(|last| last.name.as_str() >= name) {
            return Err("families are not in order, or one is there twice".to_owned());
        }
        self.families.push(Family { name: name.to_owned(), kind: kind.to_owned(), samples: Vec::new() });
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if self.series().len() != self.samples().count() {
            return Err("a series is there twice".to_owned());
        }
        self.families.iter().try_for_each(Family::check)
    }
}

impl Family {
    fn take(&mut self, sample: Sample) -> Result<(), String> {
        let suffix = sample.name.strip_prefix(&self.name).ok_or("a sample of another family")?;
        match (self.kind.as_str(), suffix) {
            ("histogram", "_bucket" | "_sum" | "_count") | ("counter" | "gauge", "") => {}
            _ => return Err("a name that the type does not have".to_owned()),
        }
        if !sample.value.is_finite() || (self.kind != "gauge" && sample.value < 0.0) {
            return Err("a value that telltail never has".to_owned());
        }
        self.samples.push(sample);
        Ok(())
    }

    /// A family has samples, all of the same labels; a histogram is whole and its buckets cumulate.
    fn check(&self) -> Result<(), String> {
        let names = |sample: &Sample| {
            let names = sample.labels.iter().map(|(name, _)| name.clone()).filter(|name| name != "le");
            names.collect::<Vec<_>>()
        };
        let first = self.samples.first().ok_or_else(|| format!("{} has no series", self.name))?;
        if self.samples.iter().any(|sample| names(sample) != names(first)) {
            return Err(format!("the labels of {} differ from series to series", self.name));
        }
        if self.kind != "histogram" {
            return Ok(());
        }
        let mut parts: BTreeMap<Vec<_>, Parts> = BTreeMap::new();
        for sample in &self.samples {
            let key = sample.labels.iter().filter(|(name, _)| name != "le").cloned().collect();
            let Parts { buckets, rest } = parts.entry(key).or_default();
            match sample.label("le") {
                Some("+Inf") => buckets.push((f64::INFINITY, sample.value)),
                Some(bound) => buckets.push((bound.parse().map_err(|_| format!("bound {bound:?}"))?, sample.value)),
                None => rest.push(sample.value),
            }
        }
        for (key, Parts { buckets, rest }) in parts {
            let rises = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let last = buckets.last().copied();
            let [_sum, count] = rest[..] else { return Err(format!("{}{key:?} is not whole", self.name)) };
            if !rises || last != Some((f64::INFINITY, count)) {
                return Err(format!("the buckets of {}{key:?} are out of order", self.name));
            }
        }
        Ok(())
    }
}

/// One histogram: its buckets by bound, and what is not a bucket.
#[derive(Default)]
struct Parts {
    buckets: Vec<(f64, f64)>,
    rest: Vec<f64>,
}

#[test]
fn the_reader_is_strict() {
    let good = "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"\\\\\\\"\\n\"} 1\n";
    assert!(Page::parse(good).is_ok());
    for (from, to) in [
        ("1\n", "1"),
        ("1\n", "1\n\n"),
        ("1\n", "inf\n"),
        ("1\n", "-1\n"),
        ("1\n", "1 1700000000\n"),
        ("} 1", "}  1"),
        ("\\n", "\\r"),
        ("\\\"", "\""),
        ("{x", "{0x"),
        ("{x", "{x=\"\",x"),
        ("\"}", "\",}"),
        ("\n# TYPE a_total counter", ""),
        ("counter", "info"),
        ("Help.", ""),
        ("\na_total{", "\nb_total{"),
        ("a_total{x=\"\\\\\\\"\\n\"} 1\n", ""),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(Page::parse(&bad).is_err(), "{bad}");
    }
}
