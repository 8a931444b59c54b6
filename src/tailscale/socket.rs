//! Connects to tailscaled's socket; each kind of error has its own reason.

use crate::reason::{Failure, Reason};
use crate::shortage::is_own_shortage;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// The usual paths of tailscaled's socket: tailscaled's own default, and containerboot's.
pub const SOCKETS: [&str; 2] = ["/var/run/tailscale/tailscaled.sock", "/tmp/tailscaled.sock"];

/// Connects to the first of `sockets` that accepts. Where none does, a socket that exists but fails is reported rather
/// than one that is missing.
pub async fn connect(sockets: &[PathBuf]) -> Result<UnixStream, Failure> {
    let mut reported: Option<Failure> = None;
    for socket in sockets {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) if is_own_shortage(&error) => return Err(failure(socket, &error)),
            Err(error) => {
                let failure = failure(socket, &error);
                reported = match reported {
                    Some(earlier) if failure.reason == Reason::NodeSocketMissing => Some(merged(earlier, &failure)),
                    _ => Some(failure),
                };
            }
        }
    }
    Err(reported.unwrap_or_else(|| Failure::new(Reason::NodeSocketMissing, "no socket is configured")))
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
    let reason = if is_own_shortage(error) {
        Reason::NodeOutOfResources
    } else if kind == ErrorKind::ConnectionRefused {
        Reason::NodeSocketRefused
    } else if kind == ErrorKind::PermissionDenied {
        Reason::NodeSocketForbidden
    } else if kind == ErrorKind::WouldBlock {
        // The listen backlog is full.
        Reason::NodeLocalapiTimeout
    } else {
        // Also a path with a file for a folder, and one that is too long for the kernel.
        Reason::NodeSocketMissing
    };
    Failure::new(reason, format_args!("{}: {error}", socket.display()))
}
