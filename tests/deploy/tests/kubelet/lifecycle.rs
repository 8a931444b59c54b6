use std::time::Duration;

use telltail_deploy::{
    Mode,
    kubelet::{Event, Pod},
};

use crate::cluster::{CONTAINERS, Cluster, SLACK, becomes_ready, exited, served, show, worker_is_served};

/// What the sidecars may take, together with a worker that ends at once; the chart's grace period is 60 s.
const GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn in_userspace_mode_the_worker_is_served_through_socks5() {
    let cluster = Cluster::new().await;
    let pod = cluster.start(&cluster.render(Mode::Userspace, &[])).await;
    becomes_ready(&pod).await;
    worker_is_served(&pod).await;
    assert!(pod.log("worker").contains("proxy socks5h://localhost:1055"), "{}", pod.log("worker"));
    let page = pod.get(8245, "/metrics").await.body;
    let way = page.lines().find(|line| line.starts_with("telltail_target_info")).unwrap_or_default();
    assert!(way.contains("via=\"socks5://127.0.0.1:1055\""), "{way}");
    ends_in_reverse(&pod).await;
    show("userspace mode, SOCKS5", &pod);
}

#[tokio::test]
async fn in_tun_mode_the_worker_is_served_by_name() {
    let cluster = Cluster::new().await;
    let pod = cluster.start(&cluster.render(Mode::Tun, &[])).await;
    becomes_ready(&pod).await;
    worker_is_served(&pod).await;
    assert!(pod.log("worker").contains("proxy None"), "{}", pod.log("worker"));
    ends_in_reverse(&pod).await;
    show("TUN mode", &pod);
}

/// Deletes the pod: the worker ends first and still reaches its services while it does, and nobody complains.
async fn ends_in_reverse(pod: &Pod) {
    let begin = pod.note("all is well");
    let before = CONTAINERS.map(|name| pod.log(name).len());
    pod.delete().await;
    let mut last = begin;
    for name in ["worker", "telltail", "tailscale"] {
        let asked = pod.sees(&Event::Terminating(name.to_owned()), last, SLACK).await;
        last = pod.sees(&exited(name, 0), asked, SLACK).await;
    }
    assert!(last - begin < GRACE, "{}", pod.timeline());
    let [worker, telltail, tailscale] = CONTAINERS.map(|name| pod.log(name));
    assert!(worker.lines().any(|line| line.starts_with("last round") && served(line)), "{worker}");
    assert!(!worker.contains("failed"), "{worker}");
    let [_, at, boot] = before;
    assert!(!telltail[at..].contains("\"ERROR\"") && !telltail[at..].contains("\"WARN\""), "{telltail}");
    // tailscaled's own lines say "error" of much that is none.
    let complains = |line: &str| line.starts_with("boot:") && (line.contains("error") || line.contains("fail"));
    assert!(!tailscale[boot..].lines().any(complains), "{tailscale}");
}
