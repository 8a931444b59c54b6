//! The tailnet's policy against its own tests, and those against what the charts render.

use crate::workers;
use std::collections::BTreeSet;
use telltail_deploy::Pod;
use telltail_deploy::charts::{ENVIRONMENTS, Mode};
use telltail_deploy::policy::Policy;
use telltail_testkit::repository;

fn text() -> String {
    std::fs::read_to_string(repository().join("deploy/tailnet/policy.hujson")).unwrap()
}

fn policy() -> Policy {
    Policy::read(&text()).unwrap()
}

#[test]
fn its_tests_hold() {
    assert_eq!(policy().failures(), Vec::<String>::new());
}

#[test]
fn no_environment_reaches_another() {
    let policy = policy();
    for from in ENVIRONMENTS {
        for to in ENVIRONMENTS {
            for server in [format!("tag:stackeye-db-{to}:5432"), format!("tag:stackeye-valkey-{to}:6379")] {
                let worker = format!("tag:stackeye-worker-{from}");
                assert_eq!(policy.allows(&worker, &server), from == to, "{worker} to {server}");
                let test = policy.tests.iter().find(|test| test.src == worker).expect("a test for each environment");
                let listed = if from == to { &test.accept } else { &test.deny };
                assert!(listed.contains(&server), "the policy's own tests do not say {worker} to {server}");
            }
        }
    }
}

#[test]
fn each_worker_reaches_exactly_what_it_is_rendered_with() {
    let policy = policy();
    for (worker, rendered) in workers().iter().filter(|(worker, _)| worker.mode == Mode::Userspace) {
        let container = Pod::of(rendered).container("worker").unwrap();
        let wanted: BTreeSet<String> = ["DATABASE_ADDRESS", "VALKEY_ADDRESS"]
            .iter()
            .map(|variable| format!("tag:{}", container.variable(variable).unwrap()))
            .collect();
        let own = format!("tag:stackeye-worker-{}", worker.environment);
        let test = policy.tests.iter().find(|test| test.src == own).unwrap();
        assert_eq!(test.accept.iter().cloned().collect::<BTreeSet<_>>(), wanted, "{worker:?}");
        assert!(Pod::of(rendered).container("tailscale").unwrap().variable("TS_EXTRA_ARGS").unwrap().ends_with(&own));
    }
}

#[test]
fn a_grant_too_many_is_found() {
    let extra =
        r#""grants": [{"src": ["tag:stackeye-worker-dev"], "dst": ["tag:stackeye-db-prd"], "ip": ["tcp:5432"]},"#;
    let opened = Policy::read(&text().replace("\"grants\": [", extra)).unwrap();
    assert_eq!(opened.failures(), ["tag:stackeye-worker-dev reaches tag:stackeye-db-prd:5432"]);
    let closed = Policy::read(&text().replace("\"ip\": [\"tcp:6379\"]", "\"ip\": [\"tcp:6380\"]")).unwrap();
    assert_eq!(closed.failures().len(), 3, "{:?}", closed.failures());
}

#[test]
fn what_the_checker_does_not_know_is_refused() {
    for (old, new) in [
        ("\"grants\": [", "\"autoApprovers\": {}, \"grants\": ["),
        ("\"grants\": [", "\"acls\": [], \"grants\": ["),
        ("\"src\": [\"tag:stackeye-worker-dev\"]", "\"src\": [\"*\"]"),
        ("\"ip\": [\"tcp:5432\"]", "\"ip\": [\"*\"]"),
        ("\"ip\": [\"tcp:5432\"]", "\"ip\": [\"tcp:5000-6000\"]"),
        ("\"ip\": [\"tcp:5432\"]", "\"via\": [\"tag:x\"], \"ip\": [\"tcp:5432\"]"),
        ("\"tag:stackeye-db-dev:22\"", "\"stackeye-db-dev:22\""),
    ] {
        let changed = text().replace(old, new);
        assert_ne!(changed, text(), "{old} is not in the file");
        assert!(Policy::read(&changed).is_err(), "{new} is taken");
    }
}
