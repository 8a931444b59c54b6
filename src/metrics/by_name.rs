//! Counts by a target's name, for a caller that does not hold the target's [`TargetMetrics`].

use super::{Metrics, TargetMetrics, lock};
use crate::config::{Config, Target};
use crate::health::TrackState;
use crate::state::{Probed, same_service};
use std::sync::Arc;

/// The targets of the configuration in force.
pub(super) type ByName = Vec<(Target, Arc<TargetMetrics>)>;

impl Metrics {
    /// Makes the series of new targets and drops those of targets that are gone; the same service keeps its counts. To be
    /// called at start and whenever a configuration comes in force, together with the state.
    pub fn configure(&self, config: &Config) {
        let mut by_name = lock(&self.by_name);
        let old = std::mem::take(&mut *by_name);
        by_name.extend(config.targets.iter().map(|new| {
            let kept = old.iter().find(|(old, _)| old.name == new.name && same_service(old, new));
            (Target::clone(new), kept.map_or_else(|| self.target(new), |(_, metrics)| Arc::clone(metrics)))
        }));
    }

    /// Counts a probe that succeeded or failed. One of a target that is no longer configured is dropped.
    pub fn probe(&self, target: &str, probed: &Probed) {
        if let Some(metrics) = self.by_name(target) {
            metrics.probe(probed);
        }
    }

    /// Counts a probe that was cut short.
    pub fn aborted(&self, target: &str) {
        if let Some(metrics) = self.by_name(target) {
            metrics.aborted();
        }
    }

    /// Counts a target's change of state.
    pub fn transition(&self, target: &str, to: TrackState) {
        if let Some(metrics) = self.by_name(target) {
            metrics.transition(to);
        }
    }

    fn by_name(&self, name: &str) -> Option<Arc<TargetMetrics>> {
        lock(&self.by_name).iter().find(|(target, _)| target.name == name).map(|(_, metrics)| Arc::clone(metrics))
    }
}
