//! In which states each query is to show something.

use crate::State::{self, Drained, Healthy, NodeDown, OnDerp, ServiceDown};

/// Queries that show nothing in some states, by the end of their place; all others always show something.
const SOMETIMES: &[(&str, &[State])] = &[];

/// The states in which the query at this place is to show something.
pub fn states(place: &str) -> &'static [State] {
    SOMETIMES
        .iter()
        .find(|(end, _)| place.ends_with(end))
        .map_or(&[Healthy, OnDerp, ServiceDown, NodeDown, Drained], |(_, states)| states)
}
