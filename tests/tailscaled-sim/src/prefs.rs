//! `prefs`: what the node was told to do, `ipn.Prefs`.

use crate::answer::{Answer, Body};
use crate::json::{Fields, Json};
use crate::{BackendState, Request, World};

/// The answer. A PATCH would change them, which nobody who only looks may do.
pub(crate) fn prefs(world: &World, request: &Request) -> Answer {
    if request.method != "GET" {
        return Answer::error(403, "prefs write access denied");
    }
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
    Answer::json(Body::Whole(body.into_bytes()))
}
