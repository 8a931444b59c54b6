//! What telltail takes for granted about tailscaled's LocalAPI, said once and held against every tailscaled there is:
//! the simulated one (`tests/contract.rs`) and real ones (`tests/tailnet/tests/contract.rs`).
//!
//! A statement is an async function that panics when it does not hold. Those of one [`State`] are told in a row while the
//! [`World`] is in that state; all of them are told even if one fails, so that one run shows every difference.

mod child;
mod dial;
mod raw;
mod rules;
mod status;
mod user;

pub use user::speak_as_another_user;

use std::future::{Future, poll_fn};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
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

/// Tells every statement of a module, by name; gives the names of those that do not hold.
macro_rules! tell {
    ($world:expr, $state:expr, $($module:ident::$statement:ident),* $(,)?) => {{
        let mut broken = Vec::new();
        $(if !holds($module::$statement($world)).await {
            broken.push(concat!(stringify!($module), "::", stringify!($statement)));
        })*
        broken.into_iter().map(|name| format!("{:?}: {name}", $state)).collect::<Vec<_>>()
    }};
}

/// Tells every statement. Panics at the end if one did not hold.
pub async fn hold(world: &impl World) {
    let states = [
        State::Healthy,
        State::ServiceOffered,
        State::PeerOffline,
        State::PeerSilent,
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
        world.make(state).await;
        broken.extend(settled(world, state, state).await);
        broken.extend(tell_in(world, state).await);
        if state != State::LoggedOut {
            world.heal(state).await;
            broken.extend(settled(world, state, State::Healthy).await);
        }
    }
    assert!(broken.is_empty(), "{}: these do not hold: {broken:#?}", name(world));
}

/// Waits until dials are as they must be in `want`; names what is broken where they do not get so.
async fn settled(world: &impl World, state: State, want: State) -> Option<String> {
    (!holds(dial::settled(world, want)).await).then(|| format!("{state:?}: dial::to_peer as in {want:?}"))
}

async fn tell_in(world: &impl World, state: State) -> Vec<String> {
    match state {
        State::Healthy => {
            let mut broken = tell!(
                world,
                state,
                status::names_its_release,
                status::has_the_fields_of_its_release,
                status::describes_the_own_node,
                status::describes_the_peer,
                status::leaves_peers_out_when_told,
                status::serves_many_requests_on_a_connection,
                status::has_no_records_without_services,
                rules::only_the_right_host_passes,
                rules::pages_of_the_web_do_not_pass,
                rules::an_unknown_path_is_not_found,
                rules::a_dial_is_a_post_with_an_upgrade,
                rules::http_1_0_is_spoken,
                rules::what_is_no_request_is_refused,
                user::may_ask_and_dial,
            );
            broken.extend(tell!(
                world,
                state,
                dial::carries_bytes_both_ways,
                dial::has_no_half_close,
                dial::knows_names,
                dial::says_how_it_was_refused,
                dial::to_an_address_of_nobody,
                dial::to_a_tailnet_address_of_nobody,
                dial::to_the_own_node,
                dial::to_magic_dns,
                dial::of_an_unknown_name,
                dial::of_a_port_that_is_none,
            ));
            broken
        }
        State::ServiceOffered => tell!(world, state, status::tells_services, dial::goes_to_the_host_of_a_service),
        State::PeerOffline => tell!(world, state, status::shows_the_peer_offline, dial::to_the_peer_offline),
        State::PeerSilent => tell!(world, state, status::still_lists_the_peer, dial::to_the_peer_silent),
        State::PeerGone => tell!(world, state, status::lists_no_peer, dial::to_the_peer_gone),
        State::PeerExpired => tell!(world, state, status::shows_the_peer_expired, dial::to_the_peer_expired),
        State::OwnKeyExpired => {
            tell!(world, state, status::of_an_expired_node, dial::with_own_key_expired, dial::to_the_own_node_at_rest)
        }
        State::Stopped => {
            tell!(world, state, status::of_a_stopped_node, dial::while_stopped, dial::to_the_own_node_at_rest)
        }
        State::WithoutControl => tell!(world, state, status::of_a_node_without_control, dial::without_control),
        State::LoggedOut => tell!(world, state, status::of_a_node_logged_out, dial::logged_out),
    }
}

/// Runs a statement to its end or panic; the panic's message is printed by the usual hook.
async fn holds(statement: impl Future<Output = ()>) -> bool {
    let mut statement = pin!(statement);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| statement.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(true),
        Err(_) => Poll::Ready(false),
    })
    .await
}

/// Says something that must be seen although the test passes: past the test harness, which keeps what `println` says.
fn say(world: &impl World, what: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "contract, {}: {what}", name(world));
}

fn name(world: &impl World) -> String {
    format!("tailscaled {} in {} mode", world.version(), if world.tun() { "TUN" } else { "userspace" })
}

/// telltail's own client.
fn client(world: &impl World) -> LocalApi {
    LocalApi::new(Some(world.socket().to_owned()), Arc::new(|_, _| {}))
}

/// Is the world's release `1.minor` or later?
fn since(world: &impl World, minor: u32) -> bool {
    let numbers: Vec<u32> = world.version().split('.').filter_map(|number| number.parse().ok()).collect();
    numbers[..2] >= [1, minor][..]
}
