//! What `prefs` says, on the wire and as telltail reads it.

use super::raw::Connection;
use super::{World, client};
use telltail::tailscale::Prefs;

/// The worlds' nodes accept neither DNS nor routes, as a container's do not by default.
pub async fn tell_what_the_node_was_told_to_do(world: &impl World) {
    let answer = Connection::open(world.socket()).await.get("/localapi/v0/prefs").await;
    let told = answer.json();
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(
        (&told["CorpDNS"], &told["RouteAll"], &told["WantRunning"]),
        (&false.into(), &false.into(), &true.into())
    );
    let keys = answer.body.split("privkey:").skip(1);
    assert!(keys.map(|rest| rest.bytes().take(64)).all(|mut key| key.all(|byte| byte == b'0')), "keys are taken out");
    let read = client(world).prefs().await.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(read, Prefs { accept_dns: false, accept_routes: false });
}
