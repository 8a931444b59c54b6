//! The load that many pods with one configuration put on the servers they probe.
//!
//! Costs are measurements of the server's CPU for one probe, on a virtual machine where fork is expensive. Use them for
//! orders of magnitude.

use crate::config::{Config, Depth, Kind, Target};
use crate::probe::POOLED_FOR;
use crate::schedule::{DOWN_INTERVAL, RETRY_INTERVAL};
use std::collections::BTreeMap;
use std::time::Duration;

/// New connections per second at one server above which a fleet is warned of: 20 startups of Postgres are about 7 % of
/// a core.
pub const MAX_CONNECTIONS: f64 = 20.0;

/// GSSENCRequest: Postgres forks a backend, answers one byte, ends.
const POSTGRES_REQUEST: Duration = Duration::from_micros(2_700);
/// StartupMessage up to the SCRAM challenge.
const POSTGRES_STARTUP: Duration = Duration::from_micros(3_400);
/// Connection alone: the backend is forked all the same.
const POSTGRES_CONNECT: Duration = Duration::from_micros(2_500);
/// Connection to Valkey, made and closed.
const VALKEY_CONNECT: Duration = Duration::from_micros(76);
/// PING on a held connection.
const VALKEY_PING: Duration = Duration::from_micros(17);

/// The load on a server in one situation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadRates {
    /// New connections per second.
    pub connections: f64,
    /// Cores of the server in use; none where a probe's cost is not known.
    pub cores: Option<f64>,
    /// Lines per second in the server's log with `log_connections` on; with default settings there are none.
    pub log_lines: f64,
}

/// The load on one server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerLoad {
    /// Host and port.
    pub address: String,
    /// The targets at that address.
    pub targets: Vec<String>,
    /// All is well.
    pub rest: LoadRates,
    /// The server has begun to fail and each pod retries: a failure and up to `fall`−1 retries, `schedule::RETRY_INTERVAL` apart.
    pub onset: LoadRates,
    /// Every pod has taken the target down and probes it each `schedule::DOWN_INTERVAL` or, if longer, each interval.
    pub down: LoadRates,
    /// The server is back: a success and up to `rise`−1 retries, found at the pace of `down`.
    pub recovery: LoadRates,
}

impl ServerLoad {
    /// The highest rate of connections and when it comes.
    pub fn peak(&self) -> (f64, &'static str) {
        [(self.onset, "at onset"), (self.recovery, "at recovery"), (self.down, "while down"), (self.rest, "at rest")]
            .into_iter()
            .map(|(rate, when)| (rate.connections, when))
            .fold((0.0, "at rest"), |most, next| if next.0 >= most.0 { next } else { most })
    }
}

/// The load of `pods` pods on each server, in the order of their addresses.
pub fn loads(config: &Config, pods: u32) -> Vec<ServerLoad> {
    let mut servers: BTreeMap<String, Vec<&Target>> = BTreeMap::new();
    for target in &config.targets {
        servers.entry(format!("{} port {}", target.host, target.port)).or_default().push(target);
    }
    let load = |(address, targets): (String, Vec<&Target>)| {
        let sum = |rate: &dyn Fn(&Target) -> LoadRates| {
            targets.iter().map(|target| rate(target)).reduce(plus).unwrap_or_default()
        };
        ServerLoad {
            address,
            targets: targets.iter().map(|target| target.name.clone()).collect(),
            rest: sum(&|target| at_rest(target, f64::from(pods))),
            onset: sum(&|target| dialling(target, onset(target, config.fall, f64::from(pods)))),
            down: sum(&|target| dialling(target, f64::from(pods) / down_interval(target))),
            recovery: sum(&|target| dialling(target, recovery(target, config.rise, f64::from(pods)))),
        }
    };
    servers.into_iter().map(load).collect()
}

/// Each pod meets the failure at its next turn, so first failures come at the resting rate, each with its retries.
/// There cannot be more than all pods retrying at once.
fn onset(target: &Target, fall: u32, pods: f64) -> f64 {
    let first = pods / target.interval.as_secs_f64();
    (first * f64::from(fall)).min(retrying(target, pods))
}

fn recovery(target: &Target, rise: u32, pods: f64) -> f64 {
    (pods / down_interval(target) * f64::from(rise)).min(retrying(target, pods))
}

fn retrying(target: &Target, pods: f64) -> f64 {
    pods / RETRY_INTERVAL.min(target.interval).as_secs_f64()
}

fn down_interval(target: &Target) -> f64 {
    DOWN_INTERVAL.max(target.interval).as_secs_f64()
}

