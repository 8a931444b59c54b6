//! What telltail assumes about tailscaled's LocalAPI. The same contract is tested against the simulated tailscaled
//! (`tests/contract.rs`) and real ones (`tests/tailnet/tests/contract.rs`).
//!
//! A statement is an async function that panics if it does not hold. The statements of a [`State`] run while the
//! [`Testbed`] is in that state. All of them run even if one fails, so that one run shows every difference.

mod bus;
mod child;
mod dial;
mod ping;
mod prefs;
mod raw;
mod rules;
mod statements;
mod status;
mod user;

pub use user::call_as_another_user;

use bus::OpenBuses;
use statements::{check_state, holds};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use telltail::tailscale::LocalApi;

/// The peer's port with a Valkey. Nothing listens on the next port.
pub const SERVED: u16 = 6379;
const CLOSED: u16 = SERVED + 1;

/// Far longer than any response takes.
const SOON: Duration = Duration::from_secs(20);

/// The tailscaled of a node `worker`, in a tailnet with one peer `db`.
pub trait Testbed {
    /// Its socket.
    fn socket(&self) -> &Path;

    /// Its release, say `1.102.5`.
    fn version(&self) -> &'static str;

    /// Does it have a TUN device?
    fn tun(&self) -> bool;

    /// The MagicDNS suffix, without dots at its ends.
    fn suffix(&self) -> &str;

    /// The peer's address.
    fn peer(&self) -> Ipv4Addr;

    /// An address outside the tailnet where a server listens.
    fn foreign(&self) -> SocketAddr;

    /// How long a call must be silent to count as waiting for ever: much longer than any response takes.
    fn silence(&self) -> Duration;

    /// Must tailscaled be restarted for [`State::WithoutControl`]?
    fn restarts(&self) -> bool;

    /// Why this testbed cannot get into a state; none if it can.
    fn cannot(&self, state: State) -> Option<&'static str>;

    /// Gets from [`State::Healthy`] into another state.
    async fn make(&self, state: State);

    /// Gets back to [`State::Healthy`]. The last state, [`State::LoggedOut`], is never undone.
    async fn heal(&self, state: State);
}

/// The states of the tailnet and its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything works: the peer is up, and a Valkey listens there.
    Healthy,
    /// The peer hosts a Tailscale Service `svc:pg` at [`SERVICE`], but does not serve it: only tagged nodes may, and the real
    /// tailnet has no tags.
    ServiceOffered,
    /// Control reports the peer as offline, although it is not.
    PeerOffline,
    /// The peer's policy drops everything.
    PeerSilent,
    /// The peer's processes are frozen.
    PeerFrozen,
    /// UDP between the nodes is blocked, so that they use DERP.
    UdpBlocked,
    /// UDP of more than 1,000 bytes to the peer is lost.
    LargeLost,
    /// No DERP server answers.
    NoDerp,
    /// The peer is not in the netmap.
    PeerGone,
    /// The peer's key has expired.
    PeerExpired,
    /// The own key has expired.
    OwnKeyExpired,
    /// `tailscale down`.
    Stopped,
    /// Started with a state on disk, while control is unreachable.
    WithoutControl,
    /// `tailscale logout`.
    LoggedOut,
}

/// The address of the Tailscale Service.
pub const SERVICE: Ipv4Addr = Ipv4Addr::new(100, 100, 1, 1);

/// Checks every statement. Panics at the end if one does not hold.
pub async fn check(testbed: &impl Testbed) {
    let states = [
        State::Healthy,
        State::ServiceOffered,
        State::PeerOffline,
        State::PeerSilent,
        State::PeerFrozen,
        State::UdpBlocked,
        State::LargeLost,
        State::NoDerp,
        State::PeerGone,
        State::PeerExpired,
        State::OwnKeyExpired,
        State::Stopped,
        State::WithoutControl,
        State::LoggedOut,
    ];
    let mut broken = Vec::new();
    for state in states {
        if let Some(reason) = testbed.cannot(state) {
            print(testbed, format_args!("{state:?} NOT TESTED: {reason}"));
            continue;
        }
        let buses = OpenBuses::open(testbed).await;
        testbed.make(state).await;
        broken.extend(settled(testbed, state, state).await);
        if !holds(buses.report_start(testbed, state)).await {
            broken.push(format!("{state:?}: bus::reports_its_start"));
        }
        broken.extend(check_state(testbed, state).await);
        if state != State::LoggedOut {
            let buses = OpenBuses::open(testbed).await;
            testbed.heal(state).await;
            broken.extend(settled(testbed, state, State::Healthy).await);
            if !holds(buses.report_end(testbed, state)).await {
                broken.push(format!("{state:?}: bus::reports_its_end"));
            }
        }
    }
    assert!(broken.is_empty(), "{}: these do not hold: {broken:#?}", name(testbed));
}

/// Waits until dials have the outcome of `want`; an error message if they do not.
async fn settled(testbed: &impl Testbed, state: State, want: State) -> Option<String> {
    (!holds(dial::settled(testbed, want)).await).then(|| format!("{state:?}: dial::to_peer as in {want:?}"))
}

/// Prints to stderr also when the test passes: the test harness captures `println!`.
fn print(testbed: &impl Testbed, message: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "contract, {}: {message}", name(testbed));
}

fn name(testbed: &impl Testbed) -> String {
    format!("tailscaled {} in {} mode", testbed.version(), if testbed.tun() { "TUN" } else { "userspace" })
}

/// The address in 100.64.0.0/10 and the one in fd7a:115c:a1e0::/48 of a node in `status`.
fn addresses(node: &serde_json::Value) -> (IpAddr, IpAddr) {
    let address = |at: usize| node["TailscaleIPs"][at].as_str().unwrap().parse().unwrap();
    (address(0), address(1))
}

/// telltail's own client.
fn client(testbed: &impl Testbed) -> LocalApi {
    LocalApi::new(Some(testbed.socket().to_owned()), Arc::new(|_, _| {}))
}

/// Is the testbed's release `1.minor` or later?
fn since(testbed: &impl Testbed, minor: u32) -> bool {
    is_since(testbed.version(), minor)
}

/// Is a release `1.minor` or later?
fn is_since(version: &str, minor: u32) -> bool {
    let numbers: Vec<u32> = version.split(['.', '-']).filter_map(|number| number.parse().ok()).collect();
    numbers[..2] >= [1, minor][..]
}
