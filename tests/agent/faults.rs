//! Plays the table of faults, each row on a tailnet of its own, several side by side.

use crate::fault_coverage;
use crate::fault_table::{Expected, FaultCase, rows};
use crate::golden;
use crate::harness::{Agent, Harness, PATIENCE};
use crate::series::lasting_series;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use telltail::cli::doctor_text::render;
use telltail::cli::terminal::Palette;
use telltail_testkit::MetricsPage;
use tokio::time::{Instant, sleep};

/// Rows at once. Most of a row is waiting.
const SIDE_BY_SIDE: usize = 24;

/// A mute proxy and a mute name server are given up after a second, which has to be less than the whole probe's time.
const PACE: &[(&str, &str)] = &[("TELLTAIL_INTERVAL", "2600ms"), ("TELLTAIL_TIMEOUT", "1250ms")];

#[test]
fn every_fault_is_seen_as_the_table_says() {
    let only = std::env::var("TELLTAIL_ROW").ok();
    let rows: Vec<_> =
        rows().into_iter().filter(|row| only.as_ref().is_none_or(|only| title(row).contains(only.as_str()))).collect();
    let next = AtomicUsize::new(0);
    let fails = |row: &&FaultCase| catch_unwind(AssertUnwindSafe(|| play(row))).is_err();
    let play_next = || {
        let rows = std::iter::from_fn(|| rows.get(next.fetch_add(1, Ordering::Relaxed)));
        rows.filter(fails).collect::<Vec<_>>()
    };
    let mut failed: Vec<_> = thread::scope(|scope| {
        let players: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(play_next)).collect();
        players.into_iter().flat_map(|player| player.join().expect("a player catches what happens")).collect()
    });
    // Rows that flood take the processor from others, whose probes may then be late on a busy machine. What is wrong
    // stays wrong when a row is alone.
    println!("played again alone: {:#?}", failed.iter().map(|row| title(row)).collect::<Vec<_>>());
    failed.retain(fails);
    let failed: Vec<_> = failed.into_iter().map(title).collect();
    assert!(failed.is_empty(), "{} of {} rows failed: {failed:#?}", failed.len(), rows.len());
}

fn title(row: &FaultCase) -> String {
    format!("{:?} {:?}: {}", row.numbers, row.setup, row.fault)
}

fn play(row: &FaultCase) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let harness = Harness::new(row.setup);
        let agent = harness.agent(PACE).await;
        // Before the first probe: `increase` has to see what is counted first.
        let before = agent.metrics().await;
        agent.ready().await;
        (row.inject)(&harness);
        match row.expected {
            Expected::Up { target, .. } => stays_up(row, &agent, target).await,
            Expected::Down { target, reason, scope } => goes_down(row, &agent, &before, target, reason, scope).await,
        }
        doctor_agrees(row, &harness).await;
        // A row may leave tailscaled in a state in which it cannot even say what it was asked.
        harness.nothing_unexpected();
        agent.stop().await.lines();
    });
}

async fn stays_up(row: &FaultCase, agent: &Agent, target: &str) {
    let probes = |page: &MetricsPage| page.value("telltail_probes_total", &[("target", target), ("result", "success")]);
    let wanted = probes(&agent.metrics().await) + 3.0;
    let page = agent.until(&title(row), |page| probes(page) >= wanted).await;
    let failures = page.sum("telltail_probes_total", &[("target", target), ("result", "failure")]);
    assert_eq!(failures, 0.0, "{}: {}", title(row), nonzero(&page));
    assert_eq!(ready(&page), row.expected.ready(), "{}", title(row));
    assert_eq!(agent.get(&format!("/healthz/{target}")).await.0, 200);
}

async fn goes_down(row: &FaultCase, agent: &Agent, before: &MetricsPage, target: &str, reason: &str, scope: &str) {
    let failing = [("target", target), ("reason", reason), ("scope", scope)];
    let begun = Instant::now();
    let after = loop {
        let page = agent.metrics().await;
        if row.expected.ready()[1] {
            assert!(ready(&page)[1], "{}: was unready in mode local for a while", title(row));
        }
        let down = page.is("telltail_target_state", &[("target", target), ("state", "down")]);
        if down && page.is("telltail_target_failing_info", &failing) && ready(&page) == row.expected.ready() {
            break page;
        }
        if begun.elapsed() > PATIENCE {
            let healthz = agent.get("/healthz?verbose").await.1;
            panic!("{}: not seen as {:?}\n{healthz}\n{:#?}", title(row), row.expected, agent.log.lines());
        }
        sleep(std::time::Duration::from_millis(50)).await;
    };
    let count = |name, labels: &[(&str, &str)]| after.value(name, &[&[("target", target)], labels].concat());
    // What a silence is for is asked with the last failure before the fall, so the earlier ones may have another name.
    assert!(count("telltail_probe_failures_total", &failing[1..]) >= 1.0, "{}", title(row));
    assert!(after.sum("telltail_probe_failures_total", &failing[..1]) >= 2.0, "{}", title(row));
    assert_eq!(count("telltail_target_transitions_total", &[("to", "down")]), 1.0, "{}", title(row));
    assert_eq!(
        lasting_series(&after),
        lasting_series(before),
        "{}: series are a function of the configuration alone",
        title(row)
    );

    let (status, body) = agent.get(&format!("/healthz/{target}")).await;
    assert_eq!(status, 503);
    assert!(body.starts_with(&format!("[-]{target} failed: {reason} (scope {scope})")), "{}: {body}", title(row));
    let (_, body) = agent.get("/healthz?verbose").await;
    // One line for the node, two targets, the mode, the modes, a note, and the end: a peer's text adds none.
    assert!(body.lines().count() <= 7 && body.is_ascii(), "{}: {body}", title(row));
    let lines = agent.log.lines_with("Target is down");
    let of_target: Vec<_> = lines.iter().filter(|line| line["target"] == *target).collect();
    assert_eq!(of_target.len(), 1, "{}: one line per transition: {lines:#?}", title(row));
    assert_eq!((&of_target[0]["reason"], &of_target[0]["scope"]), (&reason.into(), &scope.into()), "{}", title(row));
}

