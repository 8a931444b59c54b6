//! Out of file descriptors, and out of local ports: nothing that telltail itself lacks is a target's failure.

use crate::run::{Agent, TestTailnet, output, telltail, text};
use crate::support::get;
use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tailscaled_sim::{Mode, Peer, Tailscaled};
use telltail::reason::Reason;
use telltail_testkit::MetricsPage;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const HAS_RUN_OUT: &str = "telltail itself has run out; probes are aborted meanwhile";
const COUNTER: &str = "telltail_out_of_resources_total";

/// The same command with the limits of a shell.
fn within(limits: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    shell
}

/// What the kubelet asks, as it asks: it waits a second.
async fn kubelet(address: SocketAddr, path: &str) -> u16 {
    let answer = timeout(Duration::from_secs(1), get(address, path)).await;
    answer.unwrap_or_else(|_| panic!("{path}: no answer within a second")).map_or(0, |(status, _)| status)
}

async fn metrics(address: SocketAddr) -> MetricsPage {
    MetricsPage::parse(get(address, "/metrics").await.expect("a page").1)
}

#[tokio::test]
async fn with_64_descriptors_64_targets_stay_up_and_the_kubelet_is_answered_whoever_else_connects() {
    let tailnet = TestTailnet::new();
    let mut targets = Vec::new();
    for n in 0..64 {
        let name = format!("t{n}");
        tailnet.tailscaled.add_peer(Peer::new(&name).ip(&format!("100.64.1.{n}")));
        let (kind, port, server) = match n % 2 {
            0 => ("postgres", 5432, tailnet.db.addr()),
            _ => ("valkey", 6379, tailnet.cache.addr()),
        };
        tailnet.tailscaled.forward(&name, port, server);
        targets.push(format!("{kind}://{name}"));
    }
    let mut command = tailnet.quick(&["run"]);
    command.env("TELLTAIL_TARGETS", targets.join(",")).env("TELLTAIL_INTERVAL", "2s").env("TELLTAIL_TIMEOUT", "950ms");
    let agent = Agent::start(within("ulimit -n 64", &command));
    agent.until("/healthz", 200).await;
    let address = agent.address().await;

    let probes = |page: &MetricsPage| page.sum("telltail_probes_total", &[("result", "success")]);
    let begun = probes(&metrics(address).await);
    // Three rounds, beside a hundred clients that send nothing.
    let mut idle = Vec::new();
    while probes(&metrics(address).await) < begun + 3.0 * 64.0 {
        idle.push(TcpStream::connect(address).await.expect("a listener"));
        if idle.len() > 100 {
            idle.remove(0);
        }
        assert_eq!((kubelet(address, "/livez").await, kubelet(address, "/healthz").await), (200, 200));
    }
    while idle.len() < 100 {
        idle.push(TcpStream::connect(address).await.expect("a listener"));
    }
    for _ in 0..20 {
        assert_eq!((kubelet(address, "/livez").await, kubelet(address, "/healthz").await), (200, 200));
    }
    let page = metrics(address).await;
    assert_eq!(page.sum("telltail_target_state", &[("state", "up")]), 64.0);
    assert_eq!(page.sum("telltail_target_transitions_total", &[("to", "down")]), 0.0);
    assert_eq!(page.sum("telltail_probe_failures_total", &[]), 0.0);
    assert_eq!(page.value(COUNTER, &[]), 0.0, "the shares suffice");
    assert_eq!(agent.log_lines("The limit of open files is low: probes may wait for each other").len(), 1);
    println!("open {} of 64", page.value("process_open_fds", &[]));
}

/// The number of the first descriptor that is free, looked up until no connection is under way.
async fn first_free(agent: &Agent) -> usize {
    let mut first = usize::MAX;
    for _ in 0..200 {
        let listed = fs::read_dir(agent.proc().join("fd")).expect("alive");
        let open: HashSet<usize> = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        first = first.min((0..).find(|number| !open.contains(number)).expect("a number"));
        sleep(Duration::from_millis(2)).await;
    }
    first
}

fn limit_descriptors(agent: &Agent, count: usize) {
    let process = agent.proc().file_name().and_then(|name| name.to_str()).expect("a number").to_owned();
    let limited = Command::new("prlimit").args(["--pid", &process, &format!("--nofile={count}:")]).status();
    assert!(limited.expect("util-linux has prlimit").success());
}

