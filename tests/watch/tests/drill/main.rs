//! The live drill: real telltails on a real tailnet, Prometheus with the shipped rules and Alertmanager with the shipped
//! routes, both ninety times as fast. It pages for what matters, once, and stays quiet otherwise; meanwhile every query of
//! the dashboards is asked in every state.

#![expect(clippy::print_stdout, reason = "the time line is what a reader wants of a drill")]

mod expected_panels;
mod fixture;
mod panels;

use std::time::Duration;

use fixture::{CACHE, DB, Fixture, Nodes, PODS, SentAlert, now};
use panels::PanelRecords;
use telltail_tailnet::Region;
use telltail_testkit::{eventually, eventually_some};
use tokio::time::{Instant, sleep};

/// What the tailnet and its pods are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything works, every path is direct.
    Healthy,
    /// The pods of nyc3 reach the database over DERP.
    OnDerp,
    /// The database is stopped.
    ServiceDown,
    /// One pod's tailscaled is dead, and so are the DERP regions, which no path needs.
    RelayDown,
    /// One pod's tailscaled is dead.
    NodeDown,
    /// One pod has ended.
    Drained,
}

impl Phase {
    const ALL: [Self; 6] =
        [Self::Healthy, Self::OnDerp, Self::ServiceDown, Self::RelayDown, Self::NodeDown, Self::Drained];

    fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::OnDerp => "on DERP",
            Self::ServiceDown => "service down",
            Self::RelayDown => "relays down",
            Self::NodeDown => "node down",
            Self::Drained => "drained",
        }
    }
}

/// Long enough for an agent's verdict, the alert's `for` and Alertmanager's groups, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// An hour in ninetieths: the rules know no past of less.
const PAST: Duration = Duration::from_secs(42);
/// Longer than every alert waits that the end of a pod could raise.
const QUIET: Duration = Duration::from_secs(16);

/// A drill that goes on.
struct Drill<'a> {
    fixture: Fixture<'a>,
    began: Instant,
    marks: Vec<(f64, String)>,
    shown: PanelRecords,
}

#[tokio::test]
async fn the_drill_pages_for_what_matters_and_stays_quiet_otherwise() {
    let nodes = Nodes::start().await;
    let mut drill = Drill::start(&nodes).await;
    drill.gathers_a_past().await;
    drill.falls_to_derp_and_comes_back(&nodes).await;
    drill.loses_the_database().await;
    drill.loses_one_tailscaled(&nodes).await;
    drill.ends_one_pod().await;
    drill.shown.save(&drill.fixture.prometheus, &drill.marks).await;

    println!("\n{}; most series; dashboard / panel / query", Phase::ALL.map(Phase::name).join(", "));
    println!("{}", drill.shown.table());
    let fired = drill.fired();
    assert_eq!(fired.len(), 4, "nothing else was sent: {fired:#?}");
    drill.shown.judge();
}

impl<'a> Drill<'a> {
    async fn start(nodes: &'a Nodes) -> Self {
        let began = Instant::now();
        let fixture = Fixture::start(nodes).await;
        let mut drill = Self { fixture, began, marks: Vec::new(), shown: PanelRecords::new() };
        drill.mark("four pods in two clusters, PostgreSQL, Valkey, Prometheus and Alertmanager run");
        drill
    }

    /// Prints what happens, and when.
    fn mark(&mut self, what: &str) {
        println!("{:>6.1} s  {what}", self.began.elapsed().as_secs_f64());
        self.marks.push((now(), what.to_owned()));
    }

    async fn gathers_a_past(&mut self) {
        eventually("every pod is ready", SOON, async || {
            let ready = self.fixture.prometheus.at("sum(telltail_ready)", now()).await.unwrap_or_default();
            ready.first().is_some_and(|series| series.points[0].1 == 4.0)
        })
        .await;
        self.mark("every pod is ready, every path direct");
        sleep(PAST).await;
        self.mark("the paths have an hour's past");
        self.shown.capture(&self.fixture.prometheus, Phase::Healthy).await;
        self.is_quiet("while all is well");
    }

    async fn falls_to_derp_and_comes_back(&mut self, nodes: &Nodes) {
        for pod in &nodes.pods[..3] {
            pod.block_udp(&nodes.db).await;
        }
        self.mark("UDP blocked between the three pods of nyc3 and the database");
        let alert = self.fires("TelltailTargetOnDERP").await;
        for (label, value) in [("cluster", "nyc3"), ("environment", "prd"), ("namespace", "stackeye"), ("target", DB)] {
            assert_eq!(alert.label(label), value, "{alert:?}");
        }
        assert_eq!(alert.label("severity"), "critical");
        let description = alert.annotation("description");
        assert!(
            description.starts_with(
                "100% of the pods in nyc3/prd (namespace stackeye) reach stackeye-db-prd through a DERP relay"
            ),
            "{description}"
        );
        self.shown.capture(&self.fixture.prometheus, Phase::OnDerp).await;
        for pod in &nodes.pods[..3] {
            pod.unblock_udp().await;
        }
        self.mark("UDP unblocked");
        self.resolves("TelltailTargetOnDERP").await;
    }

    async fn loses_the_database(&mut self) {
        self.fixture.postgres.stop().await;
        self.mark("PostgreSQL stopped");
        let mut clusters =
            [self.fires_in("TelltailTargetDown", "nyc3").await, self.fires_in("TelltailTargetDown", "sfo3").await];
        for alert in &mut clusters {
            assert_eq!((alert.label("target"), alert.label("pod")), (DB, ""), "of the target, not of a pod: {alert:?}");
            let description = alert.annotation("description");
            assert!(description.contains("down for 100% of the pods"), "{description}");
            assert!(description.contains("Most say connect_refused, scope service."), "{description}");
        }
        self.shown.capture(&self.fixture.prometheus, Phase::ServiceDown).await;
        self.fixture.postgres.start_again().await;
        self.mark("PostgreSQL runs again");
        self.resolves("TelltailTargetDown").await;
    }

