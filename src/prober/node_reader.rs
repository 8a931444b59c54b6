//! Reads the node: one status, and the number of the home DERP region.

use super::Backend;
use crate::node::Node;
use crate::probe::peer_filter::PeerFilter;
use crate::reason::Failure;
use crate::tailscale::Status;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A failed look-up is repeated after this time: nothing depends on it.
const REGION_RETRY: Duration = Duration::from_secs(60);

/// The home DERP region as it was last looked up.
#[derive(Clone)]
pub(super) struct HomeRegion {
    code: String,
    /// Its number, if it could be had.
    id: Option<u32>,
    looked_up: Instant,
}

/// The result of one read of the status.
pub(super) struct StatusReading {
    pub node: Node,
    pub status: Option<Status>,
    pub home: Option<HomeRegion>,
}

/// Reads the status, and looks the home region up unless `home` knows it.
pub(super) async fn read_node(
    backend: &impl Backend,
    filter: &PeerFilter,
    mut home: Option<HomeRegion>,
) -> StatusReading {
    let answer: Result<Status, Failure> = backend.status(filter).await;
    let mut node = match &answer {
        Ok(status) => Node::of(status, SystemTime::now()),
        Err(failure) => Node::unreachable(failure.clone()),
    };
    if let Some(facts) = node.facts.as_mut().filter(|facts| !facts.home_region.is_empty()) {
        let known = |home: &HomeRegion| {
            home.code == facts.home_region && (home.id.is_some() || home.looked_up.elapsed() < REGION_RETRY)
        };
        if !home.as_ref().is_some_and(known) {
            let id = backend.region_id(&facts.home_region).await;
            home = Some(HomeRegion { code: facts.home_region.clone(), id, looked_up: Instant::now() });
        }
        facts.home_region_id = home.as_ref().and_then(|home| home.id);
    }
    StatusReading { node, status: answer.ok(), home }
}
