//! One target's part of the state.

use super::history::History;
use super::{Change, PeerObservation};
use crate::config::{Expect, Target};
use crate::health::{TargetHealth, Thresholds, Track, TrackState, Transition};
use crate::path::{Path, PathTracker, Sample};
use crate::probe::path_probe::PathProbe;
use crate::probe::{Detail, Timings};
use crate::reason::Failure;
use crate::schedule::Pace;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// One target at one moment.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// Its configuration.
    pub target: Target,
    /// After rise and fall.
    pub track: Track,
    /// Was it up at some time?
    pub reached: bool,
    /// The node that carries it, as it was last seen in the netmap.
    pub peer: Option<TargetPeer>,
    /// How often another node came to carry it.
    pub peer_changes: u64,
    /// Over which path packets reach it.
    pub path: PathTracker,
    /// Round trip of disco pings.
    pub round_trip: RoundTrip,
    /// The last probe; none before the first.
    pub last: Option<Probed>,
    /// When it last succeeded.
    pub last_success: Option<SystemTime>,
    /// Time to the next probe.
    pub pace: Pace,
    /// Its last changes.
    pub history: Arc<History>,
}

/// The node that carries a target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetPeer {
    /// Its stable id.
    pub id: String,
    /// The target's address.
    pub address: IpAddr,
    /// When its key expires; none where it never does.
    pub key_expiry: Option<SystemTime>,
}

/// The last round trip, until two pings in a row were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoundTrip {
    last: Option<Duration>,
    missed: u32,
}

/// Misses after which the last round trip says nothing any more.
const MISSES: u32 = 2;

impl RoundTrip {
    /// The round trip, if one is known.
    pub fn get(self) -> Option<Duration> {
        self.last.filter(|_| self.missed < MISSES)
    }

    fn note(&mut self, answer: Option<Duration>) {
        match answer {
            Some(took) => *self = Self { last: Some(took), missed: 0 },
            None => self.missed += 1,
        }
    }
}

/// What one probe found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// When it ended.
    pub at: SystemTime,
    /// What was proven, or why it failed.
    pub outcome: Result<Detail, Failure>,
    /// How long each stage took that succeeded.
    pub timings: Timings,
}

impl TargetView {
    pub(super) fn new(target: Target, now: Instant) -> Self {
        let pace = Pace::Regular(target.interval);
        Self {
            target,
            track: Track::new(now),
            reached: false,
            peer: None,
            peer_changes: 0,
            path: PathTracker::new(now),
            round_trip: RoundTrip::default(),
            last: None,
            last_success: None,
            pace,
            history: Arc::default(),
        }
    }

    pub(super) fn sight(&mut self, observation: Option<&PeerObservation>, now: Instant) -> Vec<Change> {
        let name = || self.target.name.clone();
        let mut changes = Vec::new();
        let carrier = observation.map(|observation| &observation.carrier);
        if let (Some(old), Some(new)) = (&self.peer, carrier)
            && (&old.id, old.address) != (&new.id, new.address)
        {
            self.peer_changes += 1;
            changes.push(Change::TargetPeer(name(), old.address, new.address));
        }
        let look =
            observation.map_or(PathProbe { sample: Some(Sample::Gone), round_trip: None }, |found| found.look.clone());
        let change = look.sample.and_then(|sample| self.path.observe(sample, now));
        changes.extend(change.map(|change| Change::Path(name(), change)));
        match look.round_trip {
            Some(answer) => self.round_trip.note(answer),
            None if observation.is_none() => self.round_trip = RoundTrip::default(),
            None => {}
        }
        if carrier.is_some() || self.peer.is_none() {
            self.peer = carrier.cloned();
        }
        changes
    }

    /// Does the path break what is expected of it? What is not known breaks nothing.
    pub fn path_is_unexpected(&self) -> bool {
        match (self.target.expect, self.path.path()) {
            (Expect::Any, _) | (_, Path::Direct | Path::Idle | Path::Unknown) => false,
            (Expect::NoDerp, path) => path == Path::Derp,
            (Expect::Direct, Path::PeerRelay | Path::Derp) => true,
        }
    }

    /// Why the last probe failed; none if it did not.
    pub fn failure(&self) -> Option<&Failure> {
        self.last.as_ref().and_then(|probed| probed.outcome.as_ref().err())
    }

    pub(super) fn health(&self) -> TargetHealth<'_> {
        TargetHealth {
            name: &self.target.name,
            required: self.target.required,
            state: self.track.state(),
            fault: self.failure().map(|failure| failure.reason.scope()),
        }
    }

    pub(super) fn record(&mut self, probed: Probed, thresholds: Thresholds, now: Instant) -> Option<Transition> {
        let success = probed.outcome.is_ok();
        if success {
            self.last_success = Some(probed.at);
        }
        self.last = Some(probed);
        let transition = self.track.record(success, thresholds, now);
        self.pace = Pace::after(self.target.interval, &self.track, self.failure().map(|failure| failure.reason));
        self.reached |= self.track.state() == TrackState::Up;
        transition
    }
}

