//! Signals in the first moments, and to process 1.

use crate::run::{Agent, TestTailnet, telltail};
use std::fs;
use std::process::Command;
use tokio::task::yield_now;

/// Waits until signals are caught; false if it has ended before.
async fn catches_signals(agent: &Agent) -> bool {
    while !agent.catches_signals() {
        if agent.has_ended() {
            return false;
        }
        yield_now().await;
    }
    true
}

#[tokio::test]
async fn the_first_signal_that_is_caught_ends_it_in_order() {
    let tailnet = TestTailnet::new();
    for _ in 0..20 {
        let agent = tailnet.run(|_| {});
        assert!(catches_signals(&agent).await, "{}", agent.stderr());
        agent.signal("TERM", 1);
        assert_eq!(agent.ended().await.code(), Some(0));
        assert_eq!((agent.log_lines("Stopped").len(), agent.stderr().as_str()), (1, ""));
    }
}

/// A configuration that takes a while to read, and that is wrong, so that signals are caught before it was read or never.
#[tokio::test]
async fn signals_are_caught_before_the_configuration_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telltail.yaml");
    fs::write(&file, format!("{}targets: [\n", "# a long comment\n".repeat(15_000))).expect("a file");
    let mut seen = false;
    // On a busy machine it may have ended before this process looks.
    for _ in 0..50 {
        let mut command = telltail(&["run"]);
        command.arg("--config").arg(&file);
        let agent = Agent::start(command);
        seen = catches_signals(&agent).await;
        assert_eq!(agent.ended().await.code(), Some(78), "{}", agent.stderr());
        if seen {
            break;
        }
    }
    assert!(seen, "signals are caught only once the configuration was read");
}

/// The kernel discards a signal to process 1 that is not caught: the pod's end would wait for SIGKILL.
#[tokio::test]
async fn as_process_1_without_an_init_it_ends_in_order() {
    let tailnet = TestTailnet::new();
    let namespace = ["--map-root-user", "--pid", "--fork", "--kill-child"];
    if !Command::new("unshare").args(namespace).arg("true").status().is_ok_and(|status| status.success()) {
        println!("no PID namespace can be made here: not tried");
        return;
    }
    for signal in ["TERM", "INT"] {
        let run = tailnet.quick(&["run"]);
        let mut command = Command::new("unshare");
        command.args(namespace).arg(run.get_program()).args(run.get_args()).env_clear();
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let agent = Agent::start(command);
        agent.until("/healthz", 200).await;
        agent.signal_child(signal);
        assert_eq!(agent.ended().await.code(), Some(0));
        assert_eq!(agent.log_lines("Stopped").len(), 1);
    }
}
