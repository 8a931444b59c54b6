//! The report for programs. Within a version fields stay, and new ones may come.

use super::{DoctorReport, TargetReport};
use crate::command_hint::ShellCommand;
use crate::document::time::writable;
use crate::path::Sample;
use crate::probe_result::Timings;
use crate::untrusted::escape;
use humantime::format_rfc3339_seconds;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

impl DoctorReport {
    /// For programs.
    pub fn json(&self) -> Value {
        let facts = self.node.facts.as_ref();
        json!({
            "version": 2,
            "at": time(Some(self.at)),
            "exit_code": self.exit_code(),
            "verdict": self.verdict(),
            "node": {
                "state": self.node.state.slug(),
                "version": facts.map(|facts| escape(&facts.version)),
                "mode": facts.map(|facts| facts.mode.slug()),
                "hostname": facts.map(|facts| escape(&facts.hostname)),
                "addresses": self.addresses,
                "online": facts.map(|facts| facts.online),
                "home_region": facts.map(|facts| escape(&facts.home_region)),
                "key_expiry": time(facts.and_then(|facts| facts.key_expiry)),
                "accept_dns": self.prefs.map(|prefs| prefs.accept_dns),
                "accept_routes": self.prefs.map(|prefs| prefs.accept_routes),
                "warnings": self.warnings.as_ref().map(|warnings| warnings.iter().map(|warning| json!({
                    "code": warning.code,
                    "severity": warning.severity.slug(),
                    "impacts_connectivity": warning.impacts_connectivity,
                })).collect::<Vec<_>>()),
            },
            "targets": self.targets.iter().map(target).collect::<Vec<_>>(),
            "findings": self.findings().iter().map(|finding| {
                let reason = finding.failure.reason;
                let subject = finding.targets.first().map(|target| target.subject()).unwrap_or_default();
                json!({
                    "code": reason.slug(),
                    "scope": reason.scope().slug(),
                    "targets": finding.targets.iter().map(|target| &target.target.name).collect::<Vec<_>>(),
                    "sentence": reason.sentence(),
                    "cause": finding.failure.cause,
                    "next_step": reason.next_step(),
                    "next_command": command(&reason.command_hint().command(&subject, &self.pod)),
                })
            }).collect::<Vec<_>>(),
            "advice": self.advisories.iter().map(|advisory| json!({
                "code": advisory.code.slug(),
                "targets": advisory.targets,
                "sentence": advisory.code.sentence(),
                "cause": advisory.cause,
                "next_step": advisory.code.next_step(),
                "next_command": command(&advisory.code.command_hint().command(&self.subject(&advisory.targets), &self.pod)),
            })).collect::<Vec<_>>(),
            "agent": self.agent.as_ref().map(|agent| &agent.document),
        })
    }
}

fn target(report: &TargetReport) -> Value {
    let failure = report.diagnosis.verdict.as_ref().err();
    let target = &report.target;
    json!({
        "name": target.name,
        "kind": target.kind.slug(),
        "host": target.host.to_string(),
        "port": target.port,
        "required": target.required,
        "up": failure.is_none(),
        "detail": report.diagnosis.verdict.as_ref().ok(),
        "reason": failure.map(|failure| failure.reason.slug()),
        "scope": failure.map(|failure| failure.reason.scope().slug()),
        "cause": failure.map(|failure| &failure.cause),
        "failed_check": report.failed_check().map(|check| check.slug()),
        "depth": report.depth.slug(),
        "via": report.via,
        "expect": target.expect.slug(),
        "peer": report.peer.as_ref().map(|peer| json!({
            "name": escape(&peer.name),
            "address": peer.address,
            "online": peer.online,
            "key_expiry": time(peer.key_expiry),
        })),
        "path": report.path.as_ref().map(|sample| sample.path().slug()),
        "region": report.path.as_ref().and_then(Sample::region).map(|region| escape(&region.code)),
        "round_trip_ms": ms(report.round_trip),
        "stages": stages_json(report.timings),
        "names": report.names.as_ref().map(|names| json!({
            "netmap": report.peer.as_ref().map(|peer| &peer.addresses),
            "magic_dns": names.magic_dns.as_ref().map(answer),
            "pod": names.pod.as_ref().map(|pod| json!({ "name": pod.name, "answer": answer(&pod.addresses) })),
        })),
        "checks": report.diagnosis.steps.iter().map(|step| json!({
            "check": step.check.slug(),
            "state": step.state.slug(),
            "evidence": step.evidence,
        })).collect::<Vec<_>>(),
    })
}

/// How long each stage of a probe took.
pub(super) fn stages_json(timings: Timings) -> Value {
    json!({
        "resolve_ms": ms(timings.resolve),
        "connect_ms": ms(timings.connect),
        "protocol_ms": ms(timings.protocol),
    })
}

fn answer(answer: &Result<Vec<IpAddr>, String>) -> Value {
    match answer {
        Ok(addresses) => json!(addresses),
        Err(error) => json!(escape(error)),
    }
}

fn command(command: &ShellCommand) -> Value {
    json!({ "on": command.on, "line": command.line })
}

fn time(time: Option<SystemTime>) -> Option<String> {
    time.map(|time| format_rfc3339_seconds(writable(time)).to_string())
}

fn ms(took: Option<Duration>) -> Option<f64> {
    took.map(crate::duration::ms_f64)
}
