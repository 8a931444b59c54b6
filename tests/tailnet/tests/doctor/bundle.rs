//! What is attached to a ticket.

use tokio::join;

use super::*;
use telltail_tailnet::Agent;
use telltail_testkit::eventually;

/// Nothing that is a secret, or that only the tailnet's owners need to know, is in the file.
#[tokio::test]
async fn a_bundle_holds_what_a_ticket_needs_and_no_secret() {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(node(&tailnet, "worker", Mode::Userspace), node(&tailnet, DB, Mode::Userspace));
    let _postgres = db.postgres(&[]).await;
    let targets = "postgres://monitor@stackeye-db-prd:5432/customers";
    let agent = Agent::start(&worker, targets, &[]).await;
    eventually("watched", SOON, async || agent.state(DB).await == "up").await;
    let mut command = doctor(&worker, targets, &["--bundle", "-"]);
    command.env("TELLTAIL_LISTEN", agent.address());
    let output = worker.run_as(USER, &command).await;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let bundle: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(bundle["doctor"]["targets"][0]["up"], true);
    assert!(bundle["metrics"].as_array().is_some_and(|lines| lines.iter().any(|line| line == "telltail_ready 1")));
    assert!(bundle["configuration"].as_array().is_some_and(|lines| lines.len() > 10));
    assert_eq!(bundle["doctor"]["targets"][0]["peer"]["name"], "stackeye-db-prd.TAILNET");
    for secret in ["monitor", "customers", "lab.ts.net", "nodekey:", "privkey:", "http://", "https://"] {
        assert!(!output.stdout.contains(secret), "{secret} is in the bundle");
    }

    worker.tailscale(["logout"]).await.expect_success("tailscale logout");
    let file = worker.folder().join("ticket.json");
    let output = worker.run(&doctor(&worker, targets, &["--bundle", file.to_str().expect("text")])).await;
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(
        text.contains("node_needs_login") && !text.contains("http://") && !text.contains("https://"),
        "the AuthURL is a secret: {text}"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).expect("the file").permissions());
    assert_eq!(mode & 0o777, 0o600);
}
