use serde_json::json;

use super::*;

const TAILSCALE: usize = 0;
const TELLTAIL: usize = 1;
const WORKER: usize = 2;

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// The chart's pod in small: two sidecars, of which the second has every probe, and a worker.
fn pod() -> PodLifecycle {
    let container = |name: &str| {
        json!({
            "name": name, "image": name, "resources": {}, "securityContext": {
                "runAsUser": 1, "runAsGroup": 1, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {},
            },
        })
    };
    let probe = |period: u32, failures: u32| {
        let get = json!({"path": "/", "port": "telltail"});
        json!({"httpGet": get, "periodSeconds": period, "failureThreshold": failures})
    };
    let (mut tailscale, mut telltail) = (container("tailscale"), container("telltail"));
    tailscale["restartPolicy"] = json!("Always");
    telltail["restartPolicy"] = json!("Always");
    telltail["startupProbe"] = probe(1, 3);
    telltail["readinessProbe"] = probe(5, 2);
    telltail["livenessProbe"] = probe(10, 2);
    let spec = json!({
        "initContainers": [tailscale, telltail], "containers": [container("worker")],
        "terminationGracePeriodSeconds": 60, "automountServiceAccountToken": false,
    });
    PodLifecycle::new(&serde_json::from_value(spec).unwrap())
}

/// The kinds of the probes among actions.
fn kinds(actions: &[Action]) -> Vec<ProbeKind> {
    let kind = |action: &Action| if let Action::Probe(due) = action { Some(due.kind) } else { None };
    actions.iter().filter_map(kind).collect()
}

/// The probe of this kind that is due.
fn due(life: &mut PodLifecycle, kind: ProbeKind, now: Duration) -> DueProbe {
    let is = |action| if let Action::Probe(due) = action { (due.kind == kind).then_some(due) } else { None };
    life.next(now).into_iter().find_map(is).unwrap_or_else(|| panic!("{kind:?} is not due at {now:?}"))
}

fn pass(life: &mut PodLifecycle, kind: ProbeKind, now: Duration) {
    let due = due(life, kind, now);
    life.probed(due, &Ok(()), now);
}

fn fail(life: &mut PodLifecycle, kind: ProbeKind, now: Duration) {
    let due = due(life, kind, now);
    life.probed(due, &Err("503".to_owned()), now);
}

/// A pod that runs whole and is Ready at 1 s.
fn ready_pod() -> PodLifecycle {
    let mut life = pod();
    pass(&mut life, ProbeKind::Startup, at(0.0));
    for action in life.next(at(1.0)) {
        if let Action::Probe(due) = action {
            life.probed(due, &Ok(()), at(1.0));
        }
    }
    assert!(life.ready());
    life
}

#[test]
fn the_worker_waits_for_the_startup_probe_of_the_sidecar_before_it() {
    let mut life = pod();
    let first = life.next(at(0.0));
    assert_eq!(first[..2], [Action::Start(TAILSCALE), Action::Start(TELLTAIL)]);
    assert_eq!(kinds(&first), [ProbeKind::Startup], "the other probes wait for it");
    let Action::Probe(startup) = first[2] else { panic!("{first:?}") };
    life.probed(startup, &Err("503".to_owned()), at(0.1));
    assert_eq!(life.next(at(0.9)), []);

    pass(&mut life, ProbeKind::Startup, at(1.0));
    let then = life.next(at(1.1));
    assert_eq!(then[0], Action::Start(WORKER));
    assert_eq!(kinds(&then), [ProbeKind::Readiness, ProbeKind::Liveness]);
    assert!(!life.ready(), "readiness was not asked yet");
}

#[test]
fn a_startup_probe_that_never_passes_restarts_its_container_and_nothing_behind_it_starts() {
    let mut life = pod();
    for second in [0.0, 1.0, 2.0] {
        fail(&mut life, ProbeKind::Startup, at(second));
    }
    assert_eq!(life.next(at(2.1)), [Action::Terminate(TELLTAIL)]);
    life.exited(TELLTAIL, 0, at(2.5));
    assert_eq!(life.next(at(2.6))[0], Action::Start(TELLTAIL), "the first restart is not put off");
    life.exited(TELLTAIL, 1, at(3.0));
    assert_eq!(life.next(at(12.9)), [], "the second is, by 10 s");
    assert_eq!(life.next(at(13.0))[0], Action::Start(TELLTAIL));
}

