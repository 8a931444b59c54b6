//! The configuration changes while the agent runs.

use crate::harness::{Harness, Setup};
use crate::series::lasting_series;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use telltail::agent::Signal;
use telltail_testkit::MetricsPage;

/// A file in a folder that ends with it.
pub struct File {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl File {
    pub fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("telltail.yaml");
        fs::write(&path, text).expect("a file");
        Self { _folder: folder, path }
    }

    pub fn write(&self, text: &str) {
        // As an editor does it: the new content is there at once.
        let new = self.path.with_extension("new");
        fs::write(&new, text).expect("a file");
        fs::rename(new, &self.path).expect("the same folder");
    }
}

/// What the file says is not to be overridden.
pub const FROM_FILE: [(&str, &str); 2] = [("TELLTAIL_INTERVAL", ""), ("TELLTAIL_TIMEOUT", "")];
const BOTH: &str =
    "interval: 1600ms\ntimeout: 790ms\ntargets:\n  - postgres://db:5432?name=db\n  - valkey://cache:6379?name=cache\n";

fn reloaded(page: &MetricsPage) -> bool {
    page.is("telltail_config_last_reload_successful", &[])
}

fn targets(page: &MetricsPage) -> BTreeSet<String> {
    ["db", "cache", "again"]
        .into_iter()
        .filter(|name| lasting_series(page).iter().any(|series| series.contains(&format!("(\"target\", \"{name}\")"))))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn targets_that_stay_keep_state_and_counts_and_those_that_go_lose_their_series() {
    let harness = Harness::new(Setup::Userspace);
    let file = File::new(BOTH);
    let agent = harness.agent_with(&FROM_FILE, Some(&file.path)).await;
    let first = agent.ready().await;
    let hash = first.sample("telltail_config_info", &[]).and_then(|sample| sample.label("hash"));
    let successes =
        |page: &MetricsPage| page.value("telltail_probes_total", &[("target", "db"), ("result", "success")]);
    let before = successes(&agent.probes("db", 3).await);

    file.write(
        "interval: 1600ms\ntimeout: 790ms\nreadiness: local\ntargets:\n  - postgres://db:5432?name=db&required=false\n  - postgres://db:5432?name=again\n",
    );
    let page = agent
        .until("a new target", |page| page.is("telltail_target_state", &[("target", "again"), ("state", "up")]))
        .await;
    assert_eq!(targets(&page), BTreeSet::from(["again".to_owned(), "db".to_owned()]));
    assert!(page.is("telltail_target_state", &[("target", "db"), ("state", "up")]));
    assert_eq!(page.value("telltail_target_transitions_total", &[("target", "db"), ("to", "up")]), 1.0);
    assert!(successes(&page) >= before);
    assert!(page.is("telltail_readiness_info", &[("mode", "local")]) && page.is("telltail_ready", &[]));
    assert_ne!(page.sample("telltail_config_info", &[]).and_then(|sample| sample.label("hash")), hash);
    assert_eq!(
        page.sample("telltail_target_info", &[("target", "db")]).and_then(|sample| sample.label("required")),
        Some("false")
    );
    assert_eq!(agent.get("/healthz/cache").await.0, 404);
    let lines = agent.log.lines_with("Configuration reloaded");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!((&lines[0]["added"], &lines[0]["removed"]), (&r#"["again"]"#.into(), &r#"["cache"]"#.into()));
    harness.cache.until(|tally| tally.open == 0).await;

    // The same name for another service is another target.
    file.write("interval: 1600ms\ntimeout: 790ms\ntargets:\n  - valkey://cache:6379?name=db\n");
    let page = agent
        .until("another db", |page| {
            page.sample("telltail_target_info", &[("target", "db")]).and_then(|sample| sample.label("kind"))
                == Some("valkey")
                && page.is("telltail_target_state", &[("target", "db"), ("state", "up")])
        })
        .await;
    assert!(successes(&page) < before, "its counts begin anew");
}

#[tokio::test]
async fn a_bad_file_keeps_the_old_configuration_and_is_told() {
    let harness = Harness::new(Setup::Userspace);
    let file = File::new(BOTH);
    let agent = harness.agent_with(&FROM_FILE, Some(&file.path)).await;
    let before = lasting_series(&agent.ready().await);
    let bad = [
        "intervall: 1s\ntargets: [postgres://db:5432]\n",
        "targets: [",
        "",
        "\u{feff}",
        "targets: []\n",
        "interval: 10ms\ntargets: [postgres://user:secret@db:5432]\n",
        "a: \"\\x1b[2J\nx\"\n",
    ];
    for text in bad {
        file.write(text);
        agent.until("refused", |page| !reloaded(page)).await;
        let page = agent.probes("db", 1).await;
        assert_eq!(lasting_series(&page), before);
        assert!(page.is("telltail_ready", &[]));
        file.write(BOTH);
        agent.until("back", reloaded).await;
    }
    fs::remove_file(&file.path).expect("the file");
    agent.until("missing", |page| !reloaded(page)).await;
    file.write(BOTH);
    agent.until("back", reloaded).await;
    let lines = agent.log.lines_with("New configuration rejected");
    assert!(lines.len() > bad.len(), "{lines:#?}");
    assert!(lines.iter().any(|line| line["problem"].as_str().is_some_and(|problem| problem.contains("interval"))));
    assert!(!format!("{lines:?}").contains("secret"));
    assert_eq!(agent.log.lines_with("Target is").len(), 2, "nothing has changed for the targets");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_in_force() {
    let harness = Harness::new(Setup::Userspace);
    let file = File::new(BOTH);
    let agent = harness.agent_with(&FROM_FILE, Some(&file.path)).await;
    agent.ready().await;
    file.write(&format!("startup_gate: targets\nlog: debug\nlisten: 127.0.0.1:1\nreadiness: observe\n{BOTH}"));
    agent.until("reloaded", |page| page.is("telltail_readiness_info", &[("mode", "observe")])).await;
    let lines = agent.log.lines_with("Other settings changed, too; they take effect after a restart");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["settings"], r#"["listen", "startup_gate", "log"]"#);

    // Still the listener of before.
    assert_eq!(agent.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_signal_reads_the_file_even_if_no_round_is_due() {
    let harness = Harness::new(Setup::Userspace);
    let file = File::new("interval: 1h\ntimeout: 900ms\ntargets: [\"postgres://db:5432?name=db\"]\n");
    let agent = harness.agent_with(&FROM_FILE, Some(&file.path)).await;
    agent.ready().await;
    let read = agent.metrics().await.value("telltail_config_last_reload_timestamp_seconds", &[]);
    agent.signals.send(Signal::Reload).await.expect("an agent");
    agent.until("read", |page| page.value("telltail_config_last_reload_timestamp_seconds", &[]) > read).await;

    // A target that is down would be asked in half a minute; with another interval its turn is at once.
    file.write("interval: 2s\ntimeout: 900ms\nreadiness: local\ntargets: [\"postgres://db:5432?name=db\"]\n");
    let probes = agent.metrics().await.sum("telltail_probes_total", &[]);
    for _ in 0..100 {
        agent.signals.send(Signal::Reload).await.expect("an agent");
    }
    let page = agent.until("asked", |page| page.sum("telltail_probes_total", &[]) > probes).await;
    assert!(page.is("telltail_readiness_info", &[("mode", "local")]));
    assert_eq!(page.value("telltail_target_transitions_total", &[("target", "db"), ("to", "up")]), 1.0);
}

#[tokio::test]
async fn a_swapped_link_gives_the_whole_old_or_the_whole_new_file() {
    let harness = Harness::new(Setup::Userspace);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let only_db = "interval: 2s\ntimeout: 900ms\nreadiness: observe\ntargets:\n  - postgres://db:5432?name=db\n";
    let both = "interval: 2s\ntimeout: 900ms\nreadiness: observe\ntargets:\n  - postgres://db:5432?name=db\n  - valkey://cache:6379?name=cache\n";
    // As the kubelet does it: the file is a link into `..data`, which is a link that is swapped.
    for (version, text) in [("v1", only_db), ("v2", both)] {
        fs::create_dir(folder.path().join(version)).expect("a folder");
        fs::write(folder.path().join(version).join("telltail.yaml"), text).expect("a file");
    }
    let data = folder.path().to_owned();
    let swap = move |to: &str| {
        symlink(to, data.join("..tmp")).expect("a link");
        fs::rename(data.join("..tmp"), data.join("..data")).expect("the same folder");
    };
    swap("v1");
    let path = folder.path().join("telltail.yaml");
    symlink("..data/telltail.yaml", &path).expect("a link");
    let agent = harness.agent_with(&FROM_FILE, Some(&path)).await;
    let (one, two) = (BTreeSet::from(["db".to_owned()]), BTreeSet::from(["cache".to_owned(), "db".to_owned()]));
    // In a thread of its own, so that it really meets the reading.
    let swapping = std::thread::spawn(move || {
        for turn in 0..10_000 {
            swap(if turn % 2 == 0 { "v1" } else { "v2" });
        }
    });
    while !swapping.is_finished() {
        agent.signals.send(Signal::Reload).await.expect("an agent");
        let page = agent.metrics().await;
        assert!(reloaded(&page));
        let seen = targets(&page);
        assert!(seen == one || seen == two, "{seen:?}");
    }
    swapping.join().expect("links");
    agent.signals.send(Signal::Reload).await.expect("an agent");
    let page = agent.until("v2", |page| targets(page) == two).await;
    assert_eq!(page.value("telltail_target_transitions_total", &[("target", "db"), ("to", "down")]), 0.0);
}
