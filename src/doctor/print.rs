//! The report for a person at a terminal.

use super::{Examined, Finding, Report};
use crate::command_hint::ShellCommand;
use crate::diagnose::{Check, Step, StepStatus};
use crate::duration::ms_text;
use crate::path::Sample;
use crate::reason::escape;
use std::fmt::{self, Formatter};
use std::io::{self, Write};

/// The report with or without colours.
pub(super) struct Printed<'a> {
    pub report: &'a Report,
    pub colour: bool,
}

#[derive(Clone, Copy)]
enum Ink {
    Good,
    Bad,
    Warn,
    Bold,
    Faint,
}

impl Report {
    /// For people: the verdict, the targets, and each finding with its evidence and the next command.
    pub fn print(&self, colour: bool, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{}", Printed { report: self, colour })
    }

    /// The verdict in a sentence.
    pub fn verdict(&self) -> String {
        let count = self.targets.len();
        let down = self.targets.iter().filter(|one| one.diagnosis.verdict.is_err()).count();
        let required = self.targets.iter().filter(|one| one.diagnosis.verdict.is_err() && one.target.required).count();
        match (down, required) {
            (0, _) => format!("{count} of {count} targets up"),
            (_, 0) => format!("{down} of {count} targets down, none of them required"),
            _ if required == down => format!("{down} of {count} targets down"),
            _ => format!("{down} of {count} targets down, {required} of them required"),
        }
    }
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let (word, ink) = match report.exit_code() {
            0 => ("OK", Ink::Good),
            1 => ("DOWN", Ink::Bad),
            _ => ("DEGRADED", Ink::Warn),
        };
        writeln!(f, "{}  {}\n", self.paint(ink, word), self.paint(Ink::Bold, &report.verdict()))?;
        self.node(f)?;
        self.table(f)?;
        for finding in report.findings() {
            self.finding(f, &finding)?;
        }
        for one in &report.advice {
            let about = one.targets.join(", ");
            let about = if about.is_empty() { about } else { format!(": {about}") };
            writeln!(f, "\n{}{about}", self.paint(Ink::Warn, &format!("note {}", one.advice.slug())))?;
            writeln!(f, "  {}\n  seen: {}\n  {}", one.advice.sentence(), one.cause, one.advice.next_step())?;
            self.next(f, &one.advice.command_hint().command(&report.subject(&one.targets), &report.home))?;
        }
        Ok(())
    }
}

