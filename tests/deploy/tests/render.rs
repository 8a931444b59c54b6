//! Every cluster × environment × way to run renders.

use telltail_deploy::charts::only;
use telltail_deploy::{Charts, Worker};

#[test]
fn every_worker_renders() {
    let charts = Charts::prepare();
    for worker in Worker::all() {
        let objects = charts.render(worker, &[]);
        let pod = &only(&objects, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["initContainers"][0]["name"], "tailscale", "{worker:?}");
    }
}
