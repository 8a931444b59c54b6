use std::time::Duration;

use telltail_deploy::{Mode, kubelet::Event};
use telltail_testkit::eventually;

use crate::cluster::{Cluster, SLACK, START, nothing_restarted, show, starts_in_order, worker_is_served};

/// A target that is down is asked every 30 s ± 20 % and must answer twice, and the kubelet asks every 5 s.
const RECOVERY: Duration = Duration::from_secs(36 + 2 + 5);

#[tokio::test]
async fn a_dead_database_does_not_wedge_the_start_and_observe_ends_its_effect() {
    let cluster = Cluster::new().await;
    cluster.postgres.stop().await;
    let strict = cluster.render(Mode::Userspace, &[]);
    let pod = cluster.start(&strict).await;
    pod.note("the database is dead from the start");
    let gate = starts_in_order(&pod).await;
    eventually("the worker says what is wrong", START, async || pod.log("worker").contains("postgres failed")).await;
    eventually("telltail says what is wrong", START, async || pod.log("telltail").contains("Target is down")).await;
    assert!(!pod.ready());

    let switched = pod.note("ConfigMap says readiness: observe");
    pod.apply(&cluster.render(Mode::Userspace, &["worker.tailscale.agent.config.readiness=observe"]));
    // telltail reads its file each round, the kubelet asks every 5 s.
    let observed = pod.sees(&Event::Ready(true), switched, Duration::from_secs(11 + 5) + SLACK).await;
    let switched = pod.note("ConfigMap says readiness: strict");
    pod.apply(&strict);
    pod.sees(&Event::Ready(false), switched, Duration::from_secs(11 + 10) + SLACK).await;

    let healed = pod.note("the database is started");
    cluster.postgres.start_again().await;
    pod.sees(&Event::Ready(true), healed, RECOVERY + SLACK).await;
    worker_is_served(&pod).await;
    assert!(observed > gate);
    nothing_restarted(&pod, observed);
    show("database dead at the start, readiness switched to observe in flight", &pod);
}

#[tokio::test]
async fn a_target_that_nobody_knows_holds_the_gate_until_its_release() {
    let cluster = Cluster::new().await;
    let targets =
        "worker.tailscale.agent.config.targets={postgres://stackeye-db-prd:5432,valkey://stackeye-cache-prd:6379}";
    let release = "worker.tailscale.agent.config.startup_release=10s";
    let pod = cluster.start(&cluster.render(Mode::Userspace, &[targets, release])).await;
    pod.note("stackeye-cache-prd is not on the tailnet; the gate is released after 10 s");
    let gate = starts_in_order(&pod).await;
    assert!((10.0..14.0).contains(&gate.as_secs_f64()), "{}", pod.timeline());
    let page = pod.get(8245, "/metrics").await.body;
    assert!(page.contains("telltail_startup_gate_release_info{cause=\"timeout\"} 1"), "{}", pod.log("telltail"));
    worker_is_served(&pod).await;
    assert!(!pod.ready(), "a required target is missing");
    nothing_restarted(&pod, gate + Duration::from_secs(1));
    show("a target missing from the netmap, startup_release 10s", &pod);
}
