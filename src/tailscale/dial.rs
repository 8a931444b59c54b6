//! `dial`: lets tailscaled connect to an address of the tailnet.

use super::observe::{Answer, Call, Observed};
use super::{Dialer, MAX_ERROR_TEXT, broken, request, unexpected};
use crate::http::Raw;
use crate::reason::{Failure, Reason};
use hyper::{Method, StatusCode};
use std::net::SocketAddr;

impl Dialer {
    /// Lets tailscaled connect to an address. It waits as long as the far side is silent: the deadline is the caller's.
    pub async fn dial(&self, target: SocketAddr) -> Result<Raw, Failure> {
        let mut observed = Observed { observe: &self.observe, call: Call::Dial, answer: Answer::None };
        let answer = self.dial_unobserved(target).await;
        observed.answer = Answer::of(&answer);
        answer
    }

    async fn dial_unobserved(&self, target: SocketAddr) -> Result<Raw, Failure> {
        let host = target.ip().to_string();
        let port = target.port().to_string();
        let headers = [
            ("connection", "upgrade"),
            ("upgrade", "ts-dial"),
            ("dial-host", host.as_str()),
            ("dial-port", port.as_str()),
        ];
        let request = request(Method::POST, "/localapi/v0/dial", &headers)?;
        let mut connection = self.connect().await?;
        let response = connection.send(request).await.map_err(|error| broken(&error))?;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => connection.upgrade(response).await.map_err(|error| broken(&error)),
            StatusCode::OK if response.headers().contains_key("dial-self") => {
                let cause = format_args!("tailscaled says that {target} is not reached over the tailnet (Dial-Self)");
                Err(Failure::new(Reason::ConnectNotRouted, cause))
            }
            status => {
                let text = connection.text(response.into_body(), MAX_ERROR_TEXT).await.unwrap_or_default();
                Err(if status == StatusCode::BAD_GATEWAY { dial_failure(&text) } else { unexpected(status, &text) })
            }
        }
    }
}

/// What tailscaled's dialer said, kernel's and netstack's wording alike.
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
