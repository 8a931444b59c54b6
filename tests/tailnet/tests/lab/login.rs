//! First logins that fail, and a node that nobody knows any more.

use std::time::Duration;

use telltail_tailnet::{Control, Dial, Login, Mode, Node, Pong, Tailnet, Version};
use telltail_testkit::eventually;

use super::{SOON, dials, pair};

/// tailscaled tells of it after up to 20 s, and asks again after up to half a minute.
const RETRIES: Duration = Duration::from_secs(60);

/// State and health of a node.
async fn told(node: &Node) -> (String, String) {
    let status = node.status().await;
    (status["BackendState"].as_str().unwrap_or_default().to_owned(), status["Health"].to_string())
}

#[tokio::test]
async fn a_first_login_waits_for_the_control_server() {
    let tailnet = Tailnet::start().await;
    let waits = async |name: String, version, control, health: &str| {
        let (node, up) = tailnet.first_login(&name, version, Mode::Userspace, control, Some("tskey-auth-x")).await;
        let tells = async || {
            let (state, told) = told(&node).await;
            state == "NeedsLogin" && told.contains("login error was: fetch control key") && told.contains(health)
        };
        eventually(health, RETRIES, tells).await;
        assert_eq!(up.exited().await, None, "{}", up.log());
        node.set_control(Control::Answers).await;
        eventually("logged in", RETRIES, async || up.exited().await == Some(0)).await;
        node.logs_in().await;
    };
    let both = async |control, health| {
        let name = |version: Version| format!("{control:?}-{}", version.number().replace('.', "-")).to_lowercase();
        let (old, new) = (name(Version::V1_80), name(Version::V1_102));
        tokio::join!(waits(old, Version::V1_80, control, health), waits(new, Version::V1_102, control, health));
    };
    tokio::join!(
        both(Control::Refuses, "connection refused"),
        both(Control::Drops, "timed out"),
        both(Control::Unresolvable, "failed to resolve"),
    );
}

#[tokio::test]
async fn an_auth_key_is_refused_or_missing() {
    for version in [Version::V1_80, Version::V1_102] {
        let tailnet = Tailnet::start().await;
        tailnet.set_login(Login::Key("good")).await;
        let first = async |name, key| tailnet.first_login(name, version, Mode::Userspace, Control::Answers, key).await;
        let (bad, up) = first("bad", Some("bad")).await;
        eventually("refused", SOON, async || up.exited().await.is_some()).await;
        let (state, health) = told(&bad).await;
        assert!(state == "NeedsLogin" && health.contains("login error was: invalid authkey"), "{state}: {health}");
        assert_eq!(up.wait().await, 1, "{}", up.log());

        let (good, up) = first("good", Some("good")).await;
        good.logs_in().await;
        assert_eq!(up.wait().await, 0, "{}", up.log());

        tailnet.set_login(Login::Interactive).await;
        let (missing, up) = first("missing", None).await;
        eventually("a page", SOON, async || missing.status().await["AuthURL"] != "").await;
        assert_eq!((told(&missing).await.0.as_str(), up.exited().await), ("NeedsLogin", None));
    }
}

#[tokio::test]
async fn a_forgotten_node_hears_nothing_from_anybody() {
    let tailnet = Tailnet::start().await;
    let (worker, database) = pair(&tailnet, Mode::Userspace).await;
    let _postgres = database.postgres(&[]).await;
    let old = tailnet.node("old", Version::V1_80, Mode::Userspace).await;
    eventually("direct", SOON, async || matches!(worker.ping(&old).await, Pong::Direct(_))).await;
    assert_eq!(dials(&worker, &database).await, Dial::Connected);

    let is_silent = async || {
        for peer in [&database, &old] {
            eventually("gone at the peer", SOON, async || peer.peer(&worker).await.is_null()).await;
            eventually("disco", SOON, async || matches!(worker.ping(peer).await, Pong::Lost(_))).await;
            let tsmp = worker.tailscale(["ping", "--tsmp", "--c=1", "--timeout=2s", &peer.ip().to_string()]).await;
            assert!(!tsmp.stdout.contains("pong"), "{tsmp:?}");
            assert_eq!(dials(&worker, peer).await, Dial::Silent);
        }
        let status = worker.status().await;
        assert_eq!((&status["BackendState"], &status["Self"]["Online"]), (&"Running".into(), &true.into()));
        for peer in [&database, &old] {
            assert_eq!(worker.peer(peer).await["Online"], true, "it is told nothing");
        }
    };
    worker.forget().await;
    is_silent().await;
    // The relay still carries what it sends, but nobody takes it.
    worker.block_udp(&database).await;
    is_silent().await;
    eventually("the others have each other", SOON, async || matches!(database.ping(&old).await, Pong::Direct(_))).await;

    worker.unblock_udp().await;
    worker.remember().await;
    let back = async || dials(&worker, &database).await == Dial::Connected;
    eventually("back", RETRIES, back).await;
}