#[tokio::test]
async fn descriptors_that_run_out_abort_probes_and_change_no_state() {
    let tailnet = TestTailnet::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telltail.yaml");
    fs::write(&file, "targets: [\"postgres://db\", \"valkey://cache\"]\n").expect("a file");
    let agent = tailnet.run(|command| {
        command.arg("--config").arg(&file).env_remove("TELLTAIL_TARGETS");
    });
    agent.until("/healthz", 200).await;
    let address = agent.address().await;
    let before = metrics(address).await;

    limit_descriptors(&agent, first_free(&agent).await);
    let line = agent.until_logged(HAS_RUN_OUT).await;
    assert_eq!((&line["reason"], &line["scope"]), (&"node_out_of_resources".into(), &"pod".into()));
    assert!(line["cause"].as_str().is_some_and(|cause| cause.contains("Too many open files")), "{line:?}");
    // The file cannot be opened either. A client comes, and finds nobody who accepts.
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { get(address, "/livez").await });
    agent.until_logged("Accept failed; retrying").await;
    tailnet.tailscaled.kill_connections();
    // Fifteen rounds in which nothing may change.
    sleep(Duration::from_secs(3)).await;
    limit_descriptors(&agent, 1024);
    assert_eq!(waiting.join_next().await.expect("a client").expect("no panic").expect("an answer").0, 200);
    let after = metrics(address).await;
    let more = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    assert!(more(COUNTER, &[]) >= 5.0, "{}", more(COUNTER, &[]));
    assert!(more("telltail_probes_total", &[("result", "aborted")]) >= 3.0);
    assert_eq!(more("telltail_probe_failures_total", &[]), 0.0, "{:?}", agent.log());
    assert_eq!(after.value("telltail_config_last_reload_successful", &[]), 1.0);
    for changed in ["Node is down", "New configuration rejected; the old one stays in force"] {
        assert_eq!(agent.log_lines(changed).len(), 0, "{:?}", agent.log());
    }
    assert_eq!((kubelet(address, "/livez").await, kubelet(address, "/healthz").await), (200, 200));
    assert_eq!((agent.log_lines(HAS_RUN_OUT).len(), agent.log_lines("Accept failed; retrying").len()), (1, 1));
    let probed = after.sum("telltail_probes_total", &[("result", "success")]);
    agent
        .until_page(async || metrics(address).await.sum("telltail_probes_total", &[("result", "success")]) > probed)
        .await;
}

/// In a network of its own, whose two local ports are soon used up: each connection leaves one behind for a minute.
#[tokio::test]
async fn local_ports_that_are_used_up_abort_probes_and_change_no_state() {
    const SETUP: &str = "ip link set lo up && echo 40000 40001 >/proc/sys/net/ipv4/ip_local_port_range \
                         && echo 0 >/proc/sys/net/ipv4/tcp_tw_reuse";
    let namespace = ["--map-root-user", "--net", "/bin/sh", "-c"];
    if !Command::new("unshare").args(namespace).arg(SETUP).status().is_ok_and(|status| status.success()) {
        println!("no network namespace can be made here, or there is no ip: not tried");
        return;
    }
    let tailscaled = Tailscaled::start();
    tailscaled.set_mode(Mode::Tun);
    tailscaled.add_peer(Peer::new("own").ip("127.0.0.1"));
    let mut run = telltail(&["run"]);
    // It probes its own port: the network has no other. An address is not looked up.
    run.env("TELLTAIL_TARGETS", "tcp://127.0.0.1:8245?name=own").env("TELLTAIL_SOCKET", tailscaled.socket());
    run.env("TELLTAIL_INTERVAL", "200ms").env("TELLTAIL_TIMEOUT", "90ms").env("TELLTAIL_DRAIN", "0s");
    let shell = within(SETUP, &run);
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]).arg(shell.get_program()).args(shell.get_args());
    command.env_clear().envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let agent = Agent::start(command);
    agent.until_logged("Target is up").await;
    let line = agent.until_logged(HAS_RUN_OUT).await;
    assert!(line["cause"].as_str().is_some_and(|cause| cause.contains("assign requested address")), "{line:?}");
    // Fifteen rounds in which nothing may change.
    sleep(Duration::from_secs(3)).await;
    assert!(agent.log_lines("Target is up").len() == 1 && agent.log_lines(HAS_RUN_OUT).len() == 1, "{:?}", agent.log());
    assert!(agent.log().iter().all(|line| !line["message"].as_str().unwrap_or_default().contains("down")));
    agent.signal("TERM", 1);
    assert_eq!(agent.ended().await.code(), Some(0));
}

/// What `check` and `doctor` cannot find out for lack of descriptors is no finding about anybody else.
#[tokio::test]
async fn with_any_number_of_descriptors_check_and_doctor_blame_nobody_else() {
    let tailnet = TestTailnet::new();
    let mut own = 0;
    for count in 4..20 {
        for arguments in [&["check", "db", "--json"][..], &["doctor", "--json"]] {
            let output = output(within(&format!("ulimit -n {count}"), &tailnet.telltail(arguments))).await;
            let (code, stdout, stderr) = (output.status.code(), text(&output.stdout), text(&output.stderr));
            println!("{count} {arguments:?} {code:?} {}", stderr.trim());
            match serde_json::from_str::<serde_json::Value>(&stdout) {
                // It could not even start, and says so: where a socket pair is all that is missing, tokio panics.
                Err(_) => assert!(code != Some(0) && stderr.contains("Too many open files"), "{count} {stderr}"),
                Ok(report) if code != Some(0) => {
                    own += 1;
                    let reasons = Reason::ALL.iter().map(|reason| reason.slug()).filter(|slug| stdout.contains(slug));
                    assert_eq!(reasons.collect::<Vec<_>>(), ["node_out_of_resources"], "{count} {report}");
                    assert!(arguments[0] != "check" || code == Some(3), "no attempt: {count} {code:?}");
                }
                Ok(_) => {}
            }
        }
    }
    assert!(own > 0, "no number was enough to start with and not enough to probe");
}
