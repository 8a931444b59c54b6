//! The statements of each state.

use super::{State, Testbed, bus, dial, ping, prefs, rules, status, user};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Checks these statements; the names of those that do not hold.
macro_rules! check {
    ($testbed:expr, $state:expr, $($module:ident::$statement:ident),* $(,)?) => {{
        let mut broken = Vec::new();
        $(if !holds($module::$statement($testbed)).await {
            broken.push(concat!(stringify!($module), "::", stringify!($statement)));
        })*
        broken.into_iter().map(|name| format!("{:?}: {name}", $state)).collect::<Vec<_>>()
    }};
}

/// Checks the statements of a state; the names of those that do not hold.
pub async fn check_state(testbed: &impl Testbed, state: State) -> Vec<String> {
    match state {
        State::Healthy => check_healthy(testbed).await,
        State::ServiceOffered => {
            check!(
                testbed,
                state,
                status::reports_services,
                status::puts_the_peers_last,
                dial::goes_to_the_host_of_a_service,
                ping::of_a_service_is_answered_by_its_host
            )
        }
        State::PeerOffline => {
            check!(testbed, state, status::shows_the_peer_offline, dial::to_the_peer_offline, ping::is_answered)
        }
        State::PeerSilent => {
            check!(testbed, state, status::still_lists_the_peer, dial::to_the_peer_silent, ping::is_answered)
        }
        State::PeerFrozen => check!(testbed, state, status::still_lists_the_peer, ping::gets_no_answer),
        State::UdpBlocked => check!(testbed, state, ping::goes_over_derp),
        State::LargeLost => check!(testbed, state, ping::of_full_size_is_lost),
        State::NoDerp => check!(testbed, state, bus::warns_of_derp, ping::stays_direct),
        State::PeerGone => {
            check!(testbed, state, status::lists_no_peer, dial::to_the_peer_gone, ping::to_the_peer_gone_is_refused)
        }
        State::PeerExpired => {
            check!(
                testbed,
                state,
                status::shows_the_peer_expired,
                dial::to_the_peer_expired,
                ping::to_the_peer_expired_is_refused
            )
        }
        State::OwnKeyExpired => {
            check!(
                testbed,
                state,
                status::of_an_expired_node,
                dial::with_own_key_expired,
                dial::to_the_own_node_while_stopped,
                ping::of_a_stopped_node_is_refused
            )
        }
        State::Stopped => {
            check!(
                testbed,
                state,
                status::of_a_stopped_node,
                dial::while_stopped,
                dial::to_the_own_node_while_stopped,
                ping::of_a_stopped_node_is_refused
            )
        }
        State::WithoutControl => check!(
            testbed,
            state,
            status::of_a_node_without_control,
            dial::without_control,
            ping::to_the_peer_gone_is_refused
        ),
        State::LoggedOut => {
            check!(testbed, state, status::of_a_node_logged_out, dial::logged_out, ping::to_the_peer_gone_is_refused)
        }
    }
}

async fn check_healthy(testbed: &impl Testbed) -> Vec<String> {
    let state = State::Healthy;

    let mut broken = check!(
        testbed,
        state,
        status::names_its_release,
        status::has_the_fields_of_its_release,
        status::describes_the_own_node,
        status::describes_the_peer,
        status::puts_the_peers_last,
        status::omits_peers_on_request,
        status::serves_many_requests_on_a_connection,
        status::has_no_records_without_services,
        prefs::have_the_settings_of_the_node,
        rules::only_the_right_host_is_accepted,
        rules::requests_of_web_pages_are_refused,
        rules::an_unknown_path_is_not_found,
        rules::a_dial_is_a_post_with_an_upgrade,
        rules::http_1_0_is_supported,
        rules::a_malformed_request_is_refused,
        user::other_than_root_may_make_every_call,
    );
    broken.extend(check!(
        testbed,
        state,
        dial::carries_bytes_both_ways,
        dial::has_no_half_close,
        dial::resolves_names,
        dial::reports_a_refusal,
        dial::to_an_address_outside_the_tailnet,
        dial::to_an_unused_tailnet_address,
        dial::to_the_own_node,
        dial::to_magic_dns,
        dial::of_an_unknown_name,
        dial::of_an_invalid_port,
    ));
    broken.extend(check!(
        testbed,
        state,
        ping::is_a_post_with_an_address_and_a_type,
        ping::goes_directly,
        ping::of_full_size_goes_directly,
        ping::through_the_tunnel_does_not_report_the_path,
        ping::names_the_node_that_answers,
        ping::to_no_node_is_refused,
        ping::to_the_own_node_is_refused,
        ping::many_are_answered_at_once,
        bus::begins_with_what_the_mask_selects,
        bus::has_no_first_line_without_its_bit,
        bus::refuses_some_masks,
        bus::is_silent_without_changes,
    ));
    broken
}

/// Runs a statement to its end or panic; the panic hook prints the message.
pub async fn holds(statement: impl Future<Output = ()>) -> bool {
    let mut statement = pin!(statement);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| statement.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(true),
        Err(_) => Poll::Ready(false),
    })
    .await
}
