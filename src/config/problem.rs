//! Problems of a configuration: all at once, each with its location.

use std::fmt;

/// Problems that are printed in full; the rest is counted. A file of the wrong kind has thousands.
const SHOWN: usize = 50;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceLocation {
    /// A variable of the environment.
    Variable(String),
    /// A location in the file; line and column count from 1.
    File {
        /// The file as the caller named it.
        path: String,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub location: SourceLocation,
    /// A sentence without full stop: what is wrong and, where that can be known, what was meant.
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.sentence)
    }
}

/// Everything that is wrong with a configuration, in the order of its locations; never empty in an `Err`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, by location.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    pub(super) fn add(&mut self, location: &SourceLocation, sentence: impl Into<String>) {
        self.0.push(Problem { location: location.clone(), sentence: sentence.into() });
    }

    /// The value, or a problem at `location`. `about` goes in front of the sentence ("target 2: ").
    pub(super) fn ok_or_report<T>(
        &mut self,
        location: &SourceLocation,
        about: &str,
        outcome: Result<T, String>,
    ) -> Option<T> {
        outcome.map_err(|sentence| self.add(location, format!("{about}{sentence}"))).ok()
    }

    /// By location, each once.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort();
        self.0.dedup();
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, s) = (self.0.len(), if self.0.len() == 1 { "" } else { "s" });
        write!(f, "{count} problem{s} in the configuration:")?;
        for problem in self.0.iter().take(SHOWN) {
            write!(f, "\n  {problem}")?;
        }
        if count > SHOWN { write!(f, "\n  and {} more", count - SHOWN) } else { Ok(()) }
    }
}

impl std::error::Error for Problems {}

/// Text from outside, fit to print: escaped and cut. For what cannot be a secret: a name, one character, a value that has the
/// right type. See [`quote_typo`].
pub(super) fn quote_untrusted(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

/// The text where `suggestion` of [`did_you_mean`] shows that it is a typo, else `otherwise`: a value in the wrong place may be
/// a password.
pub(super) fn quote_typo(text: &str, suggestion: &str, otherwise: &str) -> String {
    if suggestion.is_empty() { otherwise.to_owned() } else { quote_untrusted(text) }
}

/// "; did you mean `…`?" when one of `known` is close to `text`, else nothing.
pub(super) fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // Two typos, and fewer in a short text: beyond that a suggestion is a guess.
    let most = if text.chars().count() <= 3 { 1 } else { 2 };
    let text = text.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&text, &name.to_lowercase().replace('-', "_")), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_close_or_absent() {
        assert_eq!(did_you_mean("intervall", ["interval", "timeout"]), "; did you mean `interval`?");
        assert_eq!(did_you_mean("startup-gate", ["startup_gate"]), "; did you mean `startup_gate`?");
        assert_eq!(did_you_mean("banana", ["interval", "timeout"]), "");
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let mut problems = Problems::default();
        for i in 0..1000 {
            problems.add(&SourceLocation::File { path: "f".into(), line: i + 1, column: 1 }, "bad");
        }
        let text = problems.sorted().to_string();
        assert_eq!(text.lines().count(), 52);
        assert!(text.ends_with("and 950 more"), "{text}");
    }

    #[test]
    fn text_from_outside_is_escaped_and_cut() {
        assert_eq!(quote_untrusted("a\n\u{1b}"), "`a\\n\\u{1b}`");
        assert!(quote_untrusted(&"x".repeat(1000)).chars().count() < 50);
        assert_eq!(quote_typo("hunter2", &did_you_mean("hunter2", ["strict"]), "the value"), "the value");
    }
}
