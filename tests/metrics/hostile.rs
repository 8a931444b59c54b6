//! Whatever others say and whatever happened before: the page stays well-formed and its series stay the same.

use crate::page::Page;
use crate::sample::{self, SamplePod};
use proptest::prelude::*;
use std::collections::BTreeSet;
use telltail::config::{Config, Depth, Host, Kind, Target, Via};
use telltail::health::TrackState;
use telltail::metrics::Metrics;
use telltail::network_mode::NetworkMode;
use telltail::node::{Facts, Node, NodeState};
use telltail::probe_result::Detail;
use telltail::probe_result::ProbeResult;
use telltail::probe_result::Timings;
use telltail::reason::{Failure, Reason};
use telltail::state::Snapshot;
use telltail::tailscale::{Call, CallResult, Severity, Warning};

/// Any text, half of the time with what means something to the format.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,80}", "[\"\\\\\n\r\0{}=, #\u{202e}\u{7f}éß\u{1F980}A-Z]{0,200}"]
}

fn target() -> impl Strategy<Value = Target> {
    let kinds = prop::sample::select(vec![Kind::Postgres, Kind::Valkey, Kind::Tcp]);
    let proxy = Via::Socks5(([127, 0, 0, 1], 1055).into());
    let vias = prop::sample::select(vec![Via::Auto, Via::Tcp, Via::LocalApi, proxy]);
    // Few names, so that reloads meet the same ones, and ones that begin alike.
    let host = prop_oneof![text().prop_map(Host::Name), any::<std::net::IpAddr>().prop_map(Host::Ip)];
    ("(a|b|ab|a-b|atcp|btcp)", kinds, host, any::<u16>(), vias, any::<(bool, bool, bool)>()).prop_map(
        |(name, kind, host, port, via, (user, required, tcp))| {
            let plain = sample::target(&name, kind, port);
            let depth = if tcp { Depth::Tcp } else { plain.depth };
            Target { host, via, required, depth, user: user.then(|| "u".to_owned()), ..plain }
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    (prop::collection::vec(target(), 1..5), text()).prop_map(|(mut targets, hash)| {
        let mut seen = BTreeSet::new();
        targets.retain(|target| seen.insert(target.name.clone()));
        Config { hash, ..sample::config(targets) }
    })
}

/// The part of a snapshot that says in which state things are: with the configuration it decides which series there are.
#[derive(Clone, Debug)]
struct Shape {
    node: NodeState,
    facts: Option<(bool, bool)>,
    /// Of each target: none before its first probe, else how the last one ended.
    last: Vec<Option<Result<(), Reason>>>,
    gate: Option<telltail::state::GateRelease>,
}

fn shape() -> impl Strategy<Value = Shape> {
    use telltail::state::GateRelease;
    let releases = vec![None, Some(GateRelease::Condition), Some(GateRelease::Timeout), Some(GateRelease::Disabled)];
    let reason = prop::sample::select(Reason::ALL.to_vec());
    let outcome = prop::option::of(prop_oneof![Just(Ok(())), reason.prop_map(Err)]);
    let nodes = prop::sample::select(NodeState::ALL.to_vec());
    let facts = prop::option::of(any::<(bool, bool)>());
    (nodes, facts, prop::collection::vec(outcome, 5), prop::sample::select(releases))
        .prop_map(|(node, facts, last, gate)| Shape { node, facts, last, gate })
}

/// A snapshot of this shape in which everything else is what others say, or chance.
fn snapshot(config: &Config, shape: &Shape, words: &[String], seconds: f64) -> Snapshot {
    let mut snapshot = sample::fresh(config);
    let word = |n: usize| words[n % words.len()].clone();
    let facts = shape.facts.map(|(mode, online)| Facts {
        online,
        version: word(0),
        mode: NetworkMode::ALL[usize::from(mode)],
        hostname: word(1),
        home_region: format!("r{}", word(2)),
        ..Facts::default()
    });
    snapshot.warnings = vec![Warning { code: word(3), severity: Severity::High, impacts_connectivity: true }];
    let fault = Failure { reason: Reason::NodeStopped, cause: word(2) };
    snapshot.node = Node { state: shape.node, fault: Some(fault), facts };
    snapshot.gate = shape.gate;
    snapshot.reload.problem = Some(word(3));
    for (view, last) in snapshot.targets.iter_mut().zip(&shape.last) {
        view.last = last.map(|outcome| ProbeResult {
            at: sample::at(seconds),
            outcome: outcome.map(|()| Detail::Accepting).map_err(|reason| Failure { reason, cause: word(4) }),
            timings: Timings::default(),
            elapsed: std::time::Duration::ZERO,
        });
    }
    snapshot
}

/// Every series; what the node calls itself is left out, for there the label text is the fact.
fn series(metrics: &Metrics, snapshot: &Snapshot) -> Result<BTreeSet<String>, TestCaseError> {
    let page = Page::parse(&metrics.render(snapshot)).map_err(TestCaseError::fail)?;
    let outside = ["telltail_node_info", "telltail_node_derp_info"];
    for info in page.samples().filter(|sample| outside.contains(&sample.name.as_str())) {
        for value in ["version", "hostname", "region"].into_iter().filter_map(|label| info.label(label)) {
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
            prop_assert!((1..=63).contains(&value.len()) && value.bytes().all(allowed), "{value:?}");
        }
    }
    let names = page.series();
    let without_labels =
        |name: String| outside.iter().find(|info| name.starts_with(**info)).map_or(name, |info| (*info).to_owned());
    Ok(names.into_iter().map(without_labels).collect())
}

/// A reload with everything counted once.
fn reload(pod: &mut SamplePod, config: &Config, snapshot: Snapshot) {
    pod.snapshot.targets.iter().for_each(|view| pod.metrics.remove_target(&view.target.name));
    pod.targets = config.targets.iter().map(|target| pod.metrics.target(target)).collect();
    for (view, target) in snapshot.targets.iter().zip(&pod.targets) {
        if let Some(probed) = view.last.as_ref().filter(|probed| probed.outcome.is_ok()) {
            target.probe(probed);
        }
        target.aborted();
        target.transition(TrackState::Down);
    }
    pod.metrics.localapi(Call::Dial, CallResult::NoAnswer);
    pod.metrics.render(&snapshot);
    pod.snapshot = snapshot;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_series_depend_on_configuration_and_states_only(
        past in prop::collection::vec((config(), shape()), 0..3), config in config(), shape in shape(),
        words in prop::collection::vec(text(), 5), other_words in prop::collection::vec(text(), 5), seconds in 0.0..1e9,
    ) {
        let mut lived = SamplePod::new(&sample::config(sample::two()));
        for (config, shape) in &past {
            reload(&mut lived, config, snapshot(config, shape, &other_words, seconds));
        }
        reload(&mut lived, &config, snapshot(&config, &shape, &words, seconds));
        let new = SamplePod::new(&config);
        let one = series(&lived.metrics, &lived.snapshot)?;
        let other = series(&new.metrics, &snapshot(&config, &shape, &other_words, 0.0))?;
        prop_assert_eq!(one, other);
    }
}
