//! Which statements hold in which state.

use super::{State, World, bus, dial, ping, prefs, rules, status, user};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

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

/// Tells what holds in a state; names what does not.
pub async fn tell_in(world: &impl World, state: State) -> Vec<String> {
    match state {
        State::Healthy => tell_healthy(world).await,
        State::ServiceOffered => {
            tell!(
                world,
                state,
                status::tells_services,
                dial::goes_to_the_host_of_a_service,
                ping::of_a_service_is_answered_by_its_host
            )
        }
        State::PeerOffline => {
            tell!(world, state, status::shows_the_peer_offline, dial::to_the_peer_offline, ping::is_answered)
        }
        State::PeerSilent => {
            tell!(world, state, status::still_lists_the_peer, dial::to_the_peer_silent, ping::is_answered)
        }
        State::PeerFrozen => tell!(world, state, status::still_lists_the_peer, ping::gets_no_answer),
        State::UdpBlocked => tell!(world, state, ping::goes_over_derp),
        State::LargeLost => tell!(world, state, ping::of_full_size_is_lost),
        State::NoDerp => tell!(world, state, bus::warns_of_derp, ping::stays_direct),
        State::PeerGone => {
            tell!(world, state, status::lists_no_peer, dial::to_the_peer_gone, ping::to_the_peer_gone_is_refused)
        }
        State::PeerExpired => {
            tell!(
                world,
                state,
                status::shows_the_peer_expired,
                dial::to_the_peer_expired,
                ping::to_the_peer_expired_is_refused
            )
        }
        State::OwnKeyExpired => {
            tell!(
                world,
                state,
                status::of_an_expired_node,
                dial::with_own_key_expired,
                dial::to_the_own_node_at_rest,
                ping::at_rest_is_refused
            )
        }
        State::Stopped => {
            tell!(
                world,
                state,
                status::of_a_stopped_node,
                dial::while_stopped,
                dial::to_the_own_node_at_rest,
                ping::at_rest_is_refused
            )
        }
        State::WithoutControl => tell!(
            world,
            state,
            status::of_a_node_without_control,
            dial::without_control,
            ping::to_the_peer_gone_is_refused
        ),
        State::LoggedOut => {
            tell!(world, state, status::of_a_node_logged_out, dial::logged_out, ping::to_the_peer_gone_is_refused)
        }
    }
}

async fn tell_healthy(world: &impl World) -> Vec<String> {
    let state = State::Healthy;

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
        prefs::tell_what_the_node_was_told_to_do,
        rules::only_the_right_host_passes,
        rules::pages_of_the_web_do_not_pass,
        rules::an_unknown_path_is_not_found,
        rules::a_dial_is_a_post_with_an_upgrade,
        rules::http_1_0_is_spoken,
        rules::what_is_no_request_is_refused,
        user::may_do_all_that_telltail_does,
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
    broken.extend(tell!(
        world,
        state,
        ping::is_a_post_with_an_address_and_a_type,
        ping::goes_directly,
        ping::of_full_size_goes_directly,
        ping::through_the_tunnel_does_not_tell_the_way,
        ping::names_the_node_that_answers,
        ping::of_nobody_is_refused,
        ping::of_oneself_is_refused,
        ping::many_are_answered_at_once,
        bus::begins_with_what_was_asked_for,
        bus::has_no_first_line_without_its_bit,
        bus::refuses_some_masks,
        bus::is_silent_where_nothing_happens,
    ));
    broken
}

/// Runs a statement to its end or panic; the panic's message is printed by the usual hook.
pub async fn holds(statement: impl Future<Output = ()>) -> bool {
    let mut statement = pin!(statement);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| statement.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(true),
        Err(_) => Poll::Ready(false),
    })
    .await
}
