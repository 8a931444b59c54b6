//! `telltail check`: one probe now, stage by stage.

use super::config::VARIABLES;
use super::context::load;
use super::explain::{Explanation, steps};
use super::terminal::Palette;
use super::{CommandContext, EXIT_USAGE, Exit, FileArgument};
use crate::advisory::AdvisoryCode;
use crate::agent::MAGIC_DNS;
use crate::config::{Config, Depth, TARGETS_VARIABLE, Target, url};
use crate::diagnose::StepStatus;
use crate::doctor::{probe_target, stages_json};
use crate::duration::ms_text;
use crate::node::Node;
use crate::probe::dns::MagicDns;
use crate::probe::resolve::PeerFilter;
use crate::probe_result::ProbeResult;
use crate::reason::{Reason, Scope, Stage};
use crate::tailscale::{LocalApi, Status};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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
        let target = config.targets.into_iter().find(|target| is_url || target.name == self.target);
        let target = target.ok_or_else(|| {
            Exit::new(EXIT_USAGE, format!("no target is called {}; name one or give a URL", self.target))
        })?;
        let report = check(target, config.socket).await;
        if self.json {
            context.out.print_json(&report.json())?;
        } else {
            let text = report.render(context.out.palette());
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

/// The result of one probe.
#[derive(Debug)]
struct CheckReport {
    target: Arc<Target>,
    status: Option<Status>,
    probe: ProbeResult,
}

/// Exit codes of `pg_isready`, which scripts know.
const ACCEPTING: u8 = 0;
const REJECTING: u8 = 1;
const NO_RESPONSE: u8 = 2;
const NO_ATTEMPT: u8 = 3;

/// Probes `target` once through the tailscaled at `socket`.
async fn check(target: Arc<Target>, socket: Option<PathBuf>) -> CheckReport {
    let mut local = LocalApi::new(socket, Arc::new(|_, _| {}));
    let filter = PeerFilter::of([&*target]);
    let (node, status) = match local.status(true, &|peer| filter.matches(peer)).await {
        Ok(status) => (Node::of(&status, SystemTime::now()), Some(status)),
        Err(failure) => (Node::unreachable(failure), None),
    };
    let dns = MagicDns::new(MAGIC_DNS);
    let probe = probe_target(&target, &node, status.as_ref(), local.dialer(), &dns).await;
    CheckReport { target, status, probe }
}

impl CheckReport {
    fn exit_code(&self) -> u8 {
        let Err(failure) = &self.probe.outcome else { return ACCEPTING };
        let rejecting = matches!(
            failure.reason,
            Reason::ProtocolStarting
                | Reason::ProtocolShuttingDown
                | Reason::ProtocolFull
                | Reason::ProtocolLoading
                | Reason::ProtocolRejected
        );
        let attempted = failure.reason.scope() != Scope::Pod && self.probe.timings.resolve.is_some();
        match (attempted, rejecting) {
            (false, _) => NO_ATTEMPT,
            (true, true) => REJECTING,
            (true, false) => NO_RESPONSE,
        }
    }

    /// For people: a line per stage, then the result, and after a failure whose fault it is and what to do next.
    fn render(&self, palette: Palette) -> String {
        let target = &self.target;
        let mut text = format!("{}  {}\n", target.name, url(target));
        if let Some(status) = &self.status {
            let mode = status.mode.slug();
            text += &format!("  tailscaled  {}, {}, {mode} mode\n", status.version, status.backend_state);
        }
        text += &self.stage_table(palette);
        match &self.probe.outcome {
            Ok(detail) => {
                text += &format!("up: {}, depth {}, via {}\n", detail.slug(), target.depth.slug(), self.via());
                if self.status.as_ref().is_some_and(|status| !target.via.tests_worker_path(status.mode)) {
                    text += &Explanation::of_advisory(palette, "", AdvisoryCode::WorkerWayUntested).render(palette);
                }
            }
            Err(failure) => {
                let mut explanation = Explanation::of_failure(palette, "down", failure);
                // Of other failures the table of stages shows it.
                explanation.cause = explanation.cause.filter(|_| failure.reason.is_node_fault());
                text += &explanation.render(palette);
            }
        }
        text
    }

    fn stage_table(&self, palette: Palette) -> String {
        let failure = self.probe.outcome.as_ref().err().filter(|failure| !failure.reason.is_node_fault());
        let mut stages = self.probe.timings.by_stage().to_vec();
        stages.retain(|(stage, _)| *stage != Stage::Protocol || self.target.depth == Depth::Protocol);
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

    /// For programs.
    fn json(&self) -> Value {
        let failure = self.probe.outcome.as_ref().err();
        json!({
            "target": self.target.name,
            "up": failure.is_none(),
            "detail": self.probe.outcome.as_ref().ok().map(|detail| detail.slug()),
            "depth": self.target.depth.slug(),
            "via": self.via(),
            "stages": stages_json(self.probe.timings),
            "reason": failure.map(|failure| failure.reason.slug()),
            "scope": failure.map(|failure| failure.reason.scope().slug()),
            "cause": failure.map(|failure| &failure.cause),
            "next_step": failure.map(|failure| failure.reason.next_step()),
            "tailscaled": self.status.as_ref().map(|status| &status.version),
        })
    }

    fn via(&self) -> String {
        let mode = self.status.as_ref().map(|status| status.mode).unwrap_or_default();
        self.target.via.effective(mode).to_string()
    }
}