/// The doctor's code is the agent's reason, and what it advises is no fault.
async fn doctor_agrees(row: &FaultCase, harness: &Harness) {
    let report = harness.doctor(PACE, None).await;
    let (json, title) = (report.json(), title(row));
    let codes = |list: &str| {
        let all = json[list].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|one| one["code"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    match row.expected {
        Expected::Up { target, advice } => {
            let found = json["targets"].as_array().and_then(|all| all.iter().find(|one| one["name"] == target));
            assert!(found.is_some_and(|found| found["up"] == true), "{title}: {json:#}");
            assert!(advice.is_none_or(|advice| codes("advice").iter().any(|code| code == advice)), "{title}: {json:#}");
        }
        Expected::Down { target, reason, scope } => {
            assert_eq!(report.exit_code(), 1, "{title}: {json:#}");
            let found = json["targets"].as_array().and_then(|all| all.iter().find(|one| one["name"] == target));
            let found = found.unwrap_or_else(|| panic!("{title}: {json:#}"));
            assert_eq!((&found["reason"], &found["scope"]), (&reason.into(), &scope.into()), "{title}: {json:#}");
            assert!(codes("findings").iter().any(|code| code == reason), "{title}: {json:#}");
        }
    }
    let page = render(&report, Palette::PLAIN);
    assert!(page.lines().all(|line| line.bytes().all(|byte| (b' '..=b'~').contains(&byte))), "{title}: {page}");
    assert!(!page.contains("login.tailscale.com") && !json.to_string().contains("login.tailscale.com"), "{title}");
}

/// The failures that were counted, for messages.
fn nonzero(page: &MetricsPage) -> String {
    let counted: Vec<_> =
        page.samples("telltail_probe_failures_total", &[]).filter(|sample| sample.value != 0.0).collect();
    format!("{counted:?}")
}

/// Ready in strict, local and observe?
fn ready(page: &MetricsPage) -> [bool; 3] {
    ["strict", "local", "observe"].map(|mode| page.is("telltail_ready_by_mode", &[("mode", mode)]))
}

const COUNT: usize = 162;

/// `tests/faults.md` is made from the table. `UPDATE_GOLDEN=1 cargo test --test agent faults::docs` writes it anew.
#[test]
fn docs_faults_lists_every_number_once_and_where_it_is_proven() {
    let rows = rows();
    let played: BTreeSet<usize> = rows.iter().flat_map(|row| row.numbers).map(|number| usize::from(*number)).collect();
    let numbers = |uncovered: bool| {
        let some = fault_coverage::ROWS.iter().filter(move |(.., place)| place.starts_with("not covered") == uncovered);
        some.flat_map(|(numbers, ..)| *numbers).map(|number| usize::from(*number)).collect::<BTreeSet<_>>()
    };
    let (proven, uncovered) = (numbers(false), numbers(true));
    let all: BTreeSet<usize> = played.iter().chain(&proven).chain(&uncovered).copied().collect();
    assert_eq!(all, (1..=COUNT).collect(), "every number is somewhere");
    assert_eq!(played.len() + proven.len() + uncovered.len(), COUNT, "and in one place only");

    let mut page = format!(
        "Of {COUNT} faults {} are covered: {} by the table below, in {} rows, and {} elsewhere. {} are not.\n\n",
        played.len() + proven.len(),
        played.len(),
        rows.len(),
        proven.len(),
        uncovered.len()
    );
    page += "| # | setup | fault | ready in strict, local, observe | reason, and the doctor's code | scope |\n|---|---|---|---|---|---|\n";
    for row in &rows {
        let numbers: Vec<_> = row.numbers.iter().map(u8::to_string).collect();
        let ready = row.expected.ready().map(|ready| if ready { "yes" } else { "no" }).join(", ");
        let (reason, scope) = match row.expected {
            Expected::Up { advice, .. } => {
                (advice.map_or("–".to_owned(), |advice| format!("up; advice `{advice}`")), "–")
            }
            Expected::Down { reason, scope, .. } => (format!("`{reason}`"), scope),
        };
        let setup = format!("{:?}", row.setup).to_lowercase();
        page += &format!("| {} | {setup} | {} | {ready} | {reason} | {scope} |\n", numbers.join(", "), row.fault);
    }
    page += "\n## Elsewhere, or not\n\n| # | fault | where |\n|---|---|---|\n";
    for (numbers, fault, place) in fault_coverage::ROWS {
        let numbers: Vec<_> = numbers.iter().map(u8::to_string).collect();
        page += &format!("| {} | {fault} | {place} |\n", numbers.join(", "));
    }
    golden::check("tests/faults.md", &page);
}
