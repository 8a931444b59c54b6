//! What tailscaled tells of its own accord, and a bus that does not do what it should: it ends, falls behind, is refused,
//! or speaks another version's words.

use crate::harness::{Agent, Harness, Setup};
use bytes::Bytes;
use std::time::Duration;
use tailscaled_sim::{BackendState, Call, Misbehaviour, Warning};
use tokio::join;
use tokio::time::{Instant, sleep};

const BUS: &str = "watch-ipn-bus";

#[tokio::test]
async fn warnings_of_the_bus_come_and_go() {
    let harness = Harness::new(Setup::Userspace);
    let agent = harness.agent(&[]).await;
    let page = agent.ready().await;
    assert_eq!(page.sum("telltail_node_health_warning", &[]), 0.0);
    assert!(page.is("telltail_node_derp_info", &[("region", "nyc"), ("region_id", "1")]));
    let warn = |code: &str| {
        harness.tailscaled.with_state(|sim| sim.warnings.insert(code.to_owned(), Warning::new("a text")));
    };
    warn("no-derp-connection");
    let known = [("code", "no-derp-connection"), ("severity", "medium")];
    agent.until("a warning", |page| page.is("telltail_node_health_warning", &known)).await;
    warn("made-up-by-control");
    let page = agent.until("two", |page| page.sum("telltail_node_health_warning", &[]) == 2.0).await;
    assert!(page.is("telltail_node_health_warning", &[("code", "other")]), "a code is never a label of its own");
    assert!(page.is("telltail_ready", &[]));
    // A stream that is opened anew tells them all again.
    harness.tailscaled.end_buses();
    agent.until("opened anew", |_| harness.calls("watch-ipn-bus") == 2).await;
    agent.until("told again", |page| page.sum("telltail_node_health_warning", &[]) == 2.0).await;
    harness.tailscaled.with_state(|sim| sim.warnings.clear());
    agent.until("none", |page| page.sum("telltail_node_health_warning", &[]) == 0.0).await;

    harness.tailscaled.with_state(|sim| "sfo".clone_into(&mut sim.relay));
    let sfo = [("region", "sfo"), ("region_id", "2")];
    let page = agent.until("another home", |page| page.is("telltail_node_derp_info", &sfo)).await;
    assert_eq!(page.sum("telltail_node_derp_info", &[]), 1.0);
    harness.nothing_unexpected();
}

#[tokio::test]
async fn bus_notifications_are_not_left_until_the_next_interval() {
    let harness = Harness::new(Setup::Userspace);
    let agent = harness.agent(&[("TELLTAIL_INTERVAL", "30s")]).await;
    agent.ready().await;
    agent.until("a bus", |_| harness.calls("watch-ipn-bus") == 1).await;
    // Not within the time that is left between two rounds, lest it be the first round that sees it.
    sleep(Duration::from_secs(3)).await;
    let began = Instant::now();
    harness.tailscaled.set_backend_state(BackendState::Stopped);
    agent.until("stopped", |page| page.is("telltail_node_state", &[("state", "stopped")])).await;
    let down = [("target", "db"), ("state", "down")];
    agent.until("down", |page| page.is("telltail_target_state", &down)).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(agent.get("/healthz").await.0, 503);
    harness.nothing_unexpected();
}

#[tokio::test]
async fn a_bus_that_keeps_ending_is_opened_later_and_later() {
    let harness = Harness::new(Setup::Userspace);
    let agent = harness.agent(&[("TELLTAIL_INTERVAL", "30s")]).await;
    agent.ready().await;
    agent.until("a bus", |_| harness.calls("watch-ipn-bus") == 1).await;
    let rounds = harness.calls("status");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        harness.tailscaled.end_buses();
        sleep(Duration::from_millis(50)).await;
    }
    // After 1 s and 2 s, give or take a fifth, and a third time after 4 s.
    let opened = harness.calls("watch-ipn-bus");
    assert!((2..=4).contains(&opened), "opened {opened} times");
    // Each end and each first line may wake the loop, but not more than once in 2 s.
    let rounds = harness.calls("status") - rounds;
    assert!(rounds <= 5, "{rounds} rounds");
    agent.until("opened again", |_| harness.calls("watch-ipn-bus") > opened).await;
    assert!(agent.metrics().await.is("telltail_ready", &[]));
    harness.nothing_unexpected();
}

/// What a bus may do instead of sending notifications, each time it is opened: the status alone then has to do.
#[tokio::test]
async fn without_a_bus_the_rounds_tell_all_and_it_is_asked_for_later_and_later() {
    let error = |status, text: &str| Misbehaviour::Error(status, text.to_owned());
    join!(
        is_no_storm("ends at once", Misbehaviour::Json(Bytes::new())),
        is_no_storm("cut within the first line", Misbehaviour::CloseAfter(400)),
        is_no_storm("unknown", error(404, "404 page not found")),
    );
    join!(
        is_no_storm("cut at once", Misbehaviour::Close(Bytes::new())),
        is_no_storm("forbidden", error(403, "watch IPN bus access denied")),
        is_no_storm("no JSON", Misbehaviour::Json("<html>\n".into())),
    );
}

