//! The doctor's report as text for a terminal.

use super::explain::{Explanation, steps, transition};
use super::terminal::{Palette, Style, Table};
use crate::diagnose::{Step, StepStatus};
use crate::doctor::{DoctorReport, Finding, RunningAgent, TargetReport};
use crate::duration::ms_text;
use crate::path::Sample;
use crate::untrusted::escape;

/// Changes of a target that are shown: enough to see that it flaps. `telltail status` shows more.
const MAX_CHANGES: usize = 3;

/// The verdict, the targets, and each finding with its evidence and the next command.
pub fn render(report: &DoctorReport, palette: Palette) -> String {
    let (title, style) = match report.exit_code() {
        0 => ("OK", Style::Good),
        1 => ("DOWN", Style::Bad),
        _ => ("DEGRADED", Style::Warning),
    };
    let mut text = format!("{}  {}\n\n", palette.paint(style, title), palette.paint(Style::Bold, &report.verdict()));
    text += &node(report, palette);
    text.push('\n');
    text += &targets(report, palette);
    for finding in report.findings() {
        text.push('\n');
        text += &explanation(report, &finding, palette).render(palette);
    }
    for advisory in &report.advisories {
        let command = advisory.code.command_hint().command(&report.subject(&advisory.targets), &report.pod);
        let targets = advisory.targets.join(", ");
        let explanation = Explanation {
            cause: Some(&advisory.cause),
            command: Some(command),
            ..Explanation::of_advisory(palette, &targets, advisory.code)
        };
        text.push('\n');
        text += &explanation.render(palette);
    }
    text
}

fn node(report: &DoctorReport, palette: Palette) -> String {
    let agent = match &report.agent {
        None => "no compatible agent found; live checks only".to_owned(),
        Some(RunningAgent { document, .. }) => {
            format!("running. {}", escape(&document.verdict))
        }
    };
    let mut table = Table::indented(0);
    let mut add = |name: &str, value: String| table.add([name.to_owned(), value], (0, Style::Faint));
    match &report.node.facts {
        None => add("tailscaled", "does not answer".to_owned()),
        Some(facts) => {
            let mode = facts.mode.name();
            let version = escape(facts.version.split('-').next().unwrap_or_default());
            let region = if facts.home_region.is_empty() { "none".to_owned() } else { escape(&facts.home_region) };
            let state = report.node.state.slug();
            add("tailscaled", format!("{state}, {version}, {mode} mode, DERP home {region}"));
            let addresses: Vec<_> = report.addresses.iter().map(ToString::to_string).collect();
            add("node", format!("{}  {}", escape(&facts.hostname), addresses.join(", ")));
        }
    }
    add("agent", agent);
    table.render(palette)
}

fn targets(report: &DoctorReport, palette: Palette) -> String {
    let mut table = Table::with_header(&["TARGET", "STATE", "FINDING", "PATH", "CONNECT / ANSWER"]);
    for target in &report.targets {
        let style = match (&target.diagnosis.verdict, target.target.required) {
            (Ok(_), _) => Style::Good,
            (Err(_), true) => Style::Bad,
            (Err(_), false) => Style::Warning,
        };
        table.add(row(target), (1, style));
    }
    table.render(palette)
}

fn row(target: &TargetReport) -> [String; 5] {
    let optional = if target.target.required { "" } else { " (optional)" };
    let (state, finding) = match &target.diagnosis.verdict {
        Ok(detail) => ("up", detail.clone()),
        Err(failure) => ("down", failure.reason.slug().to_owned()),
    };
    let mut path = match &target.path {
        None | Some(Sample::NoPeer) => "-".to_owned(),
        Some(Sample::NoReply) => "no reply".to_owned(),
        Some(sample) => match sample.region() {
            Some(region) => format!("DERP {}", escape(&region.code)),
            None => sample.path().slug().replace('_', " "),
        },
    };
    if let Some(took) = target.round_trip {
        path = format!("{path} {}", ms_text(took));
    }
    let took =
        [target.timings.connect, target.timings.protocol].map(|took| took.map_or_else(|| "-".to_owned(), ms_text));
    [format!("{}{optional}", target.target.name), state.to_owned(), finding, path, took.join(" / ")]
}

fn explanation<'a>(report: &'a DoctorReport, finding: &Finding<'a>, palette: Palette) -> Explanation<'a> {
    let names: Vec<_> = finding.targets.iter().map(|target| target.target.name.as_str()).collect();
    let mut explanation = Explanation::of_failure(palette, &names.join(", "), finding.failure);
    // The failed check shows it.
    explanation.cause = None;
    if let Some(first) = finding.targets.first() {
        explanation.details = checks(&first.diagnosis.steps, palette);
        if let Some(agent) = &report.agent {
            explanation.details += &history(agent, &first.target.name, palette);
        }
        explanation.command = Some(finding.failure.reason.command_hint().command(&first.subject(), &report.pod));
    }
    explanation
}

/// Checks that were not tried for the same reason share a row.
fn checks(all: &[Step], palette: Palette) -> String {
    let runs = all.chunk_by(|a, b| a.state == StepStatus::NotTried && b.state == a.state && a.evidence == b.evidence);
    let rows = runs.filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        let name = match run.len() {
            1 => first.check.slug().to_owned(),
            _ => format!("{} to {}", first.check.slug(), last.check.slug()),
        };
        Some((first.state, name, first.evidence.clone()))
    });
    steps(palette, rows)
}

/// What the running agent remembers of a target, newest first.
fn history(agent: &RunningAgent, target: &str, palette: Palette) -> String {
    let Some(target) = agent.document.targets.iter().find(|other| other.name == target) else { return String::new() };
    let mut text = format!("  agent: {} since {}\n", escape(&target.state), escape(&target.since));
    for change in target.transitions.iter().take(MAX_CHANGES) {
        let path = change.path.as_ref().map_or_else(String::new, |path| format!(", path {}", escape(path)));
        text += &format!("    {}  {}{path}\n", escape(&change.at), transition(palette, change));
    }
    text
}