#[test]
fn readiness_falls_with_the_second_failure_and_rises_with_the_first_success() {
    let mut life = ready_pod();
    fail(&mut life, ProbeKind::Readiness, at(6.0));
    assert!(life.ready());
    fail(&mut life, ProbeKind::Readiness, at(11.0));
    assert!(!life.ready());
    pass(&mut life, ProbeKind::Readiness, at(16.0));
    assert!(life.ready());
}

#[test]
fn a_liveness_probe_that_fails_too_often_restarts_its_container_alone() {
    let mut life = ready_pod();
    fail(&mut life, ProbeKind::Liveness, at(10.0));
    fail(&mut life, ProbeKind::Liveness, at(20.0));
    assert_eq!(life.next(at(20.0))[0], Action::Terminate(TELLTAIL));
    assert!(!life.next(at(79.9)).contains(&Action::Kill(TELLTAIL)));
    assert!(life.next(at(80.0)).contains(&Action::Kill(TELLTAIL)), "the grace period is over");
    life.exited(TELLTAIL, -9, at(80.1));
    assert_eq!(life.next(at(80.2))[0], Action::Start(TELLTAIL));
}

#[test]
fn an_answer_to_a_run_that_is_over_does_not_count() {
    let mut life = pod();
    let late = due(&mut life, ProbeKind::Startup, at(0.0));
    life.exited(TELLTAIL, 1, at(0.1));
    life.next(at(0.2));
    life.probed(late, &Ok(()), at(0.3));
    assert!(!life.next(at(0.4)).contains(&Action::Start(WORKER)));
}

#[test]
fn a_sidecar_that_dies_is_started_again_and_the_worker_is_left_alone() {
    let mut life = ready_pod();
    life.exited(TAILSCALE, 1, at(2.0));
    assert!(!life.ready());
    assert_eq!(life.next(at(2.1)), [Action::Start(TAILSCALE)]);
    assert!(life.ready());
}

#[test]
fn a_deleted_pod_ends_in_reverse_order_and_one_at_a_time() {
    let mut life = ready_pod();
    life.delete(at(2.0));
    assert_eq!(life.next(at(2.0)), [Action::Terminate(WORKER)]);
    assert_eq!(life.next(at(2.5)), []);
    life.exited(WORKER, 0, at(3.0));
    assert_eq!(life.next(at(3.0)), [Action::Terminate(TELLTAIL)]);
    life.exited(TELLTAIL, 0, at(3.5));
    assert_eq!(life.next(at(3.5)), [Action::Terminate(TAILSCALE)]);
    assert!(!life.over());
    life.exited(TAILSCALE, 0, at(4.0));
    assert!(life.over());
    assert_eq!(life.next(at(4.0)), [], "nothing is started again");
}

#[test]
fn when_the_grace_period_is_over_all_are_told_and_two_seconds_later_killed() {
    let mut life = ready_pod();
    life.delete(at(2.0));
    life.next(at(2.0));
    let terminated = life.next(at(62.0));
    assert_eq!(terminated[..2], [Action::Terminate(TELLTAIL), Action::Terminate(TAILSCALE)]);
    let killed = life.next(at(64.0));
    for container in [TAILSCALE, TELLTAIL, WORKER] {
        assert!(killed.contains(&Action::Kill(container)), "{killed:?}");
    }
}

#[test]
fn a_pod_that_is_deleted_while_its_gate_is_shut_never_starts_its_worker() {
    let mut life = pod();
    life.next(at(0.0));
    life.delete(at(0.5));
    assert_eq!(life.next(at(0.5)), [Action::Terminate(TELLTAIL)]);
    life.exited(TELLTAIL, 0, at(0.6));
    assert_eq!(life.next(at(0.6)), [Action::Terminate(TAILSCALE)]);
    life.exited(TAILSCALE, 0, at(0.7));
    assert!(life.over());
}
