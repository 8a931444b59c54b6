//! `telltail doctor` beside real tailscaleds: every check is made to fail, and the doctor names it, ends with the right code, and
//! the command that it prints works.

#![expect(clippy::print_stdout, reason = "what a person would see shows in the output of a run")]

mod advice;
mod bundle;
mod login;
mod own_node;
mod resolver;
mod targets;

use serde_json::Value;
use std::time::Duration;
use telltail_tailnet::{Mode, Node, Output, Tailnet, Version, doctor, run_in_shell};

const DB: &str = "stackeye-db-prd";
const CACHE: &str = "stackeye-valkey-prd";
const POSTGRES: &str = "postgres://stackeye-db-prd:5432";
const SOON: Duration = Duration::from_secs(15);
/// The image runs telltail as this user.
const USER: &str = "65532";

async fn node(tailnet: &Tailnet, name: &str, mode: Mode) -> Node {
    tailnet.node(name, Version::V1_102, mode).await
}

/// The report of one run of the doctor.
struct DoctorOutput {
    code: i32,
    json: Value,
}

async fn ask(worker: &Node, targets: &str) -> DoctorOutput {
    let Output { code, stdout, stderr, .. } = worker.run_as(USER, &doctor(worker, targets, &["--json"])).await;
    let json: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    assert_eq!(json["exit_code"], code);
    assert!(stderr.is_empty() && stdout.is_ascii(), "{stderr}{stdout}");
    DoctorOutput { code, json }
}

/// Prints what a person would see.
async fn show(worker: &Node, title: &str, targets: &str) -> String {
    let output = worker.run_as(USER, &doctor(worker, targets, &[])).await;
    println!("\n===== {title} (exit code {}) =====\n{}{}", output.code, output.stdout, output.stderr);
    assert!(!output.stdout.contains('\u{1b}'), "no terminal, no colours");
    output.stdout
}

impl DoctorOutput {
    fn item<'a>(&'a self, list: &str, key: &str, value: &str) -> &'a Value {
        let items = self.json[list].as_array().unwrap_or_else(|| panic!("no {list}: {:#}", self.json));
        let found = items.iter().find(|item| item[key] == value);
        found.unwrap_or_else(|| panic!("no {value} among {list}: {:#}", self.json))
    }

    /// The target is up.
    fn is_up(&self, target: &str) {
        let found = self.item("targets", "name", target);
        assert_eq!((&found["up"], &found["failed_check"]), (&true.into(), &Value::Null), "{found:#}");
    }

    /// The target is down for this reason at this check, all checks before it passed and none after it was tried.
    fn failed_at(&self, target: &str, reason: &str, check: &str) {
        let found = self.item("targets", "name", target);
        assert_eq!((&found["reason"], &found["failed_check"]), (&reason.into(), &check.into()), "{found:#}");
        let checks = found["checks"].as_array().expect("checks");
        let at = checks.iter().position(|step| step["check"] == check).expect("the check");
        assert_eq!(checks.len(), 11);
        for (place, step) in checks.iter().enumerate() {
            let tried = reason == "protocol_mtu" && place > at && step["state"] == "ok";
            let known = match (check, step["check"].as_str()) {
                // Nobody carries the name, so nothing can be shown for it.
                ("netmap", Some("name")) => step["state"] == "not_tried",
                // The status of a node that does nothing still tells its key.
                ("backend_state", Some("own_key")) => step["state"] == "ok",
                _ => false,
            };
            let want = match place.cmp(&at) {
                std::cmp::Ordering::Less => "ok",
                std::cmp::Ordering::Equal => "failed",
                std::cmp::Ordering::Greater => "not_tried",
            };
            assert!(step["state"] == want || tried || known, "{target}, {reason}: {step}");
            assert!(step["evidence"].as_str().is_some_and(|evidence| !evidence.is_empty()), "{step}");
        }
        let finding = self.item("findings", "code", reason);
        assert!(finding["targets"].as_array().is_some_and(|targets| targets.contains(&target.into())), "{finding}");
    }

    fn has_no(&self, advice: &str) {
        let codes: Vec<_> = self.json["advice"].as_array().into_iter().flatten().map(|one| &one["code"]).collect();
        assert!(!codes.contains(&&Value::from(advice)), "{codes:?}");
    }
}

/// Types the command of a finding or advice where it says, and looks for what it must print.
async fn next_works(report: &DoctorOutput, list: &str, code: &str, machines: &[&Node], prints: &str) {
    let next = &report.item(list, "code", code)["next_command"];
    let line = next["line"].as_str().expect("a command");
    let on = next["on"].as_str();
    let machine = machines.iter().find(|node| on.is_none_or(|on| node.name() == on)).expect("the machine");
    let output = run_in_shell(machine, line).await;
    println!("{code}: {line}  -> {} {}", output.code, output.stdout.lines().next().unwrap_or_default());
    assert!(![126, 127, 64].contains(&output.code), "{line}: {}{}", output.stdout, output.stderr);
    let printed = format!("{}{}", output.stdout, output.stderr);
    assert!(printed.contains(prints), "{line} prints no {prints:?}: {printed}");
}
