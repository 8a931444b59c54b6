//! A dial, once it is known what it comes to.

use tokio::net::TcpStream;

use crate::connection::Daemon;
use crate::dial_plan::{DialPlan, plan};
use crate::http_stream::{Disconnected, HttpStream};
use crate::response::Response;
use crate::{Request, locked};

/// An answer, or `None` once a stream has run its course.
pub(crate) async fn dial(
    daemon: &Daemon,
    http: &mut HttpStream,
    request: &Request,
) -> Result<Option<Response>, Disconnected> {
    let header = |name| request.header(name).unwrap_or_default();
    if request.method != "POST" {
        return Ok(Some(Response::error(405, "POST required")));
    }
    if !header("Connection").contains("upgrade") || header("Upgrade") != "ts-dial" {
        return Ok(Some(Response::error(400, "bad ts-dial upgrade")));
    }
    let (host, port) = (header("Dial-Host"), header("Dial-Port"));
    if host.is_empty() || port.is_empty() {
        return Ok(Some(Response::error(400, "missing Dial-Host or Dial-Port header")));
    }
    let network = if header("Dial-Network").is_empty() { "tcp" } else { header("Dial-Network") };
    if !matches!(network, "tcp" | "tcp4" | "tcp6") {
        daemon.unexpected(format!("Dial-Network: {network}"));
        return Ok(Some(Response::error(502, "dial failure: not simulated")));
    }
    let plan = plan(&locked(&daemon.state), host, port, network);
    match plan {
        DialPlan::Hang => Err(http.left().await),
        DialPlan::BadGateway(text) => Ok(Some(Response::error(502, &text))),
        DialPlan::DialSelf(to) => {
            Ok(Some(Response::new(200, Vec::new()).with("Dial-Self", "true").with("Dial-Addr", to.to_string())))
        }
        DialPlan::Mute => {
            upgrade(daemon).send_head(http, request).await?;
            Err(http.left().await)
        }
        DialPlan::Forward { to, refused } => {
            let connected = tokio::select! {
                connected = TcpStream::connect(to) => connected,
                gone = http.left() => return Err(gone),
            };
            match connected {
                Ok(far) => relay(daemon, http, request, far).await.map(|()| None),
                Err(_) => Ok(Some(Response::error(502, &refused))),
            }
        }
    }
}

fn upgrade(daemon: &Daemon) -> Response {
    let version = locked(&daemon.state).version;
    Response::new(101, Vec::new()).signed(version).with("Connection", "upgrade").with("Upgrade", "ts-dial")
}

/// Either direction's end is the end of both: there is no half-close.
async fn relay(
    daemon: &Daemon,
    http: &mut HttpStream,
    request: &Request,
    mut far: TcpStream,
) -> Result<(), Disconnected> {
    let _ = far.set_nodelay(true);
    upgrade(daemon).send_head(http, request).await?;
    let early = http.take_early();
    let (mut from_far, mut to_far) = far.split();
    let (mut from_client, mut to_client) = http.stream.split();
    tokio::io::AsyncWriteExt::write_all(&mut to_far, &early).await.map_err(|_| Disconnected)?;
    tokio::select! {
        _ = tokio::io::copy(&mut from_far, &mut to_client) => {}
        _ = tokio::io::copy(&mut from_client, &mut to_far) => {}
    }
    Ok(())
}
