//! The commands that the program reads on its input, a line each.

use crate::Demo;
use tailscaled_sim::services::Postgres;
use tailscaled_sim::{BackendState, Warning};

/// The commands, as the program prints them.
pub const HELP: &str = "\
commands, a line each:
  stop | start            PostgreSQL ends, or is there again
  refuse TEXT             PostgreSQL ends each login with TEXT
  direct | relay | idle   the path to PostgreSQL's machine
  derp REGION             the same, through a DERP region
  state WORD              tailscaled's backend state, say Stopped or Running
  hostname TEXT           the host name that the node gives itself
  warn CODE               tailscaled warns
";

/// Runs a command; false if it is unknown.
pub fn run(line: &str, demo: &Demo) -> bool {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let tailscaled = &demo.tailscaled;
    let path =
        |change: &dyn Fn(&mut tailscaled_sim::Peer)| tailscaled.update_peer(crate::DATABASE, |peer| change(peer));
    match verb {
        "stop" => demo.postgres.stop(),
        "start" => demo.postgres.start_again(),
        "refuse" => demo.postgres.behave(Postgres::refusing("XX000", rest)),
        "direct" => path(&|peer| peer.go_direct("192.0.2.7:41641")),
        "relay" => path(&|peer| peer.go_peer_relay("198.51.100.9:40000:vni:1")),
        "idle" => path(&tailscaled_sim::Peer::go_idle),
        "derp" => path(&|peer| peer.go_derp(rest)),
        "state" => tailscaled.set_backend_state(state(rest)),
        "hostname" => tailscaled.with_state(|sim| rest.clone_into(&mut sim.host_name)),
        "warn" => tailscaled.warn(rest, Warning::new(rest)),
        _ => return false,
    }
    true
}

fn state(word: &str) -> BackendState {
    use BackendState::{NeedsLogin, NeedsMachineAuth, NoState, Other, Running, Starting, Stopped};
    let known = [NoState, NeedsLogin, NeedsMachineAuth, Stopped, Starting, Running];
    known.into_iter().find(|state| state.as_str() == word).unwrap_or_else(|| Other(word.to_owned()))
}
