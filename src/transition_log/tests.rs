//! A day in which everything flaps, and what must be told of it nevertheless.

use super::*;
use crate::captured_log::CapturedLog;
use crate::config::{Environment, Source};
use crate::path::Path;
use crate::reason::{Failure, Reason};
use crate::state::{PathChange, PeerChange, State, StateChange};
use serde_json::{Map, Value};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const DAY: u64 = 24 * 60 * 60;
const REJECTED: &str = "2 problems in the configuration:\n  telltail.yaml:1:1: one\n  telltail.yaml:2:1: two";

fn config(numbers: std::ops::Range<usize>) -> Config {
    let targets: Vec<_> = numbers.map(|number| format!("postgres://db{number}:5432")).collect();
    let environment: Environment = [("TELLTAIL_TARGETS", targets.join(",").as_str())].into_iter().collect();
    Source::new(environment, None).load().expect("a configuration that holds").config
}

fn snapshot(config: &Config, now: Instant) -> Snapshot {
    State::new(Arc::new(config.clone()), now, SystemTime::UNIX_EPOCH).snapshot(now)
}

fn state_change(up: bool) -> StateChange {
    let (from, to) = if up { (TrackState::Down, TrackState::Up) } else { (TrackState::Up, TrackState::Down) };
    let failure = (!up).then(|| Failure::new(Reason::ConnectRefused, "refused"));
    let at = SystemTime::UNIX_EPOCH;
    StateChange { at, from, to, lasted: Duration::from_secs(1), failure, timings: Default::default(), path: None }
}

/// Everything that can change, in one second.
fn changes(config: &Config, second: u64) -> Vec<Change> {
    let up = second.is_multiple_of(2);
    let (from, to) = if up { (Path::Derp, Path::Direct) } else { (Path::Direct, Path::Derp) };
    let path = PathChange { at: SystemTime::UNIX_EPOCH, from, to, region: None };
    let peer = |last| IpAddr::from(Ipv4Addr::new(100, 64, 0, last));
    let peer = PeerChange { from: peer(1), to: peer(2) };
    let mut changes = vec![Change::Node(state_change(up))];
    for target in &config.targets {
        changes.push(Change::Target(Arc::clone(target), state_change(up)));
        changes.push(Change::Path(Arc::clone(target), path.clone()));
        changes.push(Change::Peer(Arc::clone(target), peer));
    }
    changes
}

/// Changes that these lines stand for.
fn told<'a>(lines: impl Iterator<Item = &'a Map<String, Value>>) -> u64 {
    lines.map(|line| 1 + line.get("left_out").and_then(Value::as_u64).unwrap_or_default()).sum()
}

fn begins(line: &Map<String, Value>, message: &str) -> bool {
    line["message"].as_str().is_some_and(|text| text.starts_with(message))
}

#[test]
fn a_day_in_which_everything_flaps_is_told_in_two_thousand_lines_and_each_change_is_counted() {
    let log = CapturedLog::start();
    let (config, start) = (config(0..8), Instant::now());
    let mut transitions = TransitionLog::new(start);
    let quiet = snapshot(&config, start);
    for second in 0..DAY {
        let now = start + Duration::from_secs(second);
        if second.is_multiple_of(2) {
            transitions.reloaded(&config, &config, &["listen"], now);
        } else {
            transitions.reload_refused(REJECTED, now);
        }
        transitions.record(&changes(&config, second), &quiet, now);
    }
    let flapping = log.take_lines();
    println!("{} lines", flapping.len());
    assert!((1000..=2000).contains(&flapping.len()), "{}", flapping.len());

    // When it has stopped, the last state is told, late as it may be.
    for second in (DAY..DAY + 2 * 60 * 60).step_by(10) {
        transitions.record(&[], &quiet, start + Duration::from_secs(second));
    }
    let lines: Vec<_> = flapping.into_iter().chain(log.take_lines()).collect();
    for target in &config.targets {
        let of = |message: &'static str| {
            lines.iter().filter(move |line| {
                line.get("target").is_some_and(|name| *name == target.name) && begins(line, message)
            })
        };
        for message in ["Target is", "Path changed", "The target's peer changed"] {
            assert_eq!(told(of(message)), DAY, "{message} {}", target.name);
        }
        let last = of("Target is").next_back().expect("a line");
        assert!(begins(last, "Target is down"), "{last:?}");
    }
    for (message, count) in [
        ("Node is", DAY),
        ("Configuration reloaded", DAY / 2),
        ("Other settings changed", DAY / 2),
        ("New configuration rejected", DAY / 2),
    ] {
        assert_eq!(told(lines.iter().filter(|line| begins(line, message))), count, "{message}");
    }
}

