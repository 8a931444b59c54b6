//! `dial`: has tailscaled dial an address of the tailnet.

use super::Dialer;
use super::call::{Call, CallGuard};
use crate::http::UpgradedStream;
use crate::reason::{Failure, Reason};
use hyper::{Method, StatusCode};
use std::net::SocketAddr;

impl Dialer {
    /// Has tailscaled dial an address. It waits as long as the target is silent: the deadline is the caller's.
    pub async fn dial(&self, target: SocketAddr) -> Result<UpgradedStream, Failure> {
        let pending = CallGuard::new(&self.observer, Call::Dial);
        pending.finish(self.dial_unobserved(target).await)
    }

    async fn dial_unobserved(&self, target: SocketAddr) -> Result<UpgradedStream, Failure> {
        let host = target.ip().to_string();
        let port = target.port().to_string();
        let headers = [
            ("connection", "upgrade"),
            ("upgrade", "ts-dial"),
            ("dial-host", host.as_str()),
            ("dial-port", port.as_str()),
        ];
        let response = self.send(Method::POST, "/localapi/v0/dial", &headers).await?;
        match response.status() {
            StatusCode::OK if response.has_header("dial-self") => {
                let cause = format_args!("tailscaled says that {target} is not reached over the tailnet (Dial-Self)");
                Err(Failure::new(Reason::ConnectNotRouted, cause))
            }
            StatusCode::BAD_GATEWAY => Err(dial_failure(&response.error_text().await)),
            _ => response.expect(StatusCode::SWITCHING_PROTOCOLS).await?.upgrade().await,
        }
    }
}

/// The failure for an error of tailscaled's dialer. The kernel and netstack word the same error differently.
fn dial_failure(text: &str) -> Failure {
    let lower = text.to_ascii_lowercase();
    let reason = if lower.contains("refused") {
        Reason::ConnectRefused
    } else if lower.contains("timeout") || lower.contains("timed out") {
        Reason::ConnectTimeout
    } else if lower.contains("no route") || lower.contains("unreachable") {
        Reason::ConnectUnreachable
    } else {
        Reason::ConnectFailed
    };
    Failure::new(reason, text)
}
