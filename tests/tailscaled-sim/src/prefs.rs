//! `prefs`: what the node was told to do, `ipn.Prefs`.

use crate::json::{Fields, Json};
use crate::response::{Body, Response};
use crate::{BackendState, Request, SimState};

/// The answer. A PATCH would change them, which nobody who only looks may do.
pub(crate) fn prefs(sim: &SimState, request: &Request) -> Response {
    if request.method != "GET" {
        return Response::error(403, "prefs write access denied");
    }
    let prefs: Json = Fields::default()
        .set("ControlURL", "https://controlplane.tailscale.com")
        .set("RouteAll", sim.accept_routes)
        .set("CorpDNS", sim.accept_dns)
        .set("WantRunning", sim.state != BackendState::Stopped)
        .set("LoggedOut", sim.state == BackendState::NeedsLogin && !sim.netmap)
        .set("ShieldsUp", false)
        .set("Hostname", sim.host_name.as_str())
        .set("AdvertiseRoutes", Json::Null)
        .into();
    let mut body = String::new();
    prefs.render(&mut body, 0);
    body.push('\n');
    Response::json(Body::Whole(body.into_bytes()))
}
