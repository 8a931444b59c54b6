//! What a user who is not root may do.

use super::{SERVED, SOON, World, client, say};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use telltail::tailscale::LocalApi;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// As in a distroless container.
const USER: &str = "65532";

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
    // That user may not be able to reach the folder where cargo put this program.
    let folder = tempfile::Builder::new().prefix("telltail-contract-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.path().join("contract");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(&program);
    command.args(["--ignored", "--exact", TEST, "--nocapture"]).env(SOCKET, world.socket());
    command.env(PEER, world.peer().to_string()).current_dir("/").stdin(Stdio::null());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // A simulated tailscaled lives in this thread and must go on answering.
    let waiting = std::thread::spawn(move || sender.send(command.output()));
    let output = timeout(SOON, receiver).await.unwrap().unwrap().expect("setpriv is installed");
    waiting.join().unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
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

/// Our own.
pub fn uid() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}
