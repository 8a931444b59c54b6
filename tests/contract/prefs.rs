//! `prefs`, on the wire and as telltail reads it.

use super::raw::RawConnection;
use super::{Testbed, client};
use telltail::tailscale::Prefs;

/// The testbeds' nodes accept neither DNS nor routes, like containers by default.
pub async fn have_the_settings_of_the_node(testbed: &impl Testbed) {
    let answer = RawConnection::open(testbed.socket()).await.get("/localapi/v0/prefs").await;
    let prefs = answer.json();
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(
        (&prefs["CorpDNS"], &prefs["RouteAll"], &prefs["WantRunning"]),
        (&false.into(), &false.into(), &true.into())
    );
    let keys = answer.body.split("privkey:").skip(1);
    assert!(keys.map(|rest| rest.bytes().take(64)).all(|mut key| key.all(|byte| byte == b'0')), "keys are zeroed");
    let read = client(testbed).prefs().await.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(read, Prefs { accept_dns: false, accept_routes: false });
}
