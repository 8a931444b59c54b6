//! Nodes that do not get as far as a netmap: a first login that fails, a restart that cannot reach the control plane, and a
//! tailscaled that never serves.

use std::process::Command;

use telltail_tailnet::{Agent, Control, Login, ReadyByMode, program};
use telltail_testkit::eventually;

use super::*;

/// tailscaled asks again after up to half a minute, and gives up an attempt after 20 s.
const RETRIES: Duration = Duration::from_secs(90);
const VERSIONS: [Version; 2] = [Version::V1_80, Version::V1_102];

/// Waits until the doctor gives this reason, and returns what shows it.
async fn comes_to_say(worker: &Node, reason: &str) -> String {
    eventually(reason, RETRIES, async || ask(worker, POSTGRES).await.json["targets"][0]["reason"] == reason).await;
    let report = ask(worker, POSTGRES).await;
    report.failed_at(DB, reason, "backend_state");
    let checks = report.item("targets", "name", DB)["checks"].clone();
    let failed = checks.as_array().and_then(|checks| checks.iter().find(|step| step["state"] == "failed")).cloned();
    let evidence = failed.map(|step| step["evidence"].to_string()).unwrap_or_default();
    let secrets = evidence.replace("://REDACTED", "");
    assert!(!secrets.contains("://") && !secrets.contains("skey-auth"), "{evidence}");
    evidence
}

#[tokio::test]
async fn a_first_login_without_a_control_plane_does_not_blame_the_key() {
    let tailnet = Tailnet::start().await;
    let fails = async |version: Version, control, evidence: &str| {
        let name = format!("{control:?}-{}", version.number().replace('.', "-")).to_lowercase();
        let key = Some("tskey-auth-secret");
        let (worker, _up) = tailnet.first_login(&name, version, Mode::Userspace, control, key).await;
        let told = comes_to_say(&worker, "node_control_unreachable").await;
        assert!(told.contains("login error: fetch control key: ") && told.contains(evidence), "{told}");
        worker
    };
    let both = async |control, evidence| {
        tokio::join!(fails(VERSIONS[0], control, evidence), fails(VERSIONS[1], control, evidence))
    };
    let ((old, new), _, _) = tokio::join!(
        both(Control::Refuses, "connection refused"),
        both(Control::Drops, "timed out"),
        both(Control::Unresolvable, "failed to resolve"),
    );
    for worker in [&old, &new] {
        let shown = show(worker, &format!("{:?}, control refuses", worker.version()), POSTGRES).await;
        assert!(shown.contains("Leave the auth key as it is"), "{shown}");
        // The pod waits, and goes on by itself.
        let agent = Agent::start(worker, POSTGRES, &[("INTERVAL", "1s"), ("TIMEOUT", "490ms")]).await;
        let told = async || agent.get("/healthz?verbose").await.body.contains("node_control_unreachable (scope pod)");
        eventually("the agent says it", SOON, told).await;
        assert_eq!(agent.modes().await, ReadyByMode { strict: false, local: false, observe: true });
        assert!(!agent.started().await, "the gate is shut");
        worker.set_control(Control::Answers).await;
        eventually("the node is fine", RETRIES, async || agent.get("/healthz/node").await.status == 200).await;
    }
}

#[tokio::test]
async fn an_auth_key_that_is_refused_or_missing_is_said_to_be() {
    for version in VERSIONS {
        let tailnet = Tailnet::start().await;
        tailnet.set_login(Login::Key("good")).await;
        let first = async |name, key| tailnet.first_login(name, version, Mode::Userspace, Control::Answers, key).await;
        let (bad, _up) = first("bad", Some("tskey-auth-secret")).await;
        let refused = async || comes_to_say(&bad, "node_needs_login").await.contains("login error: invalid authkey");
        eventually("refused", SOON, refused).await;
        show(&bad, &format!("{version:?}, a wrong auth key"), POSTGRES).await;

        tailnet.set_login(Login::Interactive).await;
        let (missing, _up) = first("missing", None).await;
        eventually("a page", SOON, async || missing.status().await["AuthURL"] != "").await;
        let told = comes_to_say(&missing, "node_needs_login").await;
        assert!(!told.contains("login error"), "{told}");
        show(&missing, &format!("{version:?}, no auth key"), POSTGRES).await;
    }
}

/// With its state on disk a node is not logged out then, and still has no netmap.
#[tokio::test]
async fn a_restart_without_a_control_plane_does_not_blame_the_key() {
    let tailnet = Tailnet::start().await;
    let restart = async |version: Version| {
        let name = format!("worker-{}", version.number().replace('.', "-"));
        let worker = tailnet.node(&name, version, Mode::Userspace).await;
        worker.kill().await;
        worker.set_control(Control::Refuses).await;
        worker.launch().await;
        let told = comes_to_say(&worker, "node_control_unreachable").await;
        assert!(told.contains("connection refused"), "{told}");
        show(&worker, &format!("{version:?}, restarted while control refuses"), POSTGRES).await;
    };
    tokio::join!(restart(VERSIONS[0]), restart(VERSIONS[1]));
}

#[tokio::test]
async fn a_stopped_node_stays_stopped_when_it_is_restarted() {
    for version in VERSIONS {
        let tailnet = Tailnet::start().await;
        let worker = tailnet.node("worker", version, Mode::Userspace).await;
        worker.down().await;
        worker.kill().await;
        worker.launch().await;
        eventually("its state", SOON, async || worker.status().await["BackendState"] != "NoState").await;
        let report = ask(&worker, POSTGRES).await;
        report.failed_at(DB, "node_stopped", "backend_state");
        next_works(&report, "findings", "node_stopped", &[&worker], "").await;
        worker.logs_in().await;
    }
}

/// Without NET_ADMIN the kernel refuses as it does where the runtime denies the device.
#[tokio::test]
async fn a_tailscaled_without_a_tun_device_never_serves_and_its_log_says_why() {
    for version in VERSIONS {
        let tailnet = Tailnet::start().await;
        let worker = tailnet.node("worker", version, Mode::Userspace).await;
        worker.daemon().terminate().await;
        let mut tun = Command::new("setpriv");
        tun.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"]);
        tun.arg(program(&format!("{}/tailscaled", version.number()))).arg("--tun=tailscale0");
        tun.arg("--statedir").arg(worker.folder().join("tun")).arg("--socket").arg(worker.socket());
        tun.env("TS_NO_LOGS_NO_SUPPORT", "true");
        let output = worker.run(&tun).await;
        let last = output.stderr.lines().last().unwrap_or_default();
        let denied = r#"tstun.New("tailscale0"): operation not permitted"#;
        assert!(output.code == 1 && last.contains(denied), "{output:?}");

        let report = ask(&worker, POSTGRES).await;
        report.failed_at(DB, "node_socket_missing", "socket");
        let finding = report.item("findings", "code", "node_socket_missing");
        assert!(finding["next_step"].as_str().is_some_and(|step| step.contains("tstun.New")), "{finding}");
        assert!(finding["next_command"]["line"].as_str().is_some_and(|line| line.starts_with("kubectl logs")));
        show(&worker, &format!("{version:?}, no TUN device"), POSTGRES).await;
    }
}
