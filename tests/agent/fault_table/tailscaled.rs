//! Faults of the pod's own tailscaled: its socket, its LocalAPI, its state.

use super::{DAY, DB_UP, Expected, FaultCase, advised, of, path, pod};
use crate::harness::{Harness, Setup};
use bytes::Bytes;
use std::time::{Duration, SystemTime};
use tailscaled_sim::{BackendState, Call, Crowd, Misbehaviour, SocketFile, Warning};
pub(super) fn socket() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (
                &[2],
                "tailscaled has ended, or ends at each start without a TUN device: no socket",
                |h| h.tailscaled.stop(),
                pod("node_socket_missing"),
            ),
            (&[3], "tailscaled was killed, its socket is left", |h| h.tailscaled.crash(), pod("node_socket_refused")),
            (
                &[5],
                "a file is in the socket's place",
                |h| h.tailscaled.replace_socket(SocketFile::File),
                pod("node_socket_refused"),
            ),
            (
                &[5],
                "a folder is there",
                |h| h.tailscaled.replace_socket(SocketFile::Folder),
                pod("node_socket_refused"),
            ),
            (
                &[5],
                "a dangling link",
                |h| h.tailscaled.replace_socket(SocketFile::DanglingLink),
                pod("node_socket_missing"),
            ),
            (&[6], "tailscaled has restarted at a new inode", |h| h.tailscaled.listen(), DB_UP),
            (&[6], "tailscaled has cut every connection", |h| h.tailscaled.kill_connections(), DB_UP),
        ],
    )
}

fn misbehave(h: &Harness, misbehaviour: Misbehaviour) {
    h.tailscaled.misbehave(misbehaviour);
}

fn json(h: &Harness, body: impl AsRef<[u8]>) {
    misbehave(h, Misbehaviour::Json(Bytes::copy_from_slice(body.as_ref())));
}

fn error(h: &Harness, status: u16) {
    misbehave(h, Misbehaviour::Error(status, "a text".to_owned()));
}

