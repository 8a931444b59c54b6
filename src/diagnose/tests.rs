//! The result of each check for each kind of evidence.

use super::*;
use crate::node::{Facts, NodeState};

const TIMINGS: Timings = Timings {
    resolve: Some(Duration::from_micros(20)),
    connect: Some(Duration::from_millis(3)),
    protocol: Some(Duration::from_millis(1)),
};
const SILENT: PingEvidence = PingEvidence {
    disco: PingOutcome::Timeout,
    tunnel: PingOutcome::Timeout,
    full_size: PingOutcome::Timeout,
    witnesses: Testimony::NotAsked,
};
const ANSWERED: PingEvidence = PingEvidence {
    disco: PingOutcome::Reply,
    tunnel: PingOutcome::Reply,
    full_size: PingOutcome::Reply,
    witnesses: Testimony::NotAsked,
};

fn running() -> Node {
    let facts = Facts { version: "1.102.5".to_owned(), ..Facts::default() };
    Node { state: NodeState::Running, fault: None, facts: Some(facts) }
}

fn peer() -> TargetPeer {
    TargetPeer {
        id: "n1".to_owned(),
        name: "db.tail1234.ts.net".to_owned(),
        address: [100, 64, 0, 2].into(),
        addresses: Vec::new(),
        node_addresses: Vec::new(),
        online: true,
        key_expiry: None,
    }
}

fn fine<'a>(node: &'a Node, peer: &'a TargetPeer) -> Evidence<'a> {
    Evidence {
        node,
        peer: Some(peer),
        outcome: Ok("accepting"),
        timings: TIMINGS,
        via: "localapi",
        path: Some(&Sample::Direct),
        round_trip: Some(Duration::from_micros(600)),
        pings: Some(&ANSWERED),
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    }
}

fn states(diagnosis: &Diagnosis) -> String {
    let letter = |step: &Step| match step.state {
        StepStatus::Passed => 'o',
        StepStatus::Failed => 'X',
        StepStatus::NotTried => '-',
    };
    diagnosis.steps.iter().map(letter).collect()
}

#[test]
fn every_check_of_a_healthy_target_has_evidence() {
    let (node, peer) = (running(), peer());
    let diagnosis = diagnose(&fine(&node, &peer));
    assert_eq!((states(&diagnosis).as_str(), diagnosis.verdict), ("ooooooooooo", Ok("accepting".to_owned())));
    assert!(diagnosis.steps.iter().all(|step| !step.evidence.is_empty()));
    assert_eq!(diagnosis.steps[7].evidence, "direct, round trip 0.6 ms");
}

#[test]
fn each_reason_fails_its_check_and_later_ones_are_not_tried() {
    let peer = peer();
    for reason in Reason::ALL {
        let failure = Failure::new(*reason, "a cause");
        let node = if reason.is_node_fault() { Node::unreachable(failure.clone()) } else { running() };
        let evidence = Evidence {
            peer: (Check::failed_by(*reason) > Check::Netmap).then_some(&peer),
            outcome: Err(&failure),
            timings: Timings::default(),
            path: None,
            round_trip: None,
            pings: None,
            ..fine(&node, &peer)
        };
        let diagnosis = diagnose(&evidence);
        let broken: Vec<_> = diagnosis.steps.iter().filter(|step| step.state == StepStatus::Failed).collect();
        assert_eq!(broken.iter().map(|step| step.check).collect::<Vec<_>>(), [Check::failed_by(*reason)], "{reason:?}");
        assert_eq!(broken[0].evidence, "a cause");
        for step in diagnosis.steps.iter().filter(|step| step.check > Check::failed_by(*reason)) {
            assert!(step.evidence.starts_with("not tried: "), "{reason:?}: {step:?}");
        }
    }
}

#[test]
fn pings_refine_a_timeout_and_find_the_check_that_fails() {
    let (node, peer) = (running(), peer());
    let failure = Failure::new(Reason::ConnectTimeout, "no connection within 3s");
    let silent = |pings, path| {
        let timings = Timings { connect: None, protocol: None, ..TIMINGS };
        let evidence = Evidence { outcome: Err(&failure), timings, pings: Some(&pings), path, ..fine(&node, &peer) };
        let diagnosis = diagnose(&evidence);
        (states(&diagnosis), diagnosis.verdict.expect_err("silence").reason)
    };
    let dropped = silent(ANSWERED, Some(&Sample::Direct));
    assert_eq!(dropped, ("oooooooooX-".to_owned(), Reason::ConnectDropped));
    let frozen = silent(SILENT, Some(&Sample::NoReply));
    assert_eq!(frozen, ("oooooooX---".to_owned(), Reason::ConnectTunnelDead));
    let half = PingEvidence { disco: PingOutcome::Reply, ..SILENT };
    assert_eq!(silent(half, Some(&Sample::Direct)), ("ooooooooX--".to_owned(), Reason::ConnectTunnelDead));
    let alone = PingEvidence { witnesses: Testimony::Silent(vec!["cache.tail1234.ts.net".to_owned()]), ..SILENT };
    assert_eq!(silent(alone, Some(&Sample::NoReply)), ("oooooooX---".to_owned(), Reason::ConnectIsolated));
}

#[test]
fn a_lost_packet_size_is_the_paths_although_the_connection_stands() {
    let (node, peer) = (running(), peer());
    let failure = Failure::new(Reason::ProtocolTimeout, "connected, but no answer");
    let pings = PingEvidence { full_size: PingOutcome::Timeout, ..ANSWERED };
    let timings = Timings { protocol: None, ..TIMINGS };
    let diagnosis = diagnose(&Evidence { outcome: Err(&failure), timings, pings: Some(&pings), ..fine(&node, &peer) });
    assert_eq!(states(&diagnosis), "oooooooXoo-");
}

#[test]
fn a_key_about_to_expire_passes_and_tells_for_how_long_it_is_valid() {
    let (mut node, peer) = (running(), peer());
    let wall = fine(&running(), &peer).wall;
    node.facts =
        node.facts.map(|facts| Facts { key_expiry: Some(wall + Duration::from_secs(5 * 86_400 + 5)), ..facts });
    let diagnosis = diagnose(&Evidence { wall, ..fine(&node, &peer) });
    assert_eq!(diagnosis.steps[3].evidence, "valid for 5 days more");
}
