//! One target's part of the state.

use super::{Change, Sighting};
use crate::config::{Expect, Target};
use crate::health::{Standing, Thresholds, Track, TrackState, Transition};
use crate::path::{Path, Sample, Tracker};
use crate::probe::look::Look;
use crate::probe::{Detail, Timings};
use crate::reason::Failure;
use crate::schedule::Pace;
use std::net::IpAddr;
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
    pub peer: Option<Carrier>,
    /// How often another node came to carry it.
    pub peer_changes: u64,
    /// Over which path packets reach it.
    pub path: Tracker,
    /// Round trip of disco pings.
    pub round_trip: RoundTrip,
    /// The last probe; none before the first.
    pub last: Option<Probed>,
    /// When it last succeeded.
    pub last_success: Option<SystemTime>,
    /// Time to the next probe.
    pub pace: Pace,
}

/// The node that carries a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Carrier {
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
            path: Tracker::new(now),
            round_trip: RoundTrip::default(),
            last: None,
            last_success: None,
            pace,
        }
    }

    pub(super) fn sight(&mut self, sighting: Option<&Sighting>, now: Instant) -> Vec<Change> {
        let name = || self.target.name.clone();
        let mut changes = Vec::new();
        let carrier = sighting.map(|sighting| &sighting.carrier);
        if let (Some(old), Some(new)) = (&self.peer, carrier)
            && (&old.id, old.address) != (&new.id, new.address)
        {
            self.peer_changes += 1;
            changes.push(Change::Carrier(name(), old.address, new.address));
        }
        let look = sighting.map_or(Look { sample: Some(Sample::Gone), round_trip: None }, |found| found.look.clone());
        let change = look.sample.and_then(|sample| self.path.observe(sample, now));
        changes.extend(change.map(|change| Change::Path(name(), change)));
        match look.round_trip {
            Some(answer) => self.round_trip.note(answer),
            None if sighting.is_none() => self.round_trip = RoundTrip::default(),
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

    pub(super) fn standing(&self) -> Standing<'_> {
        Standing {
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
