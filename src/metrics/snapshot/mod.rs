//! Every family that is read from a snapshot. To add one, add it to the file of what it describes.

mod node;
mod path;
mod pod;
mod target;

use super::family::{self, LabelledValue};
use crate::state::{Snapshot, TargetView};
use prometheus::proto::MetricFamily;

pub(super) fn families(snapshot: &Snapshot) -> impl Iterator<Item = MetricFamily> {
    [pod::families(snapshot), node::families(snapshot), target::families(snapshot), path::families(snapshot)]
        .into_iter()
        .flatten()
}

/// One series for each target that has a value, by the label `target`.
fn per_target(snapshot: &Snapshot, value: impl Fn(&TargetView) -> Option<f64>) -> impl Iterator<Item = LabelledValue> {
    let series = move |view: &TargetView| Some(family::labelled(&[("target", &view.target.name)], value(view)?));
    snapshot.targets.iter().filter_map(series)
}