fn at_rest(target: &Target, pods: f64) -> LoadRates {
    let probes = pods / target.interval.as_secs_f64();
    if !keeps_connection(target) {
        return dialling(target, probes);
    }
    // A held connection is checked each probe and replaced at most once in each.
    let connections = (pods / POOLED_FOR.as_secs_f64()).min(probes);
    let cores = connections * VALKEY_CONNECT.as_secs_f64() + probes * VALKEY_PING.as_secs_f64();
    LoadRates { connections, cores: Some(cores), log_lines: 0.0 }
}

/// Every probe makes a connection: so it is without a held one, and where a held one has just broken.
fn dialling(target: &Target, probes: f64) -> LoadRates {
    let cost = cost(target).map(|cost| cost.as_secs_f64() * probes);
    LoadRates { connections: probes, cores: cost, log_lines: probes * log_lines(target) }
}

fn keeps_connection(target: &Target) -> bool {
    target.kind.pools_connection() && target.depth == Depth::Protocol
}

fn cost(target: &Target) -> Option<Duration> {
    match (target.kind, target.depth, &target.user) {
        (Kind::Postgres, Depth::Tcp, _) => Some(POSTGRES_CONNECT),
        (Kind::Postgres, Depth::Protocol, None) => Some(POSTGRES_REQUEST),
        (Kind::Postgres, Depth::Protocol, Some(_)) => Some(POSTGRES_STARTUP),
        (Kind::Valkey, Depth::Tcp, _) => Some(VALKEY_CONNECT),
        (Kind::Valkey, Depth::Protocol, _) => Some(VALKEY_CONNECT + VALKEY_PING),
        (Kind::Tcp, ..) => None,
    }
}

/// `connection received`; a user whom Postgres trusts is also `authorized` and `disconnection`.
fn log_lines(target: &Target) -> f64 {
    match (target.kind, target.depth, &target.user) {
        (Kind::Postgres, Depth::Protocol, Some(_)) => 3.0,
        (Kind::Postgres, ..) => 1.0,
        (Kind::Valkey | Kind::Tcp, ..) => 0.0,
    }
}

fn plus(one: LoadRates, other: LoadRates) -> LoadRates {
    LoadRates {
        connections: one.connections + other.connections,
        cores: one.cores.zip(other.cores).map(|(one, other)| one + other),
        log_lines: one.log_lines + other.log_lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};

    fn only(url: &str, pods: u32) -> ServerLoad {
        let environment: Environment = [("TELLTAIL_TARGETS", url)].into_iter().collect();
        let mut loads = loads(&load(&environment, None).unwrap().config, pods);
        assert_eq!(loads.len(), 1);
        loads.remove(0)
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6
    }

    #[test]
    fn postgres_pays_for_every_probe() {
        let load = only("postgres://db", 100);
        assert!(near(load.rest.connections, 10.0) && near(load.rest.log_lines, 10.0), "{load:?}");
        assert!(near(load.rest.cores.unwrap(), 10.0 * 0.0027), "{load:?}");
        // Ten pods a second meet the outage, each asks three times.
        assert!(near(load.onset.connections, 30.0), "{load:?}");
        assert!(near(load.down.connections, 100.0 / 30.0), "{load:?}");
        assert!(near(load.recovery.connections, 200.0 / 30.0), "{load:?}");
        assert_eq!(load.peak(), (load.onset.connections, "at onset"));
        let startup = only("postgres://u@db", 100);
        assert!(near(startup.rest.cores.unwrap(), 10.0 * 0.0034) && near(startup.rest.log_lines, 30.0), "{startup:?}");
    }

    #[test]
    fn a_held_valkey_connection_costs_little_until_it_breaks() {
        let load = only("valkey://cache", 600);
        assert!(near(load.rest.connections, 10.0), "{load:?}");
        assert!(near(load.rest.cores.unwrap(), 10.0 * 76e-6 + 60.0 * 17e-6), "{load:?}");
        assert!(near(load.onset.connections, 180.0), "{load:?}");
    }

    #[test]
    fn no_more_than_every_pod_retries_at_once() {
        let load = only("tcp://db:1?interval=1s&timeout=400ms", 10);
        assert!(near(load.onset.connections, 10.0) && load.rest.cores.is_none(), "{load:?}");
    }

    #[test]
    fn targets_at_one_address_are_added_up() {
        let load = only("postgres://db?name=a,postgres://db?name=b", 100);
        assert!(near(load.rest.connections, 20.0), "{load:?}");
        assert_eq!(load.targets, ["a", "b"]);
    }
}
