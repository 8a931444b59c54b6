//! `telltail check`: one probe now, stage by stage.

use super::config::VARIABLES;
use super::context::load;
use super::explain::{Explanation, steps};
use super::terminal::Palette;
use super::{CommandContext, EXIT_USAGE, Exit, FileArgument};
use crate::agent::MAGIC_DNS;
use crate::config::{Config, Depth, TARGETS_VARIABLE, Target, url};
use crate::diagnose::StepStatus;
use crate::doctor::{AdvisoryCode, CheckReport, check_target};
use crate::duration::ms_text;
use crate::probe_result::Detail;
use crate::reason::Stage;
use crate::untrusted::escape;
use std::sync::Arc;
use std::time::Duration;

/// Probe one target now, stage by stage
///
/// Exit status: 0 accepting, 1 rejecting, 2 no response, 3 no attempt was made.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub struct CheckArgs {
    /// Name of a configured target, or a URL such as postgres://stackeye-db-prd:5432
    target: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: FileArgument,
}

impl CheckArgs {
    /// Probes the target and prints the result.
    pub async fn run(self, context: &mut CommandContext) -> Result<u8, Exit> {
        let is_url = self.target.contains("://");
        let config = if is_url { self.config_of_url(context)? } else { context.load(self.file)? };
        let mut targets = config.targets;
        targets.retain(|target| is_url || target.name == self.target);
        let report = check_target(only(targets, &self.target)?, config.socket, MAGIC_DNS).await;
        if self.json {
            context.out.print_json(&report.json())?;
        } else {
            let text = render(&report, context.out.palette());
            context.out.print(&text)?;
        }
        Ok(report.exit_code())
    }

    /// The URL as the only target, with the other variables as they are.
    fn config_of_url(&self, context: &CommandContext) -> Result<Config, Exit> {
        let environment = context.environment();
        // The file's targets are not needed, but its path of tailscaled's socket is.
        let file = self.file.path.clone().or_else(|| environment.file());
        let socket = file.map(|file| load(environment, Some(file))).transpose()?.and_then(|config| config.socket);
        let environment = context.environment_with([("TELLTAIL_CONFIG", ""), (TARGETS_VARIABLE, &self.target)]);
        let config = load(environment, None)?;
        Ok(Config { socket: config.socket.clone().or(socket), ..config })
    }
}

/// The one target that the argument means. Of several URLs none is probed: exit status and JSON are one target's.
fn only(mut targets: Vec<Arc<Target>>, argument: &str) -> Result<Arc<Target>, Exit> {
    let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
    let problem = match names.len() {
        0 => format!("no target is called {argument}; name one or give a URL"),
        1 => return Ok(targets.remove(0)),
        count => format!(
            "check probes one target, and these are {count}: {}; `telltail doctor` checks all of TELLTAIL_TARGETS",
            names.join(", ")
        ),
    };
    Err(Exit::new(EXIT_USAGE, problem))
}

/// A line per stage, then the result, and after a failure whose fault it is and what to do next.
fn render(report: &CheckReport, palette: Palette) -> String {
    let target = &report.target;
    let mut text = format!("{}  {}\n", target.name, url(target));
    if let Some(status) = &report.status {
        let mode = status.mode.slug();
        let [version, state] = [&status.version, &status.backend_state].map(|text| escape(text));
        text += &format!("  tailscaled  {version}, {state}, {mode} mode\n");
    }
    text += &stage_table(report, palette);
    match &report.probe.outcome {
        Ok(detail) => {
            text += &format!("up: {}, depth {}, via {}\n", detail.slug(), report.depth().slug(), report.via());
            if *detail == Detail::TlsOnly {
                text += &Explanation::of_advisory(palette, "", AdvisoryCode::ProtocolUntested).render(palette);
            }
            if report.status.as_ref().is_some_and(|status| !target.via.tests_worker_path(status.mode)) {
                text += &Explanation::of_advisory(palette, "", AdvisoryCode::WorkerWayUntested).render(palette);
            }
        }
        Err(failure) => {
            let verdict = if failure.reason.is_own_shortage() { "unknown" } else { "down" };
            let mut explanation = Explanation::of_failure(palette, verdict, failure);
            // Of other failures the table of stages shows it.
            explanation.cause = explanation.cause.filter(|_| failure.reason.is_node_fault());
            text += &explanation.render(palette);
        }
    }
    text
}

fn stage_table(report: &CheckReport, palette: Palette) -> String {
    let failure = report.probe.outcome.as_ref().err().filter(|failure| !failure.reason.is_node_fault());
    let mut stages = report.probe.timings.by_stage().to_vec();
    stages.retain(|(stage, _)| *stage != Stage::Protocol || report.target.depth == Depth::Protocol);
    // The first stage without a duration failed; those after it were not reached.
    let failed = stages.iter().position(|(_, took)| took.is_none());
    let row = |(index, (stage, took)): (usize, &(Stage, Option<Duration>))| {
        let (status, evidence) = match (took, failure) {
            (Some(took), _) => (StepStatus::Passed, ms_text(*took)),
            (None, Some(failure)) if failed == Some(index) => (StepStatus::Failed, failure.cause.clone()),
            (None, _) => (StepStatus::NotTried, "not tried".to_owned()),
        };
        (status, stage.slug().to_owned(), evidence)
    };
    steps(palette, stages.iter().enumerate().map(row))
}
