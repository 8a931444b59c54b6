//! Connecting to tailscaled's socket, with each way of failing told apart.

use crate::reason::{Failure, Reason};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Where tailscaled's socket usually is: tailscaled's own default, and containerboot's.
pub const SOCKETS: [&str; 2] = ["/var/run/tailscale/tailscaled.sock", "/tmp/tailscaled.sock"];

/// Connects to the first of `sockets` that answers. Where none does, a socket that is there but fails says more than
/// one that is missing.
pub async fn connect(sockets: &[PathBuf]) -> Result<UnixStream, Failure> {
    let mut worst: Option<Failure> = None;
    for socket in sockets {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let failure = failure(socket, &error);
                worst = match worst {
                    Some(earlier) if failure.reason == Reason::NodeSocketMissing => Some(merged(earlier, &failure)),
                    _ => Some(failure),
                };
            }
        }
    }
    Err(worst.unwrap_or_else(|| Failure::new(Reason::NodeSocketMissing, "no socket is configured")))
}

fn merged(earlier: Failure, later: &Failure) -> Failure {
    if earlier.reason == Reason::NodeSocketMissing {
        Failure::new(earlier.reason, format_args!("{}; {}", earlier.cause, later.cause))
    } else {
        earlier
    }
}

fn failure(socket: &Path, error: &std::io::Error) -> Failure {
    let kind = error.kind();
    let reason = if kind == ErrorKind::ConnectionRefused {
        Reason::NodeSocketRefused
    } else if kind == ErrorKind::PermissionDenied {
        Reason::NodeSocketForbidden
    } else if kind == ErrorKind::WouldBlock {
        // The daemon's queue of connections that it has not accepted is full.
        Reason::NodeLocalapiTimeout
    } else {
        // Among the rest: a part of the path that is no folder, and a path longer than the kernel takes.
        Reason::NodeSocketMissing
    };
    Failure::new(reason, format_args!("{}: {error}", socket.display()))
}
