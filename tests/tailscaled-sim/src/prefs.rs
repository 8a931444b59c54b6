//! `prefs`: what the node was told to do, `ipn.Prefs`.

use crate::json::{Fields, Json};
use crate::{BackendState, World};

/// The answer's body.
pub(crate) fn prefs(world: &World) -> String {
    let prefs: Json = Fields::default()
        .set("ControlURL", "https://controlplane.tailscale.com")
        .set("RouteAll", world.accept_routes)
        .set("CorpDNS", world.accept_dns)
        .set("WantRunning", world.state != BackendState::Stopped)
        .set("LoggedOut", world.state == BackendState::NeedsLogin && !world.netmap)
        .set("ShieldsUp", false)
        .set("Hostname", world.host_name.as_str())
        .set("AdvertiseRoutes", Json::Null)
        .into();
    let mut body = String::new();
    prefs.render(&mut body, 0);
    body.push('\n');
    body
}