impl Printed<'_> {
    fn paint(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Warn => "33",
            Ink::Bold => "1",
            Ink::Faint => "2",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn node(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let node = &self.report.node;
        match &node.facts {
            None => writeln!(f, "tailscaled  does not answer")?,
            Some(facts) => {
                let mode = if facts.tun { "TUN" } else { "userspace" };
                let addresses: Vec<_> = self.report.addresses.iter().map(ToString::to_string).collect();
                let home = if facts.home_region.is_empty() { "none" } else { &facts.home_region };
                writeln!(
                    f,
                    "tailscaled  {}, {}, {mode} mode, DERP home {}",
                    node.state.slug(),
                    escape(facts.version.split('-').next().unwrap_or_default()),
                    escape(home)
                )?;
                writeln!(f, "node        {}  {}", escape(&facts.hostname), addresses.join(", "))?;
            }
        }
        match &self.report.agent {
            None => writeln!(
                f,
                "agent       none answers here that this telltail understands: this is seen by the doctor alone"
            ),
            Some(agent) => writeln!(f, "agent       {}", agent.says()),
        }
    }

    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 5]> = self.report.targets.iter().map(row).collect();
        let head = ["TARGET", "STATE", "FINDING", "PATH", "CONNECT / ANSWER"].map(str::to_owned);
        let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].len()).max().unwrap_or_default();
        let widths = [0, 1, 2, 3].map(width);
        let line = |row: &[String; 5]| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
            format!("{}{}", cells.collect::<String>(), row[4])
        };
        writeln!(f, "\n{}", self.paint(Ink::Faint, line(&head).trim_end()))?;
        for (row, one) in rows.iter().zip(&self.report.targets) {
            let ink = match (&one.diagnosis.verdict, one.target.required) {
                (Ok(_), _) => Ink::Good,
                (Err(_), true) => Ink::Bad,
                (Err(_), false) => Ink::Warn,
            };
            writeln!(f, "{}", self.paint(ink, line(row).trim_end()))?;
        }
        Ok(())
    }

    fn finding(&self, f: &mut Formatter<'_>, finding: &Finding<'_>) -> fmt::Result {
        let Some(first) = finding.targets.first() else { return Ok(()) };
        let reason = finding.failure.reason;
        let names: Vec<_> = finding.targets.iter().map(|one| one.target.name.as_str()).collect();
        let affected = match names.len() {
            1 => names.join(", "),
            count => format!("{count} targets affected: {}", names.join(", ")),
        };
        let title = self.paint(Ink::Bad, reason.slug());
        writeln!(f, "\n{title} (fault of the {}): {affected}", reason.scope().slug())?;
        writeln!(f, "  {}", reason.sentence())?;
        self.ladder(f, &first.diagnosis.steps)?;
        if let Some(known) = self.report.agent.as_ref().map(|agent| agent.history(&first.target.name)) {
            for line in known {
                writeln!(f, "  {line}")?;
            }
        }
        writeln!(f, "  {}", reason.next_step())?;
        self.next(f, &reason.command_hint().command(&first.subject(), &self.report.home))
    }

    /// Rungs that were not tried for one and the same reason are told in a line.
    fn ladder(&self, f: &mut Formatter<'_>, steps: &[Step]) -> fmt::Result {
        for run in
            steps.chunk_by(|a, b| a.state == StepStatus::NotTried && b.state == a.state && a.evidence == b.evidence)
        {
            let names: Vec<_> = run.iter().map(|step| step.check.slug()).collect();
            for step in run.iter().take(1) {
                let (word, ink) = match step.state {
                    StepStatus::Passed => ("ok     ", Ink::Good),
                    StepStatus::Failed => ("BROKEN ", Ink::Bad),
                    StepStatus::NotTried => ("-      ", Ink::Faint),
                };
                let names = names.join(", ");
                let evidence = &step.evidence;
                let text =
                    if run.len() > 1 { format!("{names}: {evidence}") } else { format!("{names:14} {evidence}") };
                writeln!(f, "    {} {text}", self.paint(ink, word))?;
            }
        }
        Ok(())
    }

    fn next(&self, f: &mut Formatter<'_>, next: &ShellCommand) -> fmt::Result {
        writeln!(f, "  next{}: {}", next.place(), self.paint(Ink::Bold, &next.line))
    }
}

fn row(one: &Examined) -> [String; 5] {
    let optional = if one.target.required { "" } else { " (optional)" };
    let (state, why) = match &one.diagnosis.verdict {
        Ok(proven) => ("up", proven.clone()),
        Err(failure) => ("down", failure.reason.slug().to_owned()),
    };
    let mut path = match &one.path {
        None | Some(Sample::Gone | Sample::Silent) => "-".to_owned(),
        Some(Sample::Direct) => "direct".to_owned(),
        Some(Sample::PeerRelay) => "peer relay".to_owned(),
        Some(Sample::Idle) => "idle".to_owned(),
        Some(Sample::Derp(region)) => format!("DERP {}", escape(&region.code)),
    };
    if let Some(took) = one.round_trip {
        path = format!("{path} {}", ms_text(took));
    }
    let took = [one.timings.connect, one.timings.protocol].map(|took| took.map_or_else(|| "-".to_owned(), ms_text));
    [format!("{}{optional}", one.target.name), state.to_owned(), why, path, took.join(" / ")]
}

impl Step {
    /// Is it the broken one?
    pub fn is_broken(&self) -> bool {
        self.state == StepStatus::Failed
    }
}

/// The lowest broken check of a target, if one is.
pub(super) fn broken(one: &Examined) -> Option<Check> {
    one.diagnosis.steps.iter().find(|step| step.is_broken()).map(|step| step.check)
}
