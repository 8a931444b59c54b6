//! One target's part of the state.

use super::Change;
use super::history::{History, PathChange, PeerChange, StateChange};
use crate::config::{Depth, Target};
use crate::health::{TargetHealth, Thresholds, Track, TrackState};
use crate::path::{PathTracker, PathTransition, Sample};
use crate::peer::{PathObservation, RoundTripSample, TargetPeer};
use crate::probe_result::ProbeResult;
use crate::reason::{Failure, Scope};
use crate::schedule::Pace;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// One target at one moment.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// Its configuration.
    pub target: Arc<Target>,
    /// After rise and fall.
    pub track: Track,
    /// Down while this pod is at fault for its failures, after rise and fall: one failure among those of others proves
    /// nothing.
    pub pod_track: Track,
    /// Was it up at some time?
    pub reached: bool,
    /// Its peer, as it was last seen in the netmap.
    pub peer: Option<TargetPeer>,
    /// How often the peer changed.
    pub peer_changes: u64,
    /// Over which path packets reach it.
    pub path: PathTracker,
    /// Round trip of disco pings.
    pub round_trip: RoundTrip,
    /// The last probe; none before the first.
    pub last: Option<ProbeResult>,
    /// When it last succeeded.
    pub last_success: Option<SystemTime>,
    /// Its last changes.
    pub history: Arc<History>,
}

/// The last round trip, until two pings in a row were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoundTrip {
    last: Option<Duration>,
    missed: u32,
}

/// Misses after which the last round trip is dropped.
const MISSES: u32 = 2;

impl RoundTrip {
    /// The round trip, if one is known.
    pub fn get(self) -> Option<Duration> {
        self.last.filter(|_| self.missed < MISSES)
    }

    fn record(&mut self, sample: RoundTripSample) {
        match sample {
            RoundTripSample::Measured(took) => *self = Self { last: Some(took), missed: 0 },
            RoundTripSample::Missed => self.missed += 1,
            RoundTripSample::NotMeasured => {}
        }
    }
}

impl TargetView {
    pub(super) fn new(target: Arc<Target>, now: Instant) -> Self {
        Self {
            target,
            track: Track::new(now),
            pod_track: Track::new(now),
            reached: false,
            peer: None,
            peer_changes: 0,
            path: PathTracker::new(now),
            round_trip: RoundTrip::default(),
            last: None,
            last_success: None,
            history: Arc::default(),
        }
    }

    /// Records the peer and the path to it; none where there is no peer.
    pub(super) fn observe(
        &mut self,
        observation: Option<&PathObservation>,
        at: SystemTime,
        now: Instant,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let Some(PathObservation { peer, probe }) = observation else {
            self.round_trip = RoundTrip::default();
            changes.extend(self.record_path(Sample::NoPeer, at, now));
            return changes;
        };
        if let Some(old) = self.peer.replace(peer.clone())
            && (&old.id, old.address) != (&peer.id, peer.address)
        {
            self.peer_changes += 1;
            Arc::make_mut(&mut self.history).peer_changed_at = Some(at);
            let change = PeerChange { from: old.address, to: peer.address };
            changes.push(Change::Peer(Arc::clone(&self.target), change));
        }
        self.round_trip.record(probe.round_trip);
        changes.extend(probe.sample.clone().and_then(|sample| self.record_path(sample, at, now)));
        changes
    }

    fn record_path(&mut self, sample: Sample, at: SystemTime, now: Instant) -> Option<Change> {
        let PathTransition { from, to } = self.path.observe(sample, now)?;
        let change = PathChange { at, from, to, region: self.path.region().cloned() };
        Arc::make_mut(&mut self.history).record_path(change.clone());
        Some(Change::Path(Arc::clone(&self.target), change))
    }

    /// Does the path break what is expected of it? What is not known breaks nothing.
    pub fn path_is_unexpected(&self) -> bool {
        self.path.path().breaks(self.target.expect)
    }

    /// Why the last probe failed; none if it did not.
    pub fn failure(&self) -> Option<&Failure> {
        self.last.as_ref().and_then(|probe| probe.outcome.as_ref().err())
    }

    /// How far the last probe got, if it succeeded; else how far probes are to go.
    pub fn depth(&self) -> Depth {
        let proven = self.last.as_ref().and_then(|probe| probe.outcome.as_ref().ok());
        proven.map_or(self.target.depth, |detail| detail.depth(self.target.depth))
    }

    /// How soon the next probe follows.
    pub fn pace(&self) -> Pace {
        Pace::after(self.target.interval, &self.track, self.failure().map(|failure| failure.reason))
    }