async fn is_no_storm(what: &str, bus: Misbehaviour) {
    let harness = Harness::new(Setup::Userspace);
    harness.tailscaled.misbehave_at(Call::Bus, bus);
    let began = Instant::now();
    let agent = harness.agent(&[("TELLTAIL_INTERVAL", "4s"), ("TELLTAIL_TIMEOUT", "1900ms")]).await;
    agent.ready().await;
    agent.probes("db", 1).await;
    let logged = lines_but_of_targets(&agent);
    sleep(Duration::from_secs(8)).await;
    let (opened, asked) = (harness.calls(BUS), harness.calls("status"));
    // Waits of 1, 2, 4, 8, 16 s, give or take a fifth.
    let passed = began.elapsed().as_secs_f64();
    let most = [0.0, 0.8, 2.4, 5.6, 12.0, 24.8].iter().filter(|at| passed >= **at).count();
    assert!((3..=most).contains(&opened), "{what}: opened {opened} times in {passed} s");
    // The rounds' own, one for each time that it ended, and retries where this machine was too busy for a probe.
    let failed = agent.metrics().await.sum("telltail_probes_total", &[("result", "failure")]);
    let most = 2.0 + passed / 3.6 + opened as f64 + 2.0 * failed;
    assert!(asked as f64 <= most, "{what}: {asked} rounds in {passed} s");
    assert_eq!(lines_but_of_targets(&agent), logged, "{what}: {:#?}", agent.log.lines());

    harness.tailscaled.set_backend_state(BackendState::Stopped);
    let asked = harness.calls("status");
    agent.until("stopped", |page| page.is("telltail_node_state", &[("state", "stopped")])).await;
    let asked = harness.calls("status") - asked;
    assert!(asked <= 2, "{what}: the next round sees it, or the one after it if it was under way: {asked}");
    harness.nothing_unexpected();
}

fn lines_but_of_targets(agent: &Agent) -> usize {
    let of_targets = ["Target is", "Path changed"].map(|message| agent.log.lines_with(message).len());
    agent.log.lines().len() - of_targets.iter().sum::<usize>()
}

/// Since 1.102 a reader that was too slow is told so and let go; before, it misses a line and is not told.
#[tokio::test]
async fn a_bus_that_fell_behind_is_opened_again_and_tells_all_anew() {
    for (version, opened) in [("1.102.5", 2), ("1.98.10", 1)] {
        let harness = Harness::new(Setup::Userspace);
        harness.tailscaled.set_version(version);
        let agent = harness.agent(&[]).await;
        agent.ready().await;
        agent.until("a bus", |_| harness.calls(BUS) == 1).await;
        let logged = lines_but_of_targets(&agent);
        harness.tailscaled.overrun_buses();
        // The first is lost either way, and told by what comes after.
        harness.tailscaled.warn("no-derp-connection", Warning::new("a text"));
        harness.tailscaled.warn("no-derp-home", Warning::new("a text"));
        let warned = agent.until("warned", |page| page.sum("telltail_node_health_warning", &[]) == 2.0).await;
        assert!(warned.is("telltail_ready", &[]), "{version}");
        assert_eq!(
            (harness.calls(BUS), lines_but_of_targets(&agent)),
            (opened, logged),
            "{version}: {:#?}",
            agent.log.lines()
        );
        harness.nothing_unexpected();
    }
}

/// Words of a release to come are passed over; what cannot be read ends the stream, not the agent.
#[tokio::test]
async fn lines_that_no_release_says_yet_hurt_nobody() {
    let harness = Harness::new(Setup::Userspace);
    let agent = harness.agent(&[]).await;
    agent.ready().await;
    agent.until("a bus", |_| harness.calls(BUS) == 1).await;
    let logged = lines_but_of_targets(&agent);
    for line in [
        "{}",
        r#"{"State":"Running","Health":null,"ErrMessage":null}"#,
        r#"{"State":{"Now":6},"SelfChange":[[],{}],"Prefs":7,"Weather":{"Health":{"Warnings":{"a":1}}}}"#,
        r#"{"Health":{"Warnings":null,"Advice":[1]}}"#,
        r#"{"Health":{"Warnings":{"a-new-one":null}}}"#,
        r#"{"Health":{"Warnings":{}}}"#,
    ] {
        harness.tailscaled.say_on_buses(format!("{line}\n"));
    }
    still_hears(&harness, &agent, "no-derp-home").await;
    assert_eq!(harness.calls(BUS), 1, "nothing of it ends the stream");

    let broken: [&[u8]; 4] = [b"[1,2]\n", b"{\"Health\":7}\n", b"\xff\xfe\n", b"{\"State\":6"];
    for (already, bytes) in (1..).zip(broken) {
        harness.tailscaled.say_on_buses(bytes);
        if bytes.ends_with(b"\n") {
            agent.until("opened again", |_| harness.calls(BUS) == already + 1).await;
        } else {
            harness.tailscaled.end_buses();
        }
    }
    still_hears(&harness, &agent, "no-derp-connection").await;
    assert_eq!(lines_but_of_targets(&agent), logged, "{:#?}", agent.log.lines());
    assert_eq!(agent.metrics().await.sum("telltail_probes_total", &[("result", "failure")]), 0.0);
    harness.nothing_unexpected();
}

async fn still_hears(harness: &Harness, agent: &Agent, code: &str) {
    harness.tailscaled.warn(code, Warning::new("a text"));
    let warned = |page: &telltail_testkit::MetricsPage| page.is("telltail_node_health_warning", &[("code", code)]);
    let page = agent.until("warned", warned).await;
    assert!(page.is("telltail_ready", &[]));
}