#[test]
fn the_first_changes_after_a_quiet_time_are_told_at_once_whatever_else_flaps() {
    let log = CapturedLog::start();
    let (config, start) = (config(0..64), Instant::now());
    let mut transitions = TransitionLog::new(start);
    let quiet = snapshot(&config, start);
    let of = |number: usize, up| [Change::Target(Arc::clone(&config.targets[number]), state_change(up))];
    for second in 0..6 * 60 * 60 {
        let now = start + Duration::from_secs(second);
        let flapping: Vec<_> = (1..64).flat_map(|number| of(number, second.is_multiple_of(2))).collect();
        transitions.record(&flapping, &quiet, now);
    }
    log.take_lines();
    for (minutes, up) in [(0, false), (1, true), (2, false), (3, true)] {
        transitions.record(&of(0, up), &quiet, start + Duration::from_secs((6 * 60 + minutes) * 60));
        let lines = log.take_lines();
        let line = lines.iter().find(|line| line["target"] == "db0").expect("a line at once");
        assert!(begins(line, if up { "Target is up" } else { "Target is down" }), "{line:?}");
        assert!(!line.contains_key("left_out") && !line.contains_key("seconds_ago"), "{line:?}");
    }
}

#[test]
fn a_line_that_had_to_wait_tells_since_when_and_of_how_many_it_is_the_last() {
    let log = CapturedLog::start();
    let (config, start) = (config(0..1), Instant::now());
    let mut transitions = TransitionLog::new(start);
    let quiet = snapshot(&config, start);
    let at = |second| start + Duration::from_secs(second);
    for second in 0..36 {
        let change = Change::Target(Arc::clone(&config.targets[0]), state_change(second % 2 == 1));
        transitions.record(&[change], &quiet, at(second));
    }
    assert_eq!(log.take_lines().len(), 32);
    transitions.record(&[], &quiet, at(599));
    assert!(log.take_lines().is_empty());
    transitions.record(&[], &quiet, at(600));
    let line = log.take_lines().pop().expect("a line");
    assert_eq!(
        (&line["message"], &line["left_out"], &line["seconds_ago"]),
        (&"Target is up".into(), &3.into(), &565.0.into())
    );

    // What is not told of a target that is gone is counted.
    for second in 600..603 {
        let change = Change::Target(Arc::clone(&config.targets[0]), state_change(second % 2 == 1));
        transitions.record(&[change], &quiet, at(second));
    }
    transitions.end();
    assert_eq!(log.take_lines()[0]["left_out"], 3, "at the end, too");
    let other = self::config(1..2);
    transitions.reloaded(&config, &other, &[], at(610));
    transitions.record(&[], &quiet, at(610));
    assert_eq!(log.take_lines()[0]["left_out"], 3);
}

#[test]
fn a_rejected_configuration_is_one_line_with_its_first_problem() {
    let (log, now) = (CapturedLog::start(), Instant::now());
    let mut transitions = TransitionLog::new(now);
    let quiet = snapshot(&config(0..1), now);
    let mut line = |problems| {
        transitions.reload_refused(problems, now);
        transitions.record(&[], &quiet, now);
        log.take_lines().pop().expect("a line")
    };
    let rejected = line(REJECTED);
    assert_eq!(rejected["problem"], "telltail.yaml:1:1: one");
    assert_eq!(rejected["problems"], "2 problems in the configuration");
    let unreadable = line("telltail.yaml: is a FIFO, not a regular file");
    assert_eq!(unreadable["problem"], "telltail.yaml: is a FIFO, not a regular file");
    assert!(!unreadable.contains_key("problems"));
}
