//! Which requests tailscaled accepts.

use super::raw::{self, RawResponse, ask};
use super::{SERVED, Testbed};

fn status_with(lines: &str) -> String {
    format!("GET /localapi/v0/status?peers=false HTTP/1.1\r\n{lines}")
}

/// The refusal without access: it does not even have the version header.
fn assert_invalid(answer: &RawResponse, what: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (403, "invalid localapi request\n"), "{what}");
    assert_eq!(answer.header("Tailscale-Version"), None, "{what}");
}

pub async fn only_the_right_host_is_accepted(testbed: &impl Testbed) {
    for host in ["local-tailscaled.sock", ""] {
        assert_eq!(ask(testbed, &status_with(&format!("Host: {host}"))).await.status, 200, "{host:?}");
    }
    for host in ["localhost", "Local-Tailscaled.sock", "local-tailscaled.sock:80", "127.0.0.1"] {
        assert_invalid(&ask(testbed, &status_with(&format!("Host: {host}"))).await, host);
    }
    let dial = raw::dial("db", &SERVED.to_string()).replace("local-tailscaled.sock", "localhost");
    assert_invalid(&ask(testbed, &dial).await, "dial");
}

pub async fn requests_of_web_pages_are_refused(testbed: &impl Testbed) {
    for name in ["Origin", "Referer"] {
        let head = |value: &str| status_with(&format!("Host: local-tailscaled.sock\r\n{name}: {value}"));
        assert_invalid(&ask(testbed, &head("http://example.com")).await, name);
        assert_eq!(ask(testbed, &head("")).await.status, 200, "an empty {name} is none");
    }
}

pub async fn an_unknown_path_is_not_found(testbed: &impl Testbed) {
    for (path, host, versioned) in [
        ("/localapi/v0/nosuch", "local-tailscaled.sock", true),
        ("/localapi/v0/status/", "local-tailscaled.sock", true),
        // Outside LocalAPI the host is not checked and the version header not sent.
        ("/nosuch", "local-tailscaled.sock", false),
        ("/nosuch", "localhost", false),
    ] {
        let answer = ask(testbed, &format!("GET {path} HTTP/1.1\r\nHost: {host}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (404, "404 page not found\n"), "{path}");
        assert_eq!(answer.header("Tailscale-Version").is_some(), versioned, "{path}");
    }
    assert_invalid(
        &ask(testbed, "GET /localapi/v0/nosuch HTTP/1.1\r\nHost: localhost").await,
        "unknown and not trusted",
    );
}

pub async fn a_dial_is_a_post_with_an_upgrade(testbed: &impl Testbed) {
    let right = raw::dial(&testbed.peer().to_string(), &SERVED.to_string());
    let refusals = [
        (right.replace("POST", "GET"), 405, "POST required\n"),
        (right.replace("Connection: upgrade", "Connection: Upgrade"), 400, "bad ts-dial upgrade\n"),
        (right.replace("Connection: upgrade\r\n", ""), 400, "bad ts-dial upgrade\n"),
        (right.replace("Upgrade: ts-dial", "Upgrade: TS-DIAL"), 400, "bad ts-dial upgrade\n"),
        (right.replace("Upgrade: ts-dial\r\n", ""), 400, "bad ts-dial upgrade\n"),
        (right.replace("Dial-Host", "X-Host"), 400, "missing Dial-Host or Dial-Port header\n"),
        (right.replace("Dial-Port", "X-Port"), 400, "missing Dial-Host or Dial-Port header\n"),
    ];
    for (head, status, text) in refusals {
        let answer = ask(testbed, &head).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{head}");
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"), "{head}");
        assert!(answer.header("Tailscale-Version").is_some(), "{head}");
    }
    for connection in ["upgrade", "keep-alive, upgrade"] {
        let head = right.replace("Connection: upgrade", &format!("Connection: {connection}"));
        let answer = ask(testbed, &head).await;
        assert_eq!(answer.status, 101, "{connection}");
        assert_eq!(answer.header("Connection"), Some("upgrade"));
        assert_eq!(answer.header("Upgrade"), Some("ts-dial"));
        assert!(answer.header("Tailscale-Version").is_some());
    }
}

/// Without a Host, and the end of the connection is the end of the answer.
pub async fn http_1_0_is_supported(testbed: &impl Testbed) {
    let answer = ask(testbed, "GET /localapi/v0/status HTTP/1.0").await;
    assert_eq!((answer.version.as_str(), answer.header("Transfer-Encoding")), ("HTTP/1.0", None));
    assert_eq!(answer.json()["BackendState"], "Running");
}

pub async fn a_malformed_request_is_refused(testbed: &impl Testbed) {
    for (head, text) in [
        ("nonsense", "400 Bad Request"),
        ("GET /localapi/v0/status HTTP/1.1", "400 Bad Request: missing required Host header"),
    ] {
        let answer = ask(testbed, head).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, text), "{head}");
        assert_eq!(answer.header("Connection"), Some("close"), "{head}");
    }
}
