//! A dial, once it is known what it comes to.

use tokio::net::TcpStream;

use crate::answer::Answer;
use crate::connection::Daemon;
use crate::plan::{Plan, plan};
use crate::wire::{Gone, Wire};
use crate::{Request, locked};

/// An answer, or `None` once a stream has run its course.
pub(crate) async fn dial(daemon: &Daemon, wire: &mut Wire, request: &Request) -> Result<Option<Answer>, Gone> {
    let header = |name| request.header(name).unwrap_or_default();
    if request.method != "POST" {
        return Ok(Some(Answer::error(405, "POST required")));
    }
    if !header("Connection").contains("upgrade") || header("Upgrade") != "ts-dial" {
        return Ok(Some(Answer::error(400, "bad ts-dial upgrade")));
    }
    let (host, port) = (header("Dial-Host"), header("Dial-Port"));
    if host.is_empty() || port.is_empty() {
        return Ok(Some(Answer::error(400, "missing Dial-Host or Dial-Port header")));
    }
    let network = if header("Dial-Network").is_empty() { "tcp" } else { header("Dial-Network") };
    if !matches!(network, "tcp" | "tcp4" | "tcp6") {
        daemon.unexpected(format!("Dial-Network: {network}"));
        return Ok(Some(Answer::error(502, "dial failure: not simulated")));
    }
    let plan = plan(&locked(&daemon.world), host, port, network);
    match plan {
        Plan::Hang => Err(wire.left().await),
        Plan::BadGateway(text) => Ok(Some(Answer::error(502, &text))),
        Plan::DialSelf(to) => {
            Ok(Some(Answer::new(200, Vec::new()).with("Dial-Self", "true").with("Dial-Addr", to.to_string())))
        }
        Plan::Mute => {
            upgrade(daemon).send_head(wire, request).await?;
            Err(wire.left().await)
        }
        Plan::Forward { to, refused } => {
            let connected = tokio::select! {
                connected = TcpStream::connect(to) => connected,
                gone = wire.left() => return Err(gone),
            };
            match connected {
                Ok(far) => relay(daemon, wire, request, far).await.map(|()| None),
                Err(_) => Ok(Some(Answer::error(502, &refused))),
            }
        }
    }
}

fn upgrade(daemon: &Daemon) -> Answer {
    let version = locked(&daemon.world).version;
    Answer::new(101, Vec::new()).signed(version).with("Connection", "upgrade").with("Upgrade", "ts-dial")
}

/// Either direction's end is the end of both: there is no half-close.
async fn relay(daemon: &Daemon, wire: &mut Wire, request: &Request, mut far: TcpStream) -> Result<(), Gone> {
    let _ = far.set_nodelay(true);
    upgrade(daemon).send_head(wire, request).await?;
    let early = wire.take_early();
    let (mut from_far, mut to_far) = far.split();
    let (mut from_client, mut to_client) = wire.stream.split();
    tokio::io::AsyncWriteExt::write_all(&mut to_far, &early).await.map_err(|_| Gone)?;
    tokio::select! {
        _ = tokio::io::copy(&mut from_far, &mut to_client) => {}
        _ = tokio::io::copy(&mut from_client, &mut to_far) => {}
    }
    Ok(())
}
