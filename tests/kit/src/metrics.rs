/// A page in Prometheus' text format 0.0.4.
#[derive(Clone, Debug, Default)]
pub struct MetricsPage {
    text: String,
    samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With the suffix of a histogram's parts.
    pub name: String,
    /// In the order of the page.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

impl MetricsPage {
    /// Reads a page. A line that is neither a comment nor a sample is a failure.
    pub fn parse(text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = text.split_terminator('\n').filter(|line| !line.starts_with('#'));
        let samples =
            lines.map(|line| Sample::parse(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))).collect();
        Self { text, samples }
    }

    /// The page itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every sample, in the order of the page.
    pub fn all(&self) -> &[Sample] {
        &self.samples
    }

    /// The samples of this name that have these labels, and perhaps others.
    pub fn samples<'a>(&'a self, name: &str, labels: &[(&str, &str)]) -> std::vec::IntoIter<&'a Sample> {
        let has = |sample: &Sample| labels.iter().all(|(label, value)| sample.label(label) == Some(value));
        let found = self.samples.iter().filter(|sample| sample.name == name && has(sample));
        found.collect::<Vec<_>>().into_iter()
    }

    /// The one sample of this name that has these labels, if it is there.
    pub fn sample(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Sample> {
        let mut found = self.samples(name, labels);
        let first = found.next();
        assert!(found.next().is_none(), "{name}{labels:?} is more than one series");
        first
    }

    /// The value of [`MetricsPage::sample`]; 0 if it is not there.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.sample(name, labels).map_or(0.0, |sample| sample.value)
    }

    /// Is [`MetricsPage::sample`] there, and 1?
    pub fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.sample(name, labels).is_some_and(|sample| sample.value == 1.0)
    }

    /// The sum of [`MetricsPage::samples`].
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(name, labels).map(|sample| sample.value).sum()
    }
}

impl Sample {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// What the format does not allow.
    pub fn parse(line: &str) -> Result<Self, String> {
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let (name, mut rest) = line.split_at(end);
        if !is_metric_name(name) {
            return Err("a wrong name".to_owned());
        }
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (label, quoted) = rest.split_once("=\"").ok_or("a label without value")?;
                if !is_label_name(label) || labels.iter().any(|(other, _)| other == label) {
                    return Err("a wrong or repeated label".to_owned());
                }
                let (value, after) = unquote(quoted)?;
                labels.push((label.to_owned(), value));
                if let Some(after) = after.strip_prefix('}') {
                    rest = after;
                    break;
                }
                rest = after.strip_prefix(',').ok_or("no comma between labels")?;
            }
        }
        let number = rest.strip_prefix(' ').ok_or("no blank before the value")?;
        // Rust reads more than Go does, `infinity` for example.
        let plain = number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e'));
        let value = number.parse().ok().filter(|_| plain).ok_or("a wrong value")?;
        Ok(Self { name: name.to_owned(), labels, value })
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// Is it a name that a metric may have?
pub fn is_metric_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

/// Reads up to the closing quote.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, '\\')) => value.push('\\'),
                Some((_, '"')) => value.push('"'),
                Some((_, 'n')) => value.push('\n'),
                _ => return Err("a wrong escape".to_owned()),
            },
            c => value.push(c),
        }
    }
    Err("a label value without end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let page = MetricsPage::parse("# TYPE a gauge\na{x=\"1\",y=\"\\\"\\n\"} 1\na{x=\"2\"} 2.5e1\nab 4\n");
        assert_eq!((page.value("a", &[("x", "1")]), page.sum("a", &[]), page.value("ab", &[])), (1.0, 26.0, 4.0));
        assert!(page.is("a", &[("x", "1"), ("y", "\"\n")]) && !page.is("a", &[("x", "2")]));
        assert_eq!(page.sample("a", &[("x", "3")]), None);
        assert_eq!(page.samples("a", &[]).filter_map(|sample| sample.label("y")).collect::<Vec<_>>(), ["\"\n"]);
    }

    #[test]
    fn a_line_out_of_the_format_is_refused() {
        for line in [
            "a",
            "a ",
            "a  1",
            "a 1 1700000000",
            "a inf",
            "0a 1",
            "a{} 1",
            "a{x=1} 1",
            "a{x=\"1\",} 1",
            "a{x=\"\\r\"} 1",
        ] {
            assert!(Sample::parse(line).is_err(), "{line}");
        }
    }
}