    async fn loses_one_tailscaled(&mut self, nodes: &Nodes) {
        let (pod, _) = PODS[1];
        nodes.pods[1].kill().await;
        self.mark(&format!("tailscaled of {pod} killed"));
        let alert = self.fires("TelltailNodeDown").await;
        assert_eq!((alert.label("pod"), alert.label("severity")), (pod, "warning"), "{alert:?}");
        let description = alert.annotation("description");
        assert!(description.contains("Its state: unreachable."), "{description}");
        self.loses_the_relays(nodes).await;
        // Alertmanager has them, and keeps them to itself.
        let held = eventually_some("the targets' alerts of that pod are inhibited", SOON, async || {
            let held = self
                .fixture
                .alertmanager
                .get("/api/v2/alerts?inhibited=true&active=false&silenced=false")
                .await
                .ok()?;
            let held: Vec<serde_json::Value> = serde_json::from_str(&held).ok()?;
            let of = |target: &str| {
                held.iter().any(|alert| alert["labels"]["target"] == target && alert["labels"]["pod"] == pod)
            };
            (of(DB) && of(CACHE)).then_some(held)
        })
        .await;
        assert!(held.iter().all(|alert| alert["labels"]["alertname"] == "TelltailTargetDownInPod"), "{held:?}");
        self.mark(&format!("Alertmanager holds back {} alerts TelltailTargetDownInPod of that pod", held.len()));
        self.shown.capture(&self.fixture.prometheus, Phase::NodeDown).await;
        nodes.pods[1].restart().await;
        self.mark("tailscaled runs again");
        self.resolves("TelltailNodeDown").await;
    }

    /// tailscaled warns after twenty seconds that it has no relay; while every path is direct, nobody needs one.
    async fn loses_the_relays(&mut self, nodes: &Nodes) {
        for region in [Region::Nyc, Region::Sfo] {
            nodes.tailnet.stop_region(region).await;
        }
        self.mark("both DERP regions stopped");
        eventually("tailscaled warns", SOON, async || {
            let warnings = self
                .fixture
                .prometheus
                .at(r#"telltail_node_health_warning{pod="stackeye-worker-nyc3-a"}"#, now())
                .await;
            warnings.is_ok_and(|warnings| !warnings.is_empty())
        })
        .await;
        self.mark("tailscaled warns of it, telltail exports that");
        self.shown.capture(&self.fixture.prometheus, Phase::RelayDown).await;
        for region in [Region::Nyc, Region::Sfo] {
            nodes.tailnet.start_region(region).await;
        }
    }

    async fn ends_one_pod(&mut self) {
        let before = self.fixture.sent().len();
        let code = self.fixture.agents[2].process().terminate().await;
        assert_eq!(code, 0);
        self.fixture.scrape(&[0, 1, 3]);
        self.mark(&format!("SIGTERM: the pod {} ended with exit code 0", PODS[2].0));
        sleep(QUIET).await;
        assert_eq!(self.fixture.sent().len(), before, "{:#?}", &self.fixture.sent()[before..]);
        self.mark("sixteen seconds later, 24 minutes to the rules, nothing was sent");
        self.shown.capture(&self.fixture.prometheus, Phase::Drained).await;
    }

    /// Waits for the first message that an alert fires.
    async fn fires(&mut self, name: &str) -> SentAlert {
        self.fires_in(name, "").await
    }

    async fn fires_in(&mut self, name: &str, cluster: &str) -> SentAlert {
        let fixture = &self.fixture;
        let alert = eventually_some(&format!("{name} fires {cluster}"), SOON, async || {
            let mut sent = fixture.sent().into_iter();
            sent.find(|sent| sent.label("alertname") == name && sent.label("cluster").contains(cluster))
        })
        .await;
        let labels = ["cluster", "environment", "namespace", "pod", "target"].map(|label| alert.label(label));
        let labels = labels.iter().filter(|value| !value.is_empty()).copied().collect::<Vec<_>>().join(" ");
        self.mark(&format!(
            "FIRING    {name} ({}) {labels}\n            {}",
            alert.label("severity"),
            alert.annotation("description")
        ));
        alert
    }

    /// Waits until every alert of this name that was sent is resolved, and sees that each was sent once.
    async fn resolves(&mut self, name: &str) {
        let of = |fixture: &Fixture<'_>, status: &str| {
            let sent =
                fixture.sent().into_iter().filter(|sent| sent.label("alertname") == name && sent.status() == status);
            let mut labels: Vec<_> = sent.map(|sent| sent.labels()).collect();
            labels.sort();
            labels
        };
        let fixture = &self.fixture;
        let fired = of(fixture, "firing");
        eventually(&format!("{name} resolves"), SOON, async || of(fixture, "resolved").len() == fired.len()).await;
        assert_eq!(of(fixture, "resolved"), fired, "each fired once and resolved once");
        self.mark(&format!("RESOLVED  {name}"));
    }

    fn is_quiet(&self, when: &str) {
        let sent = self.fixture.sent();
        assert!(sent.is_empty(), "{when}: {sent:#?}");
    }

    /// Every alert that was sent as firing, by name and labels, each once.
    fn fired(&self) -> Vec<String> {
        let mut fired: Vec<_> =
            self.fixture.sent().iter().filter(|sent| sent.status() == "firing").map(SentAlert::labels).collect();
        fired.sort();
        fired.dedup();
        fired
    }
}