pub(super) fn localapi() -> Vec<FaultCase> {
    const INVALID: Expected = pod("node_localapi_invalid");
    const TIMEOUT: Expected = pod("node_localapi_timeout");
    of(
        Setup::Userspace,
        [
            (&[7], "accepts, never answers", |h| misbehave(h, Misbehaviour::Silent), TIMEOUT),
            (&[8], "stalls in the head", |h| misbehave(h, Misbehaviour::StallAfter(20)), TIMEOUT),
            (&[8], "stalls in the JSON", |h| misbehave(h, Misbehaviour::StallAfter(900)), TIMEOUT),
            (&[9], "drips", |h| misbehave(h, Misbehaviour::Drip(Duration::from_millis(100))), TIMEOUT),
            (&[10], "closes in the head", |h| misbehave(h, Misbehaviour::CloseAfter(20)), INVALID),
            (&[10], "closes in the JSON", |h| misbehave(h, Misbehaviour::CloseAfter(900)), INVALID),
            (&[10], "Content-Length is too large", |h| misbehave(h, Misbehaviour::ContentLength(10)), INVALID),
            (&[10], "Content-Length is too small", |h| misbehave(h, Misbehaviour::ContentLength(-10)), INVALID),
            (&[10], "a broken chunk", |h| misbehave(h, Misbehaviour::BrokenChunk), INVALID),
            (&[11], "not HTTP at all", |h| misbehave(h, Misbehaviour::not_http()), INVALID),
            (&[12], "1xx without end", |h| misbehave(h, Misbehaviour::informational_flood()), TIMEOUT),
            (&[12], "a head without end", |h| misbehave(h, Misbehaviour::endless_head()), INVALID),
            (&[12], "a redirect", |h| misbehave(h, Misbehaviour::redirect()), INVALID),
            (&[12], "101 without asking", |h| misbehave(h, Misbehaviour::unsolicited_upgrade()), INVALID),
            (&[13], "401", |h| error(h, 401), pod("node_socket_forbidden")),
            (&[13], "403", |h| error(h, 403), pod("node_socket_forbidden")),
            (
                &[13],
                "403 to dials alone",
                |h| h.tailscaled.misbehave_at(Call::Dial, Misbehaviour::Error(403, "no".to_owned())),
                pod("node_socket_forbidden"),
            ),
            (&[14], "404", |h| error(h, 404), INVALID),
            (&[14], "501", |h| error(h, 501), INVALID),
            (&[15], "500", |h| error(h, 500), INVALID),
            (&[15], "503, a line in the text", |h| error_text(h, 503, "a\n{\"level\":\"INFO\"}\x1b[2J"), INVALID),
            (&[16], "an empty answer", |h| json(h, ""), INVALID),
            (&[16], "a list", |h| json(h, "[]"), INVALID),
            (&[16], "an empty object", |h| json(h, "{}"), pod("node_localapi_invalid")),
            (&[16], "wrong types", |h| json(h, r#"{"BackendState":7,"Self":[],"Peer":"x"}"#), INVALID),
            (&[16], "cut JSON", |h| json(h, r#"{"BackendState":"Running","#), INVALID),
            (&[17], "100,000 arrays in each other", |h| misbehave(h, Misbehaviour::deep_nesting(100_000)), INVALID),
            (&[17], "invalid UTF-8", |h| json(h, b"{\"BackendState\":\"\xff\"}"), INVALID),
            (&[17], "1e999", |h| json(h, r#"{"BackendState":1e999}"#), INVALID),
            (&[17], "a text of 10 MB", |h| misbehave(h, Misbehaviour::giant_string(10 << 20)), INVALID),
            (
                &[18],
                "1,300 other peers, more than a MiB",
                |h| h.tailscaled.set_crowd(Crowd { peers: 1300, padding: 0 }),
                DB_UP,
            ),
            (&[18], "a body without end", |h| misbehave(h, Misbehaviour::endless_body()), TIMEOUT),
            (&[18], "health texts without end", |h| misbehave(h, Misbehaviour::endless_field("Health")), INVALID),
        ],
    )
}

fn error_text(h: &Harness, status: u16, text: &str) {
    misbehave(h, Misbehaviour::Error(status, text.to_owned()));
}

fn state(h: &Harness, state: BackendState) {
    h.tailscaled.set_backend_state(state);
}

/// NeedsLogin, with what tailscaled tells then; the address of a login page is a secret.
fn login_fails(h: &Harness, error: &str) {
    let told = format!("You are logged out. The last login error was: {error}; https://login.tailscale.com/a/0123");
    h.tailscaled.set_health(&["Tailscale is starting. Please wait.", &told]);
    state(h, BackendState::NeedsLogin);
}

pub(super) fn logins() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (&[20], "NeedsLogin", |h| state(h, BackendState::NeedsLogin), pod("node_needs_login")),
            (&[20], "the auth key is used up", |h| login_fails(h, "authkey already used"), pod("node_needs_login")),
            (
                &[20],
                "the first login waits for a control plane that refuses",
                |h| login_fails(h, r#"fetch control key: Get "http://hs.example/key?v=142": connection refused"#),
                pod("node_control_unreachable"),
            ),
            (
                &[20],
                "a captive portal answers in the control plane's place",
                |h| login_fails(h, "invalid character '<' looking for beginning of value\nkey hex has the wrong size"),
                pod("node_control_unreachable"),
            ),
            (
                &[19],
                "NoState for a control plane that does not answer",
                |h| {
                    login_fails(h, "fetch control key: 502 Bad Gateway");
                    state(h, BackendState::NoState);
                },
                pod("node_control_unreachable"),
            ),
        ],
    )
}

/// `tailscale down` is kept in the state.
fn stop_and_restart(h: &Harness) {
    state(h, BackendState::Stopped);
    h.tailscaled.listen();
}

pub(super) fn node() -> Vec<FaultCase> {
    of(
        Setup::Userspace,
        [
            (&[19], "NoState", |h| state(h, BackendState::NoState), pod("node_starting")),
            (&[19], "Starting", |h| state(h, BackendState::Starting), pod("node_starting")),
            (&[21], "NeedsMachineAuth", |h| state(h, BackendState::NeedsMachineAuth), pod("node_needs_approval")),
            (&[22], "the own key has expired", |h| h.tailscaled.expire_own_key(), pod("node_key_expired")),
            (&[23], "`tailscale down`", |h| state(h, BackendState::Stopped), pod("node_stopped")),
            (&[23], "`tailscale down`, and a restart", stop_and_restart, pod("node_stopped")),
            (&[24], "Running without an address", |h| h.tailscaled.take_addresses(), pod("node_no_address")),
            (&[16], "InUseOtherUser", |h| state(h, BackendState::InUseOtherUser), pod("node_localapi_invalid")),
            (
                &[16],
                "a state of the future",
                |h| state(h, BackendState::Other("Paused\n\"x\u{202e}".to_owned())),
                pod("node_localapi_invalid"),
            ),
            (
                &[25],
                "the node was deleted: peers vanish",
                |h| {
                    h.tailscaled.set_control_online(false);
                    h.tailscaled.remove_peer("db");
                    h.tailscaled.remove_peer("cache");
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[26],
                "no connection to control",
                |h| h.tailscaled.set_control_online(false),
                advised("control_unreachable"),
            ),
            (&[28], "health texts", |h| h.tailscaled.set_health(&["UDP is blocked\n{}", "no DERP"]), DB_UP),
            (
                &[28],
                "health warnings",
                |h| h.tailscaled.warn("no-derp-connection", Warning::new("no 'nyc'\n{}")),
                advised("health_warning"),
            ),
            (
                &[27],
                "locked out by tailnet lock: peers vanish",
                |h| {
                    h.tailscaled.warn("tailnet-lock-locked-out", Warning::new("this node is locked out"));
                    h.tailscaled.remove_peer("db");
                    h.tailscaled.remove_peer("cache");
                },
                path("resolve_not_in_netmap"),
            ),
            (
                &[22],
                "the own key expires tomorrow",
                |h| h.tailscaled.with_state(|sim| sim.key_expiry = Some(SystemTime::now() + DAY)),
                advised("own_key_expires"),
            ),
            (
                &[30],
                "the IPN bus goes silent",
                |h| {
                    h.tailscaled.misbehave_at(Call::Bus, Misbehaviour::Silent);
                    h.tailscaled.kill_connections();
                },
                DB_UP,
            ),
        ],
    )
}
