//! The example's inhibitions and routes, by a real Alertmanager.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;
use telltail_testkit::eventually;
use telltail_watch::{Program, in_repository};
use tempfile::TempDir;

/// Longest wait: a machine under load takes its time.
const LONG: Duration = Duration::from_secs(30);

const CONFIG: &str = "dashboards/alertmanager/inhibit.example.yaml";

struct Alertmanager {
    program: Program,
    _folder: TempDir,
}

#[derive(Deserialize)]
struct Alert {
    labels: BTreeMap<String, String>,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

impl Alertmanager {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("prometheus-alertmanager");
        command.arg(format!("--config.file={}", in_repository(CONFIG).display()));
        command.arg(format!("--storage.path={}", folder.path().display())).arg("--cluster.listen-address=");
        Self { program: Program::start(&mut command, folder.path()).await, _folder: folder }
    }

    /// An alert as Prometheus would send it: its name, then label=value, all with spaces between.
    fn fire(&self, alert: &str) {
        self.amtool(&["alert", "add"], alert.split(' '));
    }

    fn resolve(&self, alert: &str) {
        self.amtool(&["alert", "add", "--end=2000-01-01T00:00:00Z"], alert.split(' '));
    }

    /// What is neither inhibited nor over in a cluster, by name and pod or target.
    fn notified(&self, cluster: &str) -> BTreeSet<String> {
        let query = ["alert", "query", "--active", "--silenced", "--inhibited", "--unprocessed", "-o", "json"];
        let alerts: Vec<Alert> =
            serde_json::from_str(&self.amtool(&query, [format!("cluster={cluster}").as_str()])).expect("alerts");
        let notified = alerts.iter().filter(|alert| alert.status.state != "suppressed");
        notified
            .map(|alert| {
                let of = ["pod", "target"].iter().find_map(|label| alert.labels.get(*label));
                [Some(&alert.labels["alertname"]), of].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    fn amtool<'a>(&self, before: &[&str], after: impl IntoIterator<Item = &'a str>) -> String {
        let mut command = Command::new("amtool");
        command.args(before).arg(format!("--alertmanager.url={}", self.program.url())).args(after);
        let output = command.output().expect("amtool starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Fires what a cluster has and waits until only these notify, by name and pod or target.
    async fn of(&self, cluster: &str, alerts: &[&str], notified: &[&str]) {
        for alert in alerts {
            self.fire(&format!("{alert} cluster={cluster} environment=prd namespace=stackeye-prd"));
        }
        self.settles(cluster, notified).await;
    }

    async fn settles(&self, cluster: &str, notified: &[&str]) {
        let notified = notified.iter().map(|alert| (*alert).to_owned()).collect();
        eventually(&format!("{cluster} notifies of {notified:?} alone"), LONG, async || {
            self.notified(cluster) == notified
        })
        .await;
    }
}

#[tokio::test]
async fn the_cause_silences_what_follows_from_it() {
    let alertmanager = Alertmanager::start().await;
    let of_a_pod = [
        "TelltailNodeDown pod=w-1",
        "TelltailTargetDownInPod pod=w-1 target=db",
        "TelltailControlConnectionLost pod=w-1",
        "TelltailProbeStuck pod=w-1 target=db",
        "TelltailTargetDownInPod pod=w-2 target=db",
    ];
    alertmanager.of("node", &of_a_pod, &["TelltailNodeDown w-1", "TelltailTargetDownInPod w-2"]).await;
    let of_most = [&["TelltailNodesDown", "TelltailGateReleasedLate"][..], &of_a_pod[..3]].concat();
    alertmanager.of("nodes", &of_most, &["TelltailNodesDown"]).await;

    let of_a_target = [
        "TelltailTargetOnDERP target=db",
        "TelltailPathUnexpected target=db",
        "TelltailPathFlapping target=db",
        "TelltailLatencyHigh target=db",
        "TelltailPathUnexpected target=valkey",
    ];
    let valkey = "TelltailPathUnexpected valkey";
    alertmanager.of("derp", &of_a_target, &["TelltailTargetOnDERP db", valkey]).await;
    let down =
        [&["TelltailTargetDown target=db", "TelltailTargetDownInPod target=db pod=w-1"][..], &of_a_target].concat();
    alertmanager.of("target", &down, &["TelltailTargetDown db", valkey]).await;
    let whole = [&["TelltailClusterOnDERP"][..], &of_a_target].concat();
    alertmanager.of("cluster", &whole, &["TelltailClusterOnDERP"]).await;

    let of_an_agent = [&["TelltailAgentDown pod=w-1", "TelltailRoundsLate pod=w-1"][..], &of_a_pod].concat();
    alertmanager.of("agent", &of_an_agent, &["TelltailAgentDown w-1", "TelltailTargetDownInPod w-2"]).await;
}

#[tokio::test]
async fn a_crash_is_told_instead_of_what_it_causes() {
    let alertmanager = Alertmanager::start().await;
    // kube-state-metrics has no label environment.
    alertmanager.fire("TelltailSidecarCrashLooping cluster=crash namespace=stackeye-prd pod=w-1 container=tailscale");
    let alerts = ["TelltailNodeDown pod=w-1", "TelltailAgentDown pod=w-1", "TelltailAgentDown pod=w-2"];
    alertmanager.of("crash", &alerts, &["TelltailSidecarCrashLooping w-1", "TelltailAgentDown w-2"]).await;
}

#[tokio::test]
async fn what_was_silenced_is_told_once_its_cause_is_gone() {
    let alertmanager = Alertmanager::start().await;
    let alerts = ["TelltailNodeDown pod=w-1", "TelltailTargetDownInPod pod=w-1 target=db"];
    alertmanager.of("mended", &alerts, &["TelltailNodeDown w-1"]).await;
    alertmanager.resolve("TelltailNodeDown pod=w-1 cluster=mended environment=prd namespace=stackeye-prd");
    alertmanager.settles("mended", &["TelltailTargetDownInPod w-1"]).await;
}

#[test]
fn critical_alerts_page_and_others_do_not() {
    let config = format!("--config.file={}", in_repository(CONFIG).display());
    let receiver = |labels: &[&str]| {
        let output = Command::new("amtool").args(["config", "routes", "test", &config]).args(labels).output();
        String::from_utf8(output.expect("amtool starts").stdout).expect("UTF-8").trim().to_owned()
    };
    assert_eq!(receiver(&["alertname=TelltailClusterOnDERP", "severity=critical"]), "telltail-page");
    assert_eq!(receiver(&["alertname=TelltailTargetDown", "severity=critical"]), "telltail-page");
    assert_eq!(receiver(&["alertname=TelltailTargetDownInPod", "severity=warning"]), "telltail-team");
    assert_eq!(receiver(&["alertname=TelltailVersionSkew", "severity=info"]), "telltail-team");
}
