//! HAProxy in tcp mode: something that accepts for somebody else.

use std::net::{Ipv4Addr, TcpListener};

use telltail_servers::{Haproxy, Postgres, Telltail, free_port};

#[tokio::test]
async fn a_proxy_is_as_alive_as_what_is_behind_it() {
    let postgres = Postgres::start(&[]).await;
    let proxy = Haproxy::start(postgres.address(), "").await;
    let rows = [("postgres://HERE", "answering"), ("postgres://scram@HERE", "auth_required")];
    Telltail::beside(proxy.address()).sees("backend alive", &rows).await;
}

#[tokio::test]
async fn a_proxy_without_backend_accepts_and_closes() {
    let protocol_rows = |reason| {
        [
            ("postgres://HERE?depth=tcp", "connected"),
            ("tcp://HERE", "connected"),
            ("postgres://HERE", reason),
            ("postgres://scram@HERE", reason),
            ("valkey://HERE", reason),
        ]
    };
    let proxy = Haproxy::start(free_port(), "check inter 20ms fall 1").await;
    Telltail::beside(proxy.address()).sees("known to be dead", &protocol_rows("protocol_closed service")).await;
    // It tries again three times, a second apart, before it closes: that is longer than the probe waits.
    let proxy = Haproxy::start(free_port(), "").await;
    Telltail::beside(proxy.address()).sees("dead, unchecked", &protocol_rows("protocol_timeout service")).await;
}

#[tokio::test]
async fn a_proxy_whose_backend_is_stuck_is_silent() {
    let stuck = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let proxy = Haproxy::start(stuck.local_addr().expect("bound"), "").await;
    let rows = [("postgres://HERE?depth=tcp", "connected"), ("postgres://HERE", "protocol_timeout service")];
    Telltail::beside(proxy.address()).sees("backend stuck", &rows).await;
}
