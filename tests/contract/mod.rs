//! What telltail takes for granted about tailscaled's LocalAPI, said once and held against every tailscaled there is:
//! the simulated one (`tests/contract.rs`) and real ones (`tests/tailnet/tests/contract.rs`).
//!
//! A statement is an async function that panics when it does not hold. Those of one [`State`] are told in a row while the
//! [`World`] is in that state; all of them are told even if one fails, so that one run shows every difference.

mod bus;
mod child;
mod dial;
mod ping;
mod prefs;
mod raw;
mod rules;
mod status;
mod tell;
mod user;

pub use user::speak_as_another_user;

use bus::News;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tell::{holds, tell_in};
use telltail::tailscale::LocalApi;

/// The port of the peer where a Valkey answers `PING`; at the one above nothing listens.
pub const SERVED: u16 = 6379;
const CLOSED: u16 = SERVED + 1;

/// Far longer than any answer takes that comes at all.
const SOON: Duration = Duration::from_secs(20);

/// A tailscaled of a node `worker`, in a tailnet with one peer `db`.
pub trait World {
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

    /// How long a call must have been silent to count as one that waits for ever: much longer than any answer takes that
    /// comes at all.
    fn silence(&self) -> Duration;

    /// Must tailscaled be started anew for [`State::WithoutControl`]?
    fn restarts(&self) -> bool;

    /// Why this world cannot get into a state, where it cannot.
    fn cannot(&self, state: State) -> Option<&'static str>;

    /// Gets from [`State::Healthy`] into another state.
    async fn make(&self, state: State);

    /// Gets back to [`State::Healthy`]. The last state, [`State::LoggedOut`], is never undone.
    async fn heal(&self, state: State);
}

/// What a tailnet can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything works: the peer is up, and a Valkey listens there.
    Healthy,
    /// The peer is the host of a Tailscale Service `svc:pg` at [`SERVICE`], but serves nothing there: the real tailnet has
    /// no tags, and only tagged nodes may serve.
    ServiceOffered,
    /// Control calls the peer offline, although it is not.
    PeerOffline,
    /// The peer lets nothing in.
    PeerSilent,
    /// The peer's machine stands still.
    PeerFrozen,
    /// No UDP gets through between the two, so that they speak over DERP.
    UdpBlocked,
    /// UDP of more than 1,000 bytes to the peer gets lost.
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
    /// Started with state on disk, while control cannot be reached.
    WithoutControl,
    /// `tailscale logout`.
    LoggedOut,
}

/// The address of the Tailscale Service.
pub const SERVICE: Ipv4Addr = Ipv4Addr::new(100, 100, 1, 1);

/// Tells every statement. Panics at the end if one did not hold.
pub async fn hold(world: &impl World) {
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
        if let Some(reason) = world.cannot(state) {
            say(world, format_args!("{state:?} NOT TOLD: {reason}"));
            continue;
        }
        let news = News::open(world).await;
        world.make(state).await;
        broken.extend(settled(world, state, state).await);
        if !holds(news.tell_of(world, state)).await {
            broken.push(format!("{state:?}: bus::tells_of_it"));
        }
        broken.extend(tell_in(world, state).await);
        if state != State::LoggedOut {
            let news = News::open(world).await;
            world.heal(state).await;
            broken.extend(settled(world, state, State::Healthy).await);
            if !holds(news.tell_of_the_end(world, state)).await {
                broken.push(format!("{state:?}: bus::tells_of_its_end"));
            }
        }
    }
    assert!(broken.is_empty(), "{}: these do not hold: {broken:#?}", name(world));
}

/// Waits until dials are as they must be in `want`; names what is broken where they do not get so.
async fn settled(world: &impl World, state: State, want: State) -> Option<String> {
    (!holds(dial::settled(world, want)).await).then(|| format!("{state:?}: dial::to_peer as in {want:?}"))
}

/// Says something that must be seen although the test passes: past the test harness, which keeps what `println` says.
fn say(world: &impl World, what: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "contract, {}: {what}", name(world));
}

fn name(world: &impl World) -> String {
    format!("tailscaled {} in {} mode", world.version(), if world.tun() { "TUN" } else { "userspace" })
}

/// The address in 100.64.0.0/10 and the one in fd7a:115c:a1e0::/48 of a node in `status`.
fn addresses(node: &serde_json::Value) -> (IpAddr, IpAddr) {
    let address = |at: usize| node["TailscaleIPs"][at].as_str().unwrap().parse().unwrap();
    (address(0), address(1))
}

/// telltail's own client.
fn client(world: &impl World) -> LocalApi {
    LocalApi::new(Some(world.socket().to_owned()), Arc::new(|_, _| {}))
}

/// Is the world's release `1.minor` or later?
fn since(world: &impl World, minor: u32) -> bool {
    is_since(world.version(), minor)
}

/// Is a release `1.minor` or later?
fn is_since(version: &str, minor: u32) -> bool {
    let numbers: Vec<u32> = version.split(['.', '-']).filter_map(|number| number.parse().ok()).collect();
    numbers[..2] >= [1, minor][..]
}