    pub(super) fn health(&self) -> TargetHealth<'_> {
        TargetHealth {
            name: &self.target.name,
            required: self.target.required,
            state: self.track.state(),
            pod_fault: self.pod_track.state() == TrackState::Down,
        }
    }

    pub(super) fn record(&mut self, probe: ProbeResult, thresholds: Thresholds, now: Instant) -> Option<Change> {
        let (at, timings, failure) = (probe.at, probe.timings, probe.outcome.as_ref().err().cloned());
        let success = failure.is_none();
        if success {
            self.last_success = Some(at);
        }
        if failure.as_ref().is_some_and(|failure| failure.reason.names_no_peer())
            && let Some(peer) = &mut self.peer
        {
            // The peer is kept to tell a change; its key is nobody's any more.
            peer.key_expiry = None;
        }
        self.last = Some(probe);
        let pod_fault = failure.as_ref().is_some_and(|failure| failure.reason.scope() == Scope::Pod);
        self.pod_track.record(!pod_fault, thresholds, now);
        let transition = self.track.record(success, thresholds, now);
        self.reached |= self.track.state() == TrackState::Up;
        let path = Some(self.path.path());
        let change = StateChange { failure, timings, path, ..StateChange::new(transition?, at, now) };
        Arc::make_mut(&mut self.history).record_state(change.clone());
        Some(Change::Target(Arc::clone(&self.target), change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Expect, Source};
    use crate::path::{DerpRegion, Path};
    use crate::peer::PathProbe;
    use crate::probe_result::{Detail, Timings};
    use crate::reason::Reason;

    fn view(expect: Expect) -> TargetView {
        let environment: Environment = [("TELLTAIL_TARGETS", "postgres://db:5432")].into_iter().collect();
        let config = Source::new(environment, None).load().expect("a configuration that holds").config;
        TargetView::new(Arc::new(Target { expect, ..Target::clone(&config.targets[0]) }), Instant::now())
    }

    fn observation(id: &str, address: &str, sample: Option<Sample>, round_trip: RoundTripSample) -> PathObservation {
        let address = address.parse().expect("an address");
        let peer = TargetPeer {
            id: id.to_owned(),
            name: "db.tail1234.ts.net".to_owned(),
            address,
            addresses: vec![address],
            node_addresses: vec![address],
            online: true,
            key_expiry: None,
        };
        PathObservation { peer, probe: PathProbe { sample, round_trip } }
    }

    /// What changed, in short.
    fn observe(view: &mut TargetView, observation: Option<&PathObservation>, now: Instant) -> Vec<String> {
        let short = |change| match change {
            Change::Peer(_, PeerChange { from, to }) => format!("{from} -> {to}"),
            Change::Path(_, PathChange { from, to, .. }) => format!("{} -> {}", from.slug(), to.slug()),
            other @ (Change::Node(_) | Change::Target(..)) => panic!("{other:?}"),
        };
        view.observe(observation, SystemTime::UNIX_EPOCH, now).into_iter().map(short).collect()
    }

    #[test]
    fn the_key_of_a_peer_that_was_removed_does_not_expire() {
        let (mut view, now) = (view(Expect::Any), Instant::now());
        let fail = |view: &mut TargetView, reason| {
            let probe = ProbeResult::not_dialled(Failure::new(reason, "a test"));
            view.record(probe, Thresholds { rise: 2, fall: 3 }, now);
            view.peer.as_ref().and_then(|peer| peer.key_expiry)
        };
        let mut seen = observation("n1", "100.64.0.2", None, RoundTripSample::NotMeasured);
        seen.peer.key_expiry = Some(SystemTime::UNIX_EPOCH);
        observe(&mut view, Some(&seen), now);
        for reason in [Reason::NodeStopped, Reason::ConnectTimeout, Reason::ResolvePeerExpired] {
            assert!(fail(&mut view, reason).is_some(), "{reason:?}");
        }
        assert_eq!(fail(&mut view, Reason::ResolveNotInNetmap), None);
        assert_eq!(fail(&mut view, Reason::NodeStopped), None, "and it stays so");
        observe(&mut view, Some(&seen), now);
        assert!(fail(&mut view, Reason::ConnectTimeout).is_some(), "it came back");
    }

    #[test]
    fn the_pod_is_at_fault_after_fall_such_failures_in_a_row_whatever_failed_before() {
        let (mut view, now) = (view(Expect::Any), Instant::now());
        let thresholds = Thresholds { rise: 2, fall: 3 };
        let (pod, service) = (Err(Reason::ConnectSocksUnreachable), Err(Reason::ConnectRefused));
        let mut blamed = |outcomes: &[Result<Detail, Reason>]| {
            for outcome in outcomes {
                let outcome = outcome.map_err(|reason| Failure::new(reason, ""));
                let probe = ProbeResult {
                    at: SystemTime::now(),
                    outcome,
                    timings: Timings::default(),
                    elapsed: Duration::ZERO,
                };
                view.record(probe, thresholds, now);
            }
            (view.track.state() == TrackState::Down, view.health().pod_fault)
        };
        assert_eq!(blamed(&[Ok(Detail::Connected), service, service, pod]), (true, false), "the last of a fall");
        assert_eq!(blamed(&[service, pod]), (true, false), "one while down");
        assert_eq!(blamed(&[pod, service, pod, pod]), (true, false), "not in a row");
        assert_eq!(blamed(&[pod]), (true, true));
        assert_eq!(blamed(&[service]), (true, true));
        assert_eq!(blamed(&[service]), (true, false), "others are, confirmed by rise");
    }

    #[test]
    fn another_node_or_address_is_a_change_and_coming_back_is_none() {
        let (mut view, now) = (view(Expect::Any), Instant::now());
        let seen = |id, address| observation(id, address, None, RoundTripSample::NotMeasured);
        let none: [&str; 0] = [];
        assert_eq!(observe(&mut view, Some(&seen("n1", "100.64.0.2")), now), none, "the first one is no change");
        assert_eq!(observe(&mut view, Some(&seen("n1", "100.64.0.2")), now), none);
        // Unseen for a while, for example while the node is down: the same one again is no change.
        assert_eq!(observe(&mut view, None, now), none);
        assert_eq!(observe(&mut view, Some(&seen("n1", "100.64.0.2")), now), none);
        assert_eq!(observe(&mut view, Some(&seen("n1", "100.64.0.3")), now), ["100.64.0.2 -> 100.64.0.3"]);
        assert_eq!(observe(&mut view, Some(&seen("n2", "100.64.0.3")), now), ["100.64.0.3 -> 100.64.0.3"]);
        assert_eq!(view.peer_changes, 2);
    }

    #[test]
    fn a_peer_that_is_gone_has_no_path_and_no_round_trip_but_is_remembered() {
        let (mut view, now) = (view(Expect::Any), Instant::now());
        let trip = Duration::from_millis(3);
        let seen = observation("n1", "100.64.0.2", Some(Sample::Direct), RoundTripSample::Measured(trip));
        let none: [&str; 0] = [];
        assert_eq!(observe(&mut view, Some(&seen), now), ["unknown -> direct"]);
        assert_eq!((view.path.path(), view.round_trip.get()), (Path::Direct, Some(trip)));
        // A probe of the path that could not tell changes nothing.
        assert_eq!(
            observe(&mut view, Some(&observation("n1", "100.64.0.2", None, RoundTripSample::NotMeasured)), now),
            none
        );
        assert_eq!((view.path.path(), view.round_trip.get()), (Path::Direct, Some(trip)));
        assert_eq!(observe(&mut view, None, now), ["direct -> unknown"]);
        assert_eq!((view.path.path(), view.round_trip.get()), (Path::Unknown, None));
        assert!(view.peer.is_some());
    }

    #[test]
    fn one_missed_pong_leaves_the_round_trip_and_two_in_a_row_take_it() {
        let (mut view, now, trip) = (view(Expect::Any), Instant::now(), Duration::from_millis(3));
        let mut known = |pong: Option<Duration>| {
            let sample = pong.map_or(RoundTripSample::Missed, RoundTripSample::Measured);
            observe(&mut view, Some(&observation("n1", "100.64.0.2", None, sample)), now);
            view.round_trip.get().is_some()
        };
        let pongs = [None, Some(trip), None, Some(trip), None, None, None, Some(trip)];
        assert_eq!(pongs.map(&mut known), [false, true, true, true, true, false, false, true]);
    }

    #[test]
    fn only_a_known_path_can_break_what_is_expected() {
        let region = || DerpRegion { id: 1, code: "nyc".to_owned() };
        let samples = [Sample::Direct, Sample::PeerRelay, Sample::Derp(region()), Sample::Idle, Sample::NoPeer];
        let unexpected = |expect| {
            samples.clone().map(|sample| {
                let mut view = view(expect);
                // As often as even the slowest verdict takes.
                for second in [0, 3, 7] {
                    let now = Instant::now() + Duration::from_secs(second);
                    observe(
                        &mut view,
                        Some(&observation("n1", "100.64.0.2", Some(sample.clone()), RoundTripSample::NotMeasured)),
                        now,
                    );
                }
                view.path_is_unexpected()
            })
        };
        assert_eq!(unexpected(Expect::Any), [false; 5]);
        assert_eq!(unexpected(Expect::NoDerp), [false, false, true, false, false]);
        assert_eq!(unexpected(Expect::Direct), [false, true, true, false, false]);
    }
}
