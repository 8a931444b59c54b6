use std::time::Duration;

use telltail_deploy::{
    Mode,
    kubelet::{Event, Pod},
};
use telltail_testkit::{MetricsPage, eventually};

use crate::cluster::{
    Cluster, KUBELET, SLACK, START, becomes_ready, exited, nothing_restarted, show, worker_is_served,
};

/// A target that is down is asked every 30 s ± 20 % and must answer twice, and the kubelet asks every 5 s.
const RECOVERY: Duration = Duration::from_secs(36 + 2 + 5);
/// The worst that the design promises from the fault to telltail's 503.
const SILENT: Duration = Duration::from_secs(23);
const REFUSING: Duration = Duration::from_secs(14);

#[tokio::test]
async fn a_silent_path_makes_the_pod_not_ready_in_the_promised_time() {
    let cluster = Cluster::new().await;
    let pod = cluster.start(&cluster.render(Mode::Userspace, &[])).await;
    becomes_ready(&pod).await;
    worker_is_served(&pod).await;

    let broken = pod.note("the database's node is unplugged");
    cluster.database.unplug().await;
    pod.sees(&Event::Ready(false), broken, SILENT + KUBELET + SLACK).await;
    let healed = pod.note("the database's node is plugged in");
    cluster.database.plug_in().await;
    pod.sees(&Event::Ready(true), healed, RECOVERY + SLACK).await;
    worker_is_served(&pod).await;
    nothing_restarted(&pod, broken);
    show("path silent", &pod);
}

#[tokio::test]
async fn a_refusing_server_makes_the_pod_not_ready_in_the_promised_time() {
    let cluster = Cluster::new().await;
    let pod = cluster.start(&cluster.render(Mode::Userspace, &[])).await;
    becomes_ready(&pod).await;
    worker_is_served(&pod).await;

    let broken = pod.note("Valkey is stopped");
    cluster.valkey.stop().await;
    pod.sees(&Event::Ready(false), broken, REFUSING + KUBELET + SLACK).await;
    let healed = pod.note("Valkey is started");
    cluster.valkey.start_again().await;
    pod.sees(&Event::Ready(true), healed, RECOVERY + SLACK).await;
    worker_is_served(&pod).await;
    nothing_restarted(&pod, broken);
    show("server refusing", &pod);
}

#[tokio::test]
async fn a_killed_sidecar_is_restarted_alone() {
    let cluster = Cluster::new().await;
    let pod = cluster.start(&cluster.render(Mode::Userspace, &[])).await;
    becomes_ready(&pod).await;
    worker_is_served(&pod).await;
    let begin = pod.note("all is well");

    for name in ["telltail", "tailscale"] {
        let killed = pod.note(&format!("{name} is killed"));
        pod.kill(name).await;
        pod.sees(&exited(name, -9), killed, SLACK).await;
        // A pod is not ready while one of its containers does not run.
        pod.sees(&Event::Ready(false), killed, SLACK).await;
        let again = pod.sees(&Event::Running(name.to_owned(), 1), killed, SLACK).await;
        pod.sees(&Event::Ready(true), again, START).await;
        every_target_answers(&pod, killed).await;
        worker_is_served(&pod).await;
        pod.note("telltail and the worker are answered again");
        assert!(pod.ready(), "{}", pod.timeline());
    }
    let worker = |event: &Event| matches!(event, Event::Running(name, _) | Event::Exited(name, _) if name == "worker");
    assert!(!pod.saw(begin, worker), "{}", pod.timeline());
    show("sidecars killed", &pod);
}

/// Waits until each target was probed with success after a time since the pod's start.
async fn every_target_answers(pod: &Pod, since: Duration) {
    let after = pod.wall_clock(since).as_secs_f64();
    eventually("telltail reaches every target", START, async || {
        let page = MetricsPage::parse(pod.get(8245, "/metrics").await.body);
        let successes = page.samples("telltail_probe_last_success_timestamp_seconds", &[]);
        successes.filter(|success| success.value > after).count() == 2
    })
    .await;
}
