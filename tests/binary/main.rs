//! The built binary: exit codes, help, signals, and what it may not need.

mod load;
mod log;
mod outside;
mod resources;
mod run;
mod signals;
#[path = "../support/mod.rs"]
mod support;

use run::{TARGETS, TestTailnet, output, telltail, text};
use serde_json::{Map, Value};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tailscaled_sim::services::Postgres;
use tailscaled_sim::{BackendState, Misbehaviour, PeerPort};
use telltail_testkit::{PATIENCE, eventually};
use tokio::time::sleep;

#[tokio::test]
async fn a_wrong_command_line_ends_with_64_and_help_with_0() {
    for (arguments, code) in [
        (&[][..], 64),
        (&["walk"], 64),
        (&["run", "--fast"], 64),
        (&["check"], 64),
        (&["--help"], 0),
        (&["--version"], 0),
        (&["help", "run"], 0),
    ] {
        let output = output(telltail(arguments)).await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn output_that_cannot_be_written_ends_with_70() {
    for arguments in [&["config", "show"][..], &["config", "schema"], &["check", "db", "--json"]] {
        let mut command = telltail(arguments);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        command.env("TELLTAIL_TARGETS", TARGETS).stdout(full).stderr(Stdio::null());
        assert_eq!(command.status().expect("a process").code(), Some(70), "{arguments:?}");
    }
}

#[tokio::test]
async fn every_help_names_the_variable_that_is_a_whole_configuration() {
    for command in [
        &[][..],
        &["run"],
        &["check"],
        &["doctor"],
        &["health"],
        &["status"],
        &["wait"],
        &["config", "check"],
        &["config", "show"],
    ] {
        let output = output(telltail(&[command, &["--help"]].concat())).await;
        let help = text(&output.stdout);
        assert!(output.status.success() && help.contains("TELLTAIL_TARGETS"), "{command:?}: {help}");
        assert!(help.lines().all(|line| line.len() <= 200), "{command:?}: {help}");
    }
    for command in ["config", "check", "doctor", "health", "run", "status", "wait"] {
        assert!(text(&output(telltail(&["--help"])).await.stdout).contains(command));
    }
}

#[tokio::test]
async fn a_wrong_configuration_ends_with_78_and_every_problem() {
    let output_of = async |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = telltail(arguments);
        command.envs(variables.iter().copied());
        let output = output(command).await;
        assert_eq!(output.status.code(), Some(78), "{variables:?}");
        text(&output.stderr)
    };
    let stderr = output_of(&[], &["run"]).await;
    assert!(stderr.contains("TELLTAIL_TARGETS"), "{stderr}");
    let wrong = [
        ("TELLTAIL_TARGETS", "postgres://user:hunter2@db:5432,mysql://x:1,valkey://a.b?name=Ü"),
        ("TELLTAIL_INTERVAL", "10"),
        ("TELLTAIL_READINESS", "strikt"),
        ("TELLTAIL_LISTEN", "here"),
    ];
    for arguments in [&["run"][..], &["config", "check"], &["health"], &["check", "db"]] {
        let stderr = output_of(&wrong, arguments).await;
        for place in ["password", "scheme", "Ü", "TELLTAIL_INTERVAL", "did you mean `strict`", "TELLTAIL_LISTEN"] {
            assert!(stderr.contains(place), "{arguments:?} says nothing of {place}: {stderr}");
        }
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    let stderr = output_of(&[], &["run", "--config", "/nonexistent/telltail.yaml"]).await;
    assert!(stderr.contains("/nonexistent/telltail.yaml"), "{stderr}");
}

#[tokio::test]
async fn what_is_no_regular_file_ends_with_78_and_blocks_neither_start_nor_reload() {
    let tailnet = TestTailnet::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let _socket = UnixListener::bind(path("socket")).expect("a socket");
    fs::create_dir(path("folder")).expect("a folder");
    assert!(Command::new("mkfifo").arg(path("fifo")).status().expect("coreutils").success());
    let others = [("fifo", "a FIFO"), ("socket", "a socket"), ("folder", "a directory"), ("/dev/zero", "a device")];
    for (name, kind) in others {
        for arguments in [&["run"][..], &["config", "check"], &["health"], &["check", "db"]] {
            let mut command = telltail(arguments);
            command.arg("--config").arg(path(name));
            let output = output(command).await;
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{arguments:?} {name}: {stderr}");
            assert!(stderr.contains(&format!("is {kind}, not a regular file")), "{arguments:?} {name}: {stderr}");
        }
    }

    // A link to a link, as Kubernetes mounts a ConfigMap; the update replaces the inner one.
    let show = |name: &str| {
        symlink(name, path("..new")).expect("a link");
        fs::rename(path("..new"), path("..data")).expect("a new target");
    };
    fs::write(path("file"), format!("targets: {:?}\n", TARGETS.split(',').collect::<Vec<_>>())).expect("a file");
    show("file");
    symlink("..data", path("telltail.yaml")).expect("a link");
    let agent = tailnet.run(|command| {
        command.arg("--config").arg(path("telltail.yaml")).env_remove("TELLTAIL_TARGETS");
    });
    agent.until("/healthz", 200).await;
    for (round, (name, kind)) in others.into_iter().enumerate() {
        show(name);
        let rejected = async || {
            assert_eq!(agent.soon("/livez").await, 200, "{name}");
            let refused = |line: &Map<String, Value>| line["problem"].as_str().is_some_and(|text| text.contains(kind));
            agent.log_lines("New configuration rejected; the old one stays in force").iter().any(refused)
        };
        eventually(kind, PATIENCE, rejected).await;
        assert_eq!(agent.soon("/healthz").await, 200, "the old one is in force");
        show("file");
        let reloaded = async || agent.log_lines("Configuration reloaded").len() > round;
        eventually("the file is back", PATIENCE, reloaded).await;
    }
    agent.signal("TERM", 1);
    assert_eq!(agent.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_variable_names_the_file_for_every_command() {
    let tailnet = TestTailnet::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, other) = (folder.path().join("telltail.yaml"), folder.path().join("other.yaml"));
    fs::write(&file, format!("socket: {:?}\ntargets: [\"valkey://cache\"]\n", tailnet.tailscaled.socket()))
        .expect("a file");
    fs::write(&other, "targets: [\"valkey://other\"]\n").expect("a file");
    let run = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = telltail(arguments);
        command.env("TELLTAIL_CONFIG", &file).envs(variables.iter().copied());
        let output = output(command).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, stdout, stderr) = run(&["config", "check"], &[]).await;
    assert!(code == Some(0) && stdout.contains("valkey://cache:6379") && stderr.is_empty(), "{stdout}{stderr}");
    let (_, stdout, _) = run(&["config", "show", "--config", other.to_str().expect("text")], &[]).await;
    assert!(stdout.contains("valkey://other:6379"), "the argument is asked first: {stdout}");
    let empty = [("TELLTAIL_CONFIG", ""), ("TELLTAIL_TARGETS", "valkey://third")];
    assert!(run(&["config", "show"], &empty).await.1.contains("valkey://third:6379"), "an empty variable names none");
    // A URL needs nothing of the file but the socket, whoever names the file.
    for target in ["cache", "postgres://db:5432"] {
        let (code, stdout, stderr) = run(&["check", target], &[]).await;
        assert_eq!(code, Some(0), "{stdout}{stderr}");
    }
}

#[tokio::test]
async fn a_taken_port_ends_with_71_and_its_address() {
    let tailnet = TestTailnet::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut command = tailnet.telltail(&["run"]);
    command.env("TELLTAIL_LISTEN", &address);
    let output = output(command).await;
    assert_eq!(output.status.code(), Some(71));
    assert!(text(&output.stderr).contains(&address), "{output:?}");
    assert_eq!(tailnet.tailscaled.tally().accepted, 0, "nothing has started");
}

#[tokio::test]
async fn it_runs_in_two_threads_and_needs_neither_home_nor_a_folder_to_write_to() {
    let tailnet = TestTailnet::new();
    let agent = tailnet.run(|command| {
        command.current_dir("/proc").env("POD_UID", "8f14e45f");
    });
    agent.until("/healthz", 200).await;
    assert_eq!(agent.figure("Threads"), 2, "the second one writes the log");
    println!("VmRSS {} kB (not a release build)", agent.figure("VmRSS"));
    assert!(agent.figure("VmRSS") < 64 << 10);

    let (ready, not) = (["health", "--verbose"], ["health"]);
    let address = agent.address().await.to_string();
    let health = async |arguments: &[&str]| {
        let mut command = tailnet.telltail(arguments);
        command.env("TELLTAIL_LISTEN", &address);
        output(command).await
    };
    let answer = health(&ready).await;
    assert_eq!(answer.status.code(), Some(0));
    assert!(text(&answer.stdout).contains("[+]db ok"), "{answer:?}");
    tailnet.tailscaled.set_backend_state(BackendState::NeedsLogin);
    agent.until("/healthz", 503).await;
    assert_eq!(health(&not).await.status.code(), Some(1));
    agent.signal("TERM", 1);
    assert_eq!(agent.ended().await.code(), Some(0));
    assert_eq!(health(&not).await.status.code(), Some(1), "nobody answers");
    assert_eq!(agent.stderr(), "");
    assert_eq!(agent.log_lines("Stopped").len(), 1);
    assert!(agent.log().iter().any(|line| line.get("reason").is_some_and(|reason| *reason == "node_needs_login")));
}

#[tokio::test]
async fn it_ends_in_order_whenever_it_is_told_to() {
    let tailnet = TestTailnet::new();
    for moment in 0..40 {
        let agent = tailnet.run(|_| {});
        // From before the signals are caught to the middle of its rounds.
        sleep(Duration::from_millis(moment * 7)).await;
        let caught = agent.catches_signals();
        agent.signal(if moment % 2 == 0 { "TERM" } else { "INT" }, 1);
        let ended = agent.ended().await;
        assert!(ended.code() == Some(0) || (!caught && ended.signal().is_some()), "{moment}: {ended:?}");
        assert_eq!(agent.stderr(), "");
    }
}

#[tokio::test]
async fn the_drain_is_kept_and_a_second_signal_cuts_it_short() {
    let tailnet = TestTailnet::new();
    let agent = tailnet.run(|command| {
        command.env("TELLTAIL_DRAIN", "300ms");
    });
    agent.until("/healthz", 200).await;
    agent.signal("TERM", 1);
    assert_eq!(agent.ended().await.code(), Some(0));
    let agent = tailnet.run(|command| {
        command.env("TELLTAIL_DRAIN", "5m");
    });
    agent.until("/healthz", 200).await;
    agent.signal("TERM", 1);
    agent.until("/healthz", 503).await;
    agent.until("/livez", 200).await;
    agent.signal("TERM", 1);
    assert_eq!(agent.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_thousand_hangups_and_signals_that_mean_nothing_leave_it_running() {
    let tailnet = TestTailnet::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telltail.yaml");
    let targets: Vec<_> = TARGETS.split(',').collect();
    fs::write(&file, format!("targets: {targets:?}\n")).expect("a file");
    let agent = tailnet.run(|command| {
        command.arg("--config").arg(&file).env_remove("TELLTAIL_TARGETS");
    });
    agent.until("/healthz", 200).await;
    agent.signal("HUP", 1000);
    for name in ["USR1", "USR2", "PIPE", "CHLD", "WINCH", "CONT", "URG"] {
        agent.signal(name, 3);
    }
    fs::write(&file, format!("readiness: observe\ntargets: {targets:?}\n")).expect("a file");
    agent.signal("HUP", 1);
    agent.until_logged("Configuration reloaded").await;
    let begun = agent.log_lines("Configuration reloaded").len();
    tailnet.tailscaled.stop();
    tailnet.db.stop();
    // In the old mode this would be 503.
    agent.until("/healthz/db", 503).await;
    agent.until("/healthz", 200).await;
    assert!((1..=1001).contains(&begun), "{begun} reloads");
    agent.signal("TERM", 1);
    assert_eq!(agent.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_process_that_was_suspended_calls_nothing_down() {
    let tailnet = TestTailnet::new();
    let agents: Vec<_> = (0..8).map(|_| tailnet.run(|_| {})).collect();
    for agent in &agents {
        agent.until("/healthz", 200).await;
    }
    // Longer than any time limit; some are caught in the middle of a probe, or of reading the status.
    for round in 0..2 {
        for (at, agent) in agents.iter().enumerate() {
            sleep(Duration::from_millis(31 * at as u64 + 7 * round)).await;
            agent.signal("STOP", 1);
        }
        sleep(Duration::from_secs(4)).await;
        for agent in &agents {
            agent.signal("CONT", 1);
        }
        for agent in &agents {
            let first = support::get(agent.address().await, "/healthz").await;
            assert_eq!(first.map(|(status, _)| status), Some(200), "the first answer after it");
        }
    }
    for agent in &agents {
        // The round after it has been judged as well.
        let asked = tailnet.tailscaled.tally().requests;
        tailnet.tailscaled.until(|tally| tally.requests > asked + 20).await;
        let page = support::get(agent.address().await, "/metrics").await.expect("metrics").1;
        let page = telltail_testkit::MetricsPage::parse(page);
        assert_eq!(page.sum("telltail_probes_total", &[("result", "failure")]), 0.0, "{}", page.text());
        assert!(page.value("telltail_probe_lag_seconds", &[]) > 1.0, "how long it was not scheduled is told");
        assert!(agent.log().iter().all(|line| line.get("reason").is_none()), "{:?}", agent.log());
    }
}

#[tokio::test]
async fn check_ends_like_pg_isready_and_tells_why() {
    let tailnet = TestTailnet::new();
    let check = async |target: &str, code: i32| {
        let output = output(tailnet.telltail(&["check", target, "--json"])).await;
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.status.code(), Some(code), "{target}: {json}");
        assert_eq!(json["up"], code == 0);
        assert!(!json.to_string().contains("login.tailscale.com") && output.stderr.is_empty(), "{output:?}");
        json["reason"].as_str().map(str::to_owned)
    };
    assert_eq!(check("db", 0).await, None);
    assert_eq!(check("cache", 0).await, None);
    let person = text(&output(tailnet.telltail(&["check", "db"])).await.stdout);
    for part in ["\n    ok  connect   ", "\nup: answering, depth protocol, via localapi\nnote worker_way_untested\n"] {
        assert!(person.contains(part), "{part:?} in {person}");
    }
    assert_eq!(check("postgres://someone@db:5432", 0).await, None);
    tailnet.db.behave(Postgres::starting());
    assert_eq!(check("db", 0).await, None, "cannot be seen without a user");
    assert_eq!(check("postgres://someone@db:5432", 1).await.as_deref(), Some("protocol_starting"));
    tailnet.db.stop();
    assert_eq!(check("db", 2).await.as_deref(), Some("connect_refused"));
    tailnet.tailscaled.set_port("db", 5432, PeerPort::BlackHole);
    assert_eq!(check("postgres://db:5432?timeout=200ms&interval=1s", 2).await.as_deref(), Some("connect_dropped"));
    assert_eq!(check("tcp://nobody:1", 3).await.as_deref(), Some("resolve_not_in_netmap"));
    tailnet.tailscaled.set_backend_state(BackendState::NeedsLogin);
    assert_eq!(check("db", 3).await.as_deref(), Some("node_needs_login"));
    tailnet.tailscaled.stop();
    assert_eq!(check("db", 3).await.as_deref(), Some("node_socket_missing"));

    let person = output(tailnet.telltail(&["check", "cache"])).await;
    let stdout = text(&person.stdout);
    assert!(stdout.contains("down: node_socket_missing (scope pod)") && stdout.contains("  next: "), "{stdout}");
    assert_eq!(output(tailnet.telltail(&["check", "nobody"])).await.status.code(), Some(64));
}

#[tokio::test]
async fn check_probes_one_target_and_of_several_none() {
    let tailnet = TestTailnet::new();
    let cases = [
        ("postgres://db:5432,valkey://cache:6379", "these are 2: db, cache;"),
        ("valkey://cache:6379 tcp://nobody:1,postgres://db:5432", "these are 3: cache, nobody, db;"),
        ("db,cache", "no target is called db,cache;"),
    ];
    for (target, problem) in cases {
        for arguments in [&["check", target][..], &["check", target, "--json"]] {
            let output = output(tailnet.telltail(arguments)).await;
            assert_eq!(output.status.code(), Some(64), "{target}");
            assert!(output.stdout.is_empty() && text(&output.stderr).contains(problem), "{output:?}");
        }
    }
    assert_eq!(tailnet.tailscaled.tally().accepted, 0, "nothing was asked");
    let output = output(tailnet.telltail(&["check", ",postgres://db:5432,"])).await;
    assert_eq!(output.status.code(), Some(0), "a list of one: {output:?}");
}

#[tokio::test]
async fn status_and_wait_report_the_running_agents_state() {
    let tailnet = TestTailnet::new();
    let agent = tailnet.run(|_| {});
    let address = agent.address().await.to_string();
    let ask = async |arguments: &[&str]| {
        let mut command = tailnet.telltail(arguments);
        command.env("TELLTAIL_LISTEN", &address);
        let output = output(command).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, stdout, _) = ask(&["wait", "--timeout", "50s"]).await;
    assert_eq!((code, &*stdout), (Some(0), "Ready: all 2 targets are up.\n"));
    assert_eq!(ask(&["wait", "--target", "cache"]).await.1, "cache is up\n");
    assert_eq!(ask(&["wait", "--target", "nobody"]).await.0, Some(64));

    let (code, stdout, _) = ask(&["status"]).await;
    assert_eq!(code, Some(0));
    for part in ["Ready: all 2 targets are up.\n", "\ndb ", "\ncache (optional)  up ", "answering", "unknown -> up"] {
        assert!(stdout.contains(part), "{part:?} in {stdout}");
    }
    assert!(stdout.is_ascii() && !stdout.contains('\u{1b}'), "no colour into a file: {stdout}");
    let (_, json, _) = ask(&["status", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["version"], &json["ready"]), (&1.into(), &true.into()));

    tailnet.db.stop();
    agent.until("/healthz/db", 503).await;
    let (code, stdout, _) = ask(&["status"]).await;
    assert_eq!(code, Some(1));
    assert!(
        stdout.starts_with("Not ready: db is down, and the fault is with the service (connect_refused).\n"),
        "{stdout}"
    );
    assert!(stdout.contains("  cause: ") && stdout.contains("  next: Check whether the service runs"), "{stdout}");
    let (code, _, stderr) = ask(&["wait", "--timeout", "700ms", "--target", "db"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("timed out after 700ms: db is down: connect_refused: "), "{stderr}");
    assert_eq!(ask(&["wait", "--target", "cache"]).await.0, Some(0));

    agent.signal("TERM", 1);
    assert_eq!(agent.ended().await.code(), Some(0));
    let (code, _, stderr) = ask(&["status"]).await;
    assert!(code == Some(1) && stderr.contains(&address), "{stderr}");
    assert_eq!(ask(&["wait", "--timeout", "0s"]).await.0, Some(1), "nobody answers");
    assert_eq!(ask(&["status", "--json", "--watch", "--loud"]).await.0, Some(64));
}

#[tokio::test]
async fn doctor_ends_with_what_is_down_and_finds_the_agent_beside_it() {
    let tailnet = TestTailnet::new();
    let doctor = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = tailnet.telltail(&[&["doctor"], arguments].concat());
        command.envs(variables.iter().copied());
        let output = output(command).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, stdout, stderr) = doctor(&[], &[]).await;
    assert!(code == Some(0) && stdout.starts_with("OK  2 of 2 targets up") && stderr.is_empty(), "{stdout}{stderr}");
    assert!(stdout.contains("no compatible agent found"), "{stdout}");
    let agent = tailnet.run(|_| {});
    agent.until("/healthz", 200).await;
    let address = agent.address().await.to_string();
    tailnet.db.stop();
    agent.until("/healthz/db", 503).await;
    let beside = [("TELLTAIL_LISTEN", address.as_str())];
    let (code, stdout, _) = doctor(&[], &beside).await;
    assert!(code == Some(1) && stdout.starts_with("DOWN  1 of 2 targets down"), "{stdout}");
    assert!(stdout.contains("db: connect_refused (scope service)"), "{stdout}");
    assert!(stdout.contains("up -> down: connect_refused"), "what the agent remembers: {stdout}");
    assert!(stdout.contains("run on db: ss -ltn sport = :5432"), "{stdout}");
    let (code, json, _) = doctor(&["--json"], &beside).await;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, &json["exit_code"], &json["agent"]["version"]), (Some(1), &1.into(), &1.into()), "{json}");
    let optional = [("TELLTAIL_TARGETS", "postgres://db:5432?required=false,valkey://cache:6379")];
    assert_eq!(doctor(&[], &optional).await.0, Some(2));
    let (code, stdout, problems) = doctor(&[], &[("TELLTAIL_TARGETS", "mysql://db")]).await;
    assert!(code == Some(3) && stdout.is_empty() && problems.contains("scheme"), "{problems}");
    let (code, _, problems) = doctor(&["--bundle", "/nonexistent/ticket"], &[]).await;
    assert!(code == Some(70) && problems.contains("--bundle -"), "{problems}");
    agent.signal("TERM", 1);
    assert_eq!(agent.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_bundle_is_a_new_file_and_nothing_else_is_touched() {
    let tailnet = TestTailnet::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let state = |path: &Path| {
        let metadata = fs::symlink_metadata(path).expect("it exists");
        (metadata.file_type(), metadata.permissions().mode(), metadata.len())
    };
    let bundle = async |path: &Path| {
        let mut command = tailnet.telltail(&["doctor", "--bundle"]);
        command.arg(path);
        let output = output(command).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let ticket = path("ticket.json");
    assert_eq!(bundle(&ticket).await, (Some(0), String::new(), String::new()));
    assert_eq!(state(&ticket).1 & 0o777, 0o600);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&ticket).expect("a bundle")).expect("JSON");
    assert_eq!(json["bundle"], 1);

    fs::write(path("precious"), "precious").expect("a file");
    fs::set_permissions(path("precious"), fs::Permissions::from_mode(0o644)).expect("our file");
    fs::hard_link(path("precious"), path("hard link")).expect("the same file system");
    symlink(path("precious"), path("link")).expect("a link");
    symlink(path("nowhere"), path("dangling link")).expect("a link");
    fs::create_dir(path("directory")).expect("a folder");
    let fifo = Command::new("mkfifo").arg(path("fifo")).status().expect("coreutils");
    assert!(fifo.success());
    let mut taken: Vec<_> = ["ticket.json", "link", "dangling link", "hard link", "directory", "fifo"].map(path).into();
    taken.push("/dev/stdout".into());
    for taken in taken {
        let before = state(&taken);
        let (code, stdout, stderr) = bundle(&taken).await;
        assert!(code == Some(70) && stdout.is_empty() && stderr.contains("--bundle -"), "{taken:?}: {stdout}{stderr}");
        assert_eq!(state(&taken), before, "{taken:?}");
    }
    assert_eq!(state(&path("precious")).1 & 0o777, 0o644);
    assert_eq!(fs::read_to_string(path("precious")).expect("a file"), "precious");
    assert!(!path("nowhere").exists());
}

#[tokio::test]
async fn a_user_without_access_to_the_socket_is_told() {
    if fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).ok() != Some(0) {
        println!("only root can become somebody else: not tried");
        return;
    }
    let tailnet = TestTailnet::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our folder");
    let copy = folder.path().join("telltail");
    fs::copy(env!("CARGO_BIN_EXE_telltail"), &copy).expect("room for a copy");
    let check = async || {
        let mut command = Command::new(&copy);
        command.env_clear().env("TELLTAIL_SOCKET", tailnet.tailscaled.socket()).uid(65532).gid(65532).current_dir("/");
        command.args(["check", "postgres://db:5432", "--json"]);
        let output = output(command).await;
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), json["reason"].as_str().map(str::to_owned))
    };
    assert_eq!(check().await, (Some(0), None), "no right to write is needed");
    tailnet.tailscaled.set_socket_mode(0o600);
    assert_eq!(check().await, (Some(3), Some("node_socket_forbidden".to_owned())));
}

#[tokio::test]
async fn text_from_outside_forges_no_log_line() {
    let tailnet = TestTailnet::new();
    let forgery = "x\n{\"level\":\"INFO\",\"message\":\"Target is up\"}\r\n\u{1b}[2J\u{202e}";
    tailnet.db.behave(Postgres::refusing("XX000", forgery));
    let agent = tailnet.run(|command| {
        command.env("TELLTAIL_TARGETS", "postgres://someone@db:5432,valkey://cache:6379");
        command.env("TELLTAIL_LOG", "debug");
    });
    agent.until_logged("Target is down: The service answered with an error.").await;
    tailnet.tailscaled.misbehave(Misbehaviour::Error(500, forgery.to_owned()));
    agent.until("/healthz/node", 503).await;
    assert!(agent.log_lines("Target is up").iter().all(|line| line["target"] == "cache"));
    agent.signal("TERM", 1);
    assert_eq!(agent.ended().await.code(), Some(0));
    agent.log();
}
