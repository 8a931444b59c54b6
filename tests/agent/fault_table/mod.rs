//! The table of faults: what is done to the tailnet, and what then must be seen. Rows are numbered as in the project's
//! list of faults, so that a number can be looked up on both sides; a row of the list may need several here.

mod services;
mod tailnet;
mod tailscaled;

use crate::harness::{Harness, Setup};
use services::{login, postgres, shallow, valkey};
use std::time::Duration;
use tailnet::{dialling, names, proxy, records_and_routes, silence, tun};
use tailscaled::{localapi, logins, node, socket};

/// A fault, and what is expected of it.
pub struct FaultCase {
    /// Numbers in the list of faults.
    pub numbers: &'static [u8],
    /// What has happened.
    pub fault: &'static str,
    pub setup: Setup,
    /// Makes it happen, while all is well.
    pub inject: fn(&Harness),
    pub expected: Expected,
}

/// What a fault leads to.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// The target stays up: no probe fails. The doctor may have an advice.
    Up { target: &'static str, advice: Option<&'static str> },
    /// The target goes down. Readiness in strict, local and observe follows from the scope.
    Down { target: &'static str, reason: &'static str, scope: &'static str },
}

impl Expected {
    /// Ready in strict, local and observe?
    pub fn ready(self) -> [bool; 3] {
        match self {
            Self::Up { .. } => [true; 3],
            Self::Down { scope, .. } => [false, scope != "pod", true],
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const DB: &str = "db";
const CACHE: &str = "cache";
const DB_UP: Expected = Expected::Up { target: DB, advice: None };
const CACHE_UP: Expected = Expected::Up { target: CACHE, advice: None };

/// The target stays up, but a person is told something.
const fn advised(advice: &'static str) -> Expected {
    Expected::Up { target: DB, advice: Some(advice) }
}

/// The whole pod is at fault.
const fn pod(reason: &'static str) -> Expected {
    Expected::Down { target: DB, reason, scope: "pod" }
}

const fn path(reason: &'static str) -> Expected {
    Expected::Down { target: DB, reason, scope: "path" }
}

const fn service(target: &'static str, reason: &'static str) -> Expected {
    Expected::Down { target, reason, scope: "service" }
}

/// Every row.
pub fn rows() -> Vec<FaultCase> {
    [
        socket(),
        localapi(),
        logins(),
        node(),
        names(),
        records_and_routes(),
        dialling(),
        silence(),
        proxy(),
        tun(),
        postgres(),
        login(),
        valkey(),
        shallow(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

type ShortCase = (&'static [u8], &'static str, fn(&Harness), Expected);

fn of<const N: usize>(setup: Setup, rows: [ShortCase; N]) -> Vec<FaultCase> {
    rows.into_iter()
        .map(|(numbers, fault, inject, expected)| FaultCase { numbers, fault, setup, inject, expected })
        .collect()
}
