//! The report for programs. Version 1: names stay, new ones may come.

use super::print::broken;
use super::{Examined, Report};
use crate::command_hint::ShellCommand;
use crate::path::Sample;
use humantime::format_rfc3339_seconds;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

impl Report {
    /// For programs.
    pub fn json(&self) -> Value {
        let facts = self.node.facts.as_ref();
        json!({
            "version": 1,
            "at": time(Some(self.at)),
            "exit_code": self.exit_code(),
            "verdict": self.verdict(),
            "node": {
                "state": self.node.state.slug(),
                "version": facts.map(|facts| &facts.version),
                "mode": facts.map(|facts| if facts.tun { "tun" } else { "userspace" }),
                "hostname": facts.map(|facts| &facts.hostname),
                "addresses": self.addresses,
                "online": facts.map(|facts| facts.online),
                "home_region": facts.map(|facts| &facts.home_region),
                "key_expiry": time(facts.and_then(|facts| facts.key_expiry)),
                "accept_dns": self.prefs.map(|prefs| prefs.accept_dns),
                "accept_routes": self.prefs.map(|prefs| prefs.accept_routes),
                "warnings": self.warnings.as_ref().map(|warnings| warnings.iter().map(|one| json!({
                    "code": one.code,
                    "severity": one.severity.slug(),
                    "impacts_connectivity": one.impacts_connectivity,
                })).collect::<Vec<_>>()),
            },
            "targets": self.targets.iter().map(target).collect::<Vec<_>>(),
            "findings": self.findings().iter().map(|finding| {
                let reason = finding.failure.reason;
                let subject = finding.targets.first().map(|one| one.subject()).unwrap_or_default();
                json!({
                    "code": reason.slug(),
                    "scope": reason.scope().slug(),
                    "targets": finding.targets.iter().map(|one| &one.target.name).collect::<Vec<_>>(),
                    "sentence": reason.sentence(),
                    "cause": finding.failure.cause,
                    "next_step": reason.next_step(),
                    "next_command": command(&reason.command_hint().command(&subject, &self.home)),
                })
            }).collect::<Vec<_>>(),
            "advice": self.advice.iter().map(|one| json!({
                "code": one.advice.slug(),
                "targets": one.targets,
                "sentence": one.advice.sentence(),
                "cause": one.cause,
                "next_step": one.advice.next_step(),
                "next_command": command(&one.advice.command_hint().command(&self.subject(&one.targets), &self.home)),
            })).collect::<Vec<_>>(),
            "agent": self.agent.as_ref().map(|agent| &agent.document),
        })
    }
}

fn target(one: &Examined) -> Value {
    let failure = one.diagnosis.verdict.as_ref().err();
    let target = &one.target;
    json!({
        "name": target.name,
        "kind": target.kind.slug(),
        "host": target.host.to_string(),
        "port": target.port,
        "required": target.required,
        "up": failure.is_none(),
        "detail": one.diagnosis.verdict.as_ref().ok(),
        "reason": failure.map(|failure| failure.reason.slug()),
        "scope": failure.map(|failure| failure.reason.scope().slug()),
        "cause": failure.map(|failure| &failure.cause),
        "broken": broken(one).map(|check| check.slug()),
        "depth": target.depth.slug(),
        "via": one.via,
        "expect": target.expect.slug(),
        "machine": one.peer.as_ref().map(|machine| json!({
            "name": machine.name,
            "address": machine.address,
            "online": machine.online,
            "key_expiry": time(machine.key_expiry),
        })),
        "path": one.path.as_ref().map(path),
        "region": one.path.as_ref().and_then(|path| match path {
            Sample::Derp(region) => Some(&region.code),
            Sample::Direct | Sample::PeerRelay | Sample::Idle | Sample::Silent | Sample::Gone => None,
        }),
        "round_trip_ms": ms(one.round_trip),
        "stages": {
            "resolve_ms": ms(one.timings.resolve),
            "connect_ms": ms(one.timings.connect),
            "protocol_ms": ms(one.timings.protocol),
        },
        "names": one.names.as_ref().map(|names| json!({
            "netmap": one.peer.as_ref().map(|machine| &machine.addresses),
            "magic_dns": names.magic_dns.as_ref().map(answer),
            "pod": names.pod.as_ref().map(|pod| json!({ "name": pod.name, "answer": answer(&pod.addresses) })),
        })),
        "ladder": one.diagnosis.steps.iter().map(|step| json!({
            "check": step.check.slug(),
            "state": step.state.slug(),
            "evidence": step.evidence,
        })).collect::<Vec<_>>(),
    })
}

fn path(sample: &Sample) -> &'static str {
    match sample {
        Sample::Direct => "direct",
        Sample::PeerRelay => "peer_relay",
        Sample::Derp(_) => "derp",
        Sample::Idle => "idle",
        Sample::Silent | Sample::Gone => "unknown",
    }
}

fn answer(answer: &Result<Vec<IpAddr>, String>) -> Value {
    match answer {
        Ok(addresses) => json!(addresses),
        Err(seen) => json!(crate::reason::escape(seen)),
    }
}

fn command(command: &ShellCommand) -> Value {
    json!({ "on": command.on, "line": command.line })
}

fn time(time: Option<SystemTime>) -> Option<String> {
    time.map(|time| format_rfc3339_seconds(time).to_string())
}

fn ms(took: Option<Duration>) -> Option<f64> {
    took.map(crate::duration::ms_f64)
}
