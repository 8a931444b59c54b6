//! What each query is to show, in which state.

use crate::Phase::{self, Drained, Healthy, NodeDown, OnDerp, RelayDown, ServiceDown};

/// Queries that show nothing in some states, by the beginning of their place: in which they must show something, and in
/// which they may, because it depends on how long things took. All others always show something.
const SOMETIMES: &[(&str, &[Phase], &[Phase])] = &[
    ("telltail-fleet / Alerts / ", ALERTING, &[]),
    ("telltail-fleet / Alerts that fire / A", ALERTING, &[]),
    ("telltail-fleet / DERP regions that relay / A", &[OnDerp], &[Drained]),
    ("telltail-fleet / Failing now", FAILING, &[]),
    ("telltail-fleet / Health warnings of tailscaled / A", &[RelayDown], &[NodeDown, Drained]),
    ("telltail-fleet / On DERP now", &[OnDerp], &[Drained]),
    // The one pod in mode local is the one that ends.
    ("telltail-fleet / Pods that a mode would take out / E", &[Healthy, OnDerp, ServiceDown, RelayDown, NodeDown], &[]),
    // The pod whose tailscaled is dead knows no control connection, home, round trip and key.
    ("telltail-pod / Control connection / A", &[Healthy, OnDerp, ServiceDown, RelayDown, Drained], &[]),
    ("telltail-pod / Home DERP / A", &[Healthy, OnDerp, ServiceDown, RelayDown, Drained], &[]),
    ("telltail-pod / Round trip to the target's node / A", &[Healthy, OnDerp, ServiceDown, RelayDown, Drained], &[]),
    ("telltail-pod / Mean duration by stage / A", &[Healthy, OnDerp, ServiceDown, RelayDown, Drained], &[]),
    // Only the first pod's key expires.
    ("telltail-pod / Node's key expires / A", &[RelayDown, Drained], &[]),
    ("telltail-pod / Alerts", &[NodeDown], &[]),
    ("telltail-pod / Health warnings of tailscaled / A", &[RelayDown], &[Drained]),
    ("telltail-pod / Starts of telltail / ", &[Healthy], &[OnDerp, ServiceDown]),
    ("telltail-pod / The pod's story / E", &[ServiceDown, NodeDown], &[]),
    // That of the pod whose tailscaled is dead waits for longer than the one about its node.
    ("telltail-target / Alerts", &[OnDerp, ServiceDown, NodeDown], &[RelayDown]),
    ("telltail-target / Failed probes per second, by reason / A", FAILING, &[OnDerp]),
    ("telltail-target / Pods with most failures / A", &[ServiceDown, RelayDown, NodeDown, Drained], &[OnDerp]),
    ("telltail-target / Why it fails, mostly / A", FAILING, &[]),
    // Of a service that is down there is no latency, once the last success is out of sight.
    ("telltail-target / Median and p99 by stage", ANSWERED, &[ServiceDown]),
    ("telltail-target / p99 of connect by cluster / A", ANSWERED, &[ServiceDown]),
    ("telltail-target / Mean against the last day's on the same path / A", ANSWERED, &[ServiceDown]),
];
const ALL: &[Phase] = &Phase::ALL;
const ALERTING: &[Phase] = &[OnDerp, ServiceDown, RelayDown, NodeDown];
const ANSWERED: &[Phase] = &[Healthy, OnDerp, RelayDown, NodeDown, Drained];
/// One pod's tailscaled is dead while the relay is down.
const FAILING: &[Phase] = &[ServiceDown, RelayDown, NodeDown];

/// Figures that are known: what is red is said, and what is not is not.
pub const VALUES: &[(&str, Phase, f64)] = &[
    ("telltail-fleet / Pods ready / A", Healthy, 1.0),
    ("telltail-fleet / Alerts firing / A", Healthy, 0.0),
    ("telltail-fleet / Targets on DERP / A", Healthy, 0.0),
    ("telltail-fleet / Targets on DERP / A", OnDerp, 1.0),
    ("telltail-fleet / On DERP now / A", OnDerp, 3.0),
    ("telltail-fleet / On DERP now / B", OnDerp, 1.0),
    ("telltail-fleet / Alerts firing / A", OnDerp, 1.0),
    ("telltail-fleet / Targets down / A", OnDerp, 0.0),
    ("telltail-fleet / Targets down / A", ServiceDown, 2.0),
    ("telltail-fleet / Failing now / B", ServiceDown, 1.0),
    ("telltail-fleet / Pods not ready / A", ServiceDown, 2.0), // the two that are strict
    ("telltail-target / Pods that have it up / A", ServiceDown, 0.0),
    ("telltail-fleet / Pods not ready / A", NodeDown, 1.0),
    ("telltail-fleet / Targets down / A", NodeDown, 0.0),
    ("telltail-pod / Ready / A", NodeDown, 0.0),
    ("telltail-fleet / Pods watched / A", NodeDown, 4.0),
    ("telltail-fleet / Pods watched / A", Drained, 3.0),
    ("telltail-fleet / Pods watched / B", Drained, 0.0),
    ("telltail-fleet / Pods ready / A", Drained, 1.0),
];

/// The states in which the query at this place must show something, and those in which it may.
pub fn states(place: &str) -> (&'static [Phase], &'static [Phase]) {
    let found = SOMETIMES.iter().find(|(begin, ..)| place.starts_with(begin));
    found.map_or((ALL, &[]), |(_, must, may)| (must, may))
}
