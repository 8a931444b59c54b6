//! What a user who is not root may do.

use super::child::{self, USER, uid};
use super::{SERVED, SOON, World, client, say};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::sync::Arc;
use telltail::tailscale::LocalApi;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Where the child finds tailscaled and the peer.
const SOCKET: &str = "TELLTAIL_CONTRACT_SOCKET";
const PEER: &str = "TELLTAIL_CONTRACT_PEER";

/// The name of the test that calls [`speak_as_another_user`], in every program that holds the contract.
const TEST: &str = "another_user";

pub async fn may_ask_and_dial(world: &impl World) {
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
}
