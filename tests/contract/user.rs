//! The permissions of a user other than root.

use super::bus::MASK_WITH_PEERS;
use super::child::{self, USER, uid};
use super::{SERVED, SOON, Testbed, client, is_since, print};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::sync::Arc;
use telltail::reason::Reason;
use telltail::tailscale::{LocalApi, MASK, PingKind, PingReply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Where the child finds tailscaled and the peer.
const SOCKET: &str = "TELLTAIL_CONTRACT_SOCKET";
const PEER: &str = "TELLTAIL_CONTRACT_PEER";

/// The name of the test that calls [`call_as_another_user`], in every program that holds the contract.
const TEST: &str = "another_user";

pub async fn other_than_root_may_make_every_call(testbed: &impl Testbed) {
    if uid() != 0 {
        print(
            testbed,
            format_args!("the permissions of uid {USER} NOT TESTED: only root can start a program as another user"),
        );
        return;
    }
    let peer = testbed.peer().to_string();
    child::run(&child::as_user(), TEST, &[(SOCKET, testbed.socket().as_os_str()), (PEER, OsStr::new(&peer))]).await;
    assert!(client(testbed).status(false, &|_, _| false).await.is_ok());
}

/// The child's part: every call that telltail makes.
pub async fn call_as_another_user() {
    assert_eq!(uid().to_string(), USER, "started by the contract, not by hand");
    let socket = std::env::var_os(SOCKET).unwrap().into();
    let mut client = LocalApi::new(Some(socket), Arc::new(|_, _| {}));
    let status = client.status(true, &|_, _| true).await.unwrap();
    assert_eq!((status.backend_state.as_str(), status.peers.len()), ("Running", 1));
    let peer: IpAddr = std::env::var(PEER).unwrap().parse().unwrap();
    let mut stream = timeout(SOON, client.dialer().dial((peer, SERVED).into())).await.unwrap().unwrap();
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").await.unwrap();
    let mut pong = [0; 7];
    timeout(SOON, stream.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
    for kind in [PingKind::Disco { size: 0 }, PingKind::Tsmp] {
        let reply = timeout(SOON, client.dialer().ping(peer, &[peer], kind)).await.unwrap().unwrap();
        assert!(matches!(reply, PingReply::Pong(_)), "{reply:?}");
    }
    assert!(client.prefs().await.is_ok());
    for mask in [MASK, MASK_WITH_PEERS] {
        let mut bus = client.dialer().watch(mask).await.unwrap();
        assert!(timeout(SOON, bus.next()).await.unwrap().unwrap().unwrap().wake);
    }
    // Without NoPrivateKeys (16), old releases assume that the reader wants private keys.
    let refused = client.dialer().watch(130).await.err().map(|failure| failure.reason);
    assert_eq!(refused, (!is_since(&status.version, 92)).then_some(Reason::NodeSocketForbidden));
}
