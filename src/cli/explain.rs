//! The text that `check`, `doctor` and `status` share: why something failed and what to do next.

use super::terminal::{Palette, Style, Table};
use crate::command_hint::ShellCommand;
use crate::diagnose::StepStatus;
use crate::doctor::AdvisoryCode;
use crate::document::TransitionJson;
use crate::reason::Failure;
use crate::untrusted::escape;

/// A failure or an advisory, explained.
pub(super) struct Explanation<'a> {
    /// What, and of which targets.
    pub title: String,
    /// What happened.
    pub sentence: &'a str,
    /// What was observed; none where the details show it.
    pub cause: Option<&'a str>,
    /// More lines, such as the checks.
    pub details: String,
    /// What to do next.
    pub next_step: &'a str,
    /// The command to run next.
    pub command: Option<ShellCommand>,
}

impl<'a> Explanation<'a> {
    /// A failure of these targets.
    pub fn of_failure(palette: Palette, subject: &str, failure: &'a Failure) -> Self {
        let reason = failure.reason;
        Self {
            title: failure_title(palette, subject, reason.slug(), reason.scope().slug()),
            sentence: reason.sentence(),
            cause: Some(&failure.cause),
            details: String::new(),
            next_step: reason.next_step(),
            command: None,
        }
    }

    /// An advisory about these targets, or about the node.
    pub fn of_advisory(palette: Palette, targets: &str, code: AdvisoryCode) -> Self {
        let about = if targets.is_empty() { String::new() } else { format!(": {targets}") };
        Self {
            title: format!("{}{about}", palette.paint(Style::Warning, &format!("note {}", code.slug()))),
            sentence: code.sentence(),
            cause: None,
            details: String::new(),
            next_step: code.next_step(),
            command: None,
        }
    }

    /// The explanation as text.
    pub fn render(&self, palette: Palette) -> String {
        let mut text = format!("{}\n  {}\n", self.title, self.sentence);
        if let Some(cause) = self.cause {
            text += &format!("  cause: {cause}\n");
        }
        text += &self.details;
        text += &format!("  next: {}\n", self.next_step);
        if let Some(command) = &self.command {
            text += &format!("  run{}: {}\n", command.host_suffix(), palette.paint(Style::Bold, &command.line));
        }
        text
    }
}

/// The first line about a failure.
pub(super) fn failure_title(palette: Palette, subject: &str, reason: &str, scope: &str) -> String {
    format!("{subject}: {} (scope {scope})", palette.paint(Style::Bad, reason))
}

/// A table with a row per check or stage: its status, its name, and the evidence.
pub(super) fn steps<S: Into<String>>(palette: Palette, rows: impl IntoIterator<Item = (StepStatus, S, S)>) -> String {
    let mut table = Table::indented(4);
    for (status, name, evidence) in rows {
        let (text, style) = match status {
            StepStatus::Passed => ("ok", Style::Good),
            StepStatus::Failed => ("FAILED", Style::Bad),
            StepStatus::NotTried => ("-", Style::Faint),
        };
        table.add([text.to_owned(), name.into(), evidence.into()], (0, style));
    }
    table.render(palette)
}

/// A change of state, as an agent of any version reports it.
pub(super) fn transition(palette: Palette, change: &TransitionJson) -> String {
    let to = palette.paint(Style::of_state(&change.to), &escape(&change.to));
    let reason = change.reason.as_ref().map_or_else(String::new, |reason| format!(": {}", escape(reason)));
    format!("{} -> {to}{reason}", escape(&change.from))
}