/// Is it still the same thing that is probed, so that what is known of it stays true?
pub fn same_service(old: &Target, new: &Target) -> bool {
    let key = |target: &Target| {
        (
            target.kind,
            target.host.clone(),
            target.port,
            target.user.clone(),
            target.database.clone(),
            target.via,
            target.depth,
        )
    };
    key(old) == key(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Source};
    use crate::path::DerpRegion;

    fn view(expect: Expect) -> TargetView {
        let environment: Environment = [("TELLTAIL_TARGETS", "postgres://db:5432")].into_iter().collect();
        let config = Source::new(environment, None).load().expect("a configuration that holds").config;
        TargetView::new(Target { expect, ..Target::clone(&config.targets[0]) }, Instant::now())
    }

    fn observation(
        id: &str,
        address: &str,
        sample: Option<Sample>,
        round_trip: Option<Option<Duration>>,
    ) -> PeerObservation {
        let carrier = TargetPeer { id: id.to_owned(), address: address.parse().expect("an address"), key_expiry: None };
        PeerObservation { target: "db".to_owned(), carrier, look: PathProbe { sample, round_trip } }
    }

    #[test]
    fn another_node_or_address_is_a_change_and_coming_back_is_none() {
        let (mut view, now) = (view(Expect::Any), Instant::now());
        let seen = |id, address| observation(id, address, None, None);
        assert_eq!(view.sight(Some(&seen("n1", "100.64.0.2")), now), [], "the first one is no change");
        assert_eq!(view.sight(Some(&seen("n1", "100.64.0.2")), now), []);
        // Unseen for a while, for example while the node is down: the same one again is no change.
        assert_eq!(view.sight(None, now), []);
        assert_eq!(view.sight(Some(&seen("n1", "100.64.0.2")), now), []);
        let of = |address: &str| -> IpAddr { address.parse().expect("an address") };
        let moved = Change::TargetPeer("db".to_owned(), of("100.64.0.2"), of("100.64.0.3"));
        assert_eq!(view.sight(Some(&seen("n1", "100.64.0.3")), now), [moved]);
        let replaced = Change::TargetPeer("db".to_owned(), of("100.64.0.3"), of("100.64.0.3"));
        assert_eq!(view.sight(Some(&seen("n2", "100.64.0.3")), now), [replaced]);
        assert_eq!(view.peer_changes, 2);
    }

    #[test]
    fn who_is_not_seen_has_no_path_and_no_round_trip_but_is_remembered() {
        let (mut view, now) = (view(Expect::Any), Instant::now());
        let trip = Duration::from_millis(3);
        let seen = observation("n1", "100.64.0.2", Some(Sample::Direct), Some(Some(trip)));
        let change = path_change(Path::Unknown, Path::Direct);
        assert_eq!(view.sight(Some(&seen), now), [change]);
        assert_eq!((view.path.path(), view.round_trip.get()), (Path::Direct, Some(trip)));
        // A look that could not tell changes nothing.
        assert_eq!(view.sight(Some(&observation("n1", "100.64.0.2", None, None)), now), []);
        assert_eq!((view.path.path(), view.round_trip.get()), (Path::Direct, Some(trip)));
        assert_eq!(view.sight(None, now), [path_change(Path::Direct, Path::Unknown)]);
        assert_eq!((view.path.path(), view.round_trip.get()), (Path::Unknown, None));
        assert!(view.peer.is_some());
    }

    fn path_change(from: Path, to: Path) -> Change {
        Change::Path("db".to_owned(), crate::path::PathTransition { from, to })
    }

    #[test]
    fn one_missed_pong_leaves_the_round_trip_and_two_in_a_row_take_it() {
        let (mut view, now, trip) = (view(Expect::Any), Instant::now(), Duration::from_millis(3));
        let mut known = |pong: Option<Duration>| {
            view.sight(Some(&observation("n1", "100.64.0.2", None, Some(pong))), now);
            view.round_trip.get().is_some()
        };
        let pongs = [None, Some(trip), None, Some(trip), None, None, None, Some(trip)];
        assert_eq!(pongs.map(&mut known), [false, true, true, true, true, false, false, true]);
    }

    #[test]
    fn only_a_known_path_can_break_what_is_expected() {
        let region = || DerpRegion { id: 1, code: "nyc".to_owned() };
        let samples = [Sample::Direct, Sample::PeerRelay, Sample::Derp(region()), Sample::Idle, Sample::Gone];
        let unexpected = |expect| {
            samples.clone().map(|sample| {
                let mut view = view(expect);
                // As often as even the slowest verdict takes.
                for second in [0, 3, 7] {
                    let now = Instant::now() + Duration::from_secs(second);
                    view.sight(Some(&observation("n1", "100.64.0.2", Some(sample.clone()), None)), now);
                }
                view.path_is_unexpected()
            })
        };
        assert_eq!(unexpected(Expect::Any), [false; 5]);
        assert_eq!(unexpected(Expect::NoDerp), [false, false, true, false, false]);
        assert_eq!(unexpected(Expect::Direct), [false, true, true, false, false]);
    }
}
