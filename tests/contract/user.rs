//! What a user who is not root may do.

use super::child::{self, USER, uid};
use super::{SERVED, SOON, World, client, is_since, say};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::sync::Arc;
use telltail::reason::Reason;
use telltail::tailscale::{LocalApi, MASK, MASK_WITH_PEERS, PingKind, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Where the child finds tailscaled and the peer.
const SOCKET: &str = "TELLTAIL_CONTRACT_SOCKET";
const PEER: &str = "TELLTAIL_CONTRACT_PEER";

/// The name of the test that calls [`speak_as_another_user`], in every program that holds the contract.
const TEST: &str = "another_user";

pub async fn may_do_all_that_telltail_does(world: &impl World) {
    if uid() != 0 {
        say(
            world,
            format_args!("the permissions of uid {USER} NOT TOLD: only root can start a program as another user"),
        );
        return;
    }
    let peer = world.peer().to_string();
    child::run(&child::as_user(), TEST, &[(SOCKET, world.socket().as_os_str()), (PEER, OsStr::new(&peer))]).await;
    // Root may as well, needless to say.
    assert!(client(world).status(false, &|_| false).await.is_ok());
}

/// What the child does: everything that telltail ever does.
pub async fn speak_as_another_user() {
    assert_eq!(uid().to_string(), USER, "started by the contract, not by hand");
    let socket = std::env::var_os(SOCKET).unwrap().into();
    let mut client = LocalApi::new(Some(socket), Arc::new(|_, _| {}));
    let status = client.status(true, &|_| true).await.unwrap();
    assert_eq!((status.backend_state.as_str(), status.peers.len()), ("Running", 1));
    let peer: IpAddr = std::env::var(PEER).unwrap().parse().unwrap();
    let mut stream = timeout(SOON, client.dialer().dial((peer, SERVED).into())).await.unwrap().unwrap();
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").await.unwrap();
    let mut pong = [0; 7];
    timeout(SOON, stream.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
    for kind in [PingKind::Disco { size: 0 }, PingKind::Tsmp] {
        let reply = timeout(SOON, client.dialer().ping(peer, &[peer], kind)).await.unwrap().unwrap();
        assert!(matches!(reply, Reply::Pong(_)), "{reply:?}");
    }
    assert!(client.prefs().await.is_ok());
    for mask in [MASK, MASK_WITH_PEERS] {
        let mut bus = client.dialer().watch(mask).await.unwrap();
        assert!(timeout(SOON, bus.next()).await.unwrap().unwrap().unwrap().wake);
    }
    // Without NoPrivateKeys (16), old releases take the reader for somebody who wants to see private keys.
    let refused = client.dialer().watch(130).await.err().map(|failure| failure.reason);
    assert_eq!(refused, (!is_since(&status.version, 92)).then_some(Reason::NodeSocketForbidden));
}
