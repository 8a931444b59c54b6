//! `telltail check`: one probe now, stage by stage.

use crate::agent::MAGIC_DNS;
use crate::config::{Depth, Target, Via};
use crate::doctor::probed;
use crate::node::Node;
use crate::probe::ProbeResult;
use crate::probe::dns::MagicDns;
use crate::probe::resolve::Interest;
use crate::reason::{Failure, Reason, Scope};
use crate::tailscale::{LocalApi, Status};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What one probe showed.
#[derive(Debug)]
pub struct Report {
    target: Target,
    status: Option<Status>,
    probe: ProbeResult,
}

/// Exit codes of `pg_isready`, which scripts know.
const ACCEPTING: u8 = 0;
const REJECTING: u8 = 1;
const NO_RESPONSE: u8 = 2;
const NO_ATTEMPT: u8 = 3;

/// Probes `target` once through the tailscaled at `socket`.
pub async fn check(target: Target, socket: Option<PathBuf>) -> Report {
    let mut local = LocalApi::new(socket, Arc::new(|_, _| {}));
    let interest = Interest::of([&target]);
    let (node, status) = match local.status(true, &|peer| interest.wants(peer)).await {
        Ok(status) => (Node::of(&status, SystemTime::now()), Some(status)),
        Err(failure) => (Node::unreachable(failure), None),
    };
    let dns = MagicDns::new(MAGIC_DNS);
    let probe = probed(&target, &node, status.as_ref(), local.dialer(), &dns).await;
    Report { target, status, probe }
}

impl Report {
    /// 0 accepting, 1 rejecting, 2 no response, 3 no attempt was made.
    pub fn exit_code(&self) -> u8 {
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

    /// For people: a line per stage, then the verdict, and after a failure whose fault it is and what to do next.
    pub fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let target = &self.target;
        writeln!(out, "{}  {}://{}:{}", target.name, target.kind.slug(), target.host, target.port)?;
        if let Some(status) = &self.status {
            let mode = if status.tun { "tun" } else { "userspace" };
            writeln!(out, "  tailscaled  {}, {}, {mode} mode", status.version, status.backend_state)?;
        }
        let mut failed = self.probe.outcome.as_ref().err();
        for (stage, took) in self.stages() {
            let line = match (took, failed) {
                (Some(took), _) => format!("ok      {}", crate::duration::ms_text(took)),
                (None, Some(failure)) if failure.reason.slug().starts_with(stage) => {
                    failed = None;
                    format!("FAILED  {}", failure.cause)
                }
                (None, _) => "not tried".to_owned(),
            };
            writeln!(out, "  {stage:<10}  {line}")?;
        }
        match &self.probe.outcome {
            Ok(detail) => {
                writeln!(out, "up: {}, depth {}, via {}", detail.slug(), target.depth.slug(), self.way())?;
                if self.status.as_ref().is_some_and(|status| !status.tun) && !matches!(target.via, Via::Socks5(_)) {
                    writeln!(
                        out,
                        "note: a worker in userspace mode needs a proxy; name it with via=socks5://HOST:PORT to test its way"
                    )?;
                }
                Ok(())
            }
            Err(failure) => print_failure(out, failure),
        }
    }

    /// For programs.
    pub fn json(&self) -> serde_json::Value {
        let milliseconds = |took: Option<Duration>| took.map(crate::duration::ms_f64);
        let stages: serde_json::Map<_, _> =
            self.stages().into_iter().map(|(stage, took)| (format!("{stage}_ms"), json!(milliseconds(took)))).collect();
        let failure = self.probe.outcome.as_ref().err();
        json!({
            "target": self.target.name,
            "up": failure.is_none(),
            "detail": self.probe.outcome.as_ref().ok().map(|detail| detail.slug()),
            "depth": self.target.depth.slug(),
            "via": self.way(),
            "stages": stages,
            "reason": failure.map(|failure| failure.reason.slug()),
            "scope": failure.map(|failure| failure.reason.scope().slug()),
            "cause": failure.map(|failure| &failure.cause),
            "next_step": failure.map(|failure| failure.reason.next_step()),
            "tailscaled": self.status.as_ref().map(|status| &status.version),
        })
    }

    fn stages(&self) -> Vec<(&'static str, Option<Duration>)> {
        let timings = self.probe.timings;
        let mut stages = vec![("resolve", timings.resolve), ("connect", timings.connect)];
        if self.target.depth == Depth::Protocol {
            stages.push(("protocol", timings.protocol));
        }
        stages
    }

    fn way(&self) -> String {
        let tun = self.status.as_ref().is_some_and(|status| status.tun);
        self.target.via.in_mode(tun).to_string()
    }
}

fn print_failure(out: &mut dyn Write, failure: &Failure) -> std::io::Result<()> {
    let reason = failure.reason;
    writeln!(out, "down: {} (scope {})", reason.slug(), reason.scope().slug())?;
    if reason.is_node_fault() {
        writeln!(out, "  cause: {}", failure.cause)?;
    }
    writeln!(out, "  {}\n  next: {}", reason.sentence(), reason.next_step())
}
