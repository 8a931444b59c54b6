//! Pings and news around a restart of a real tailscaled.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use telltail::tailscale::{LocalApi, MASK, PingKind, PingReply};
use telltail_tailnet::{Mode, Tailnet, Version};
use tokio::time::{Instant, sleep, timeout};

const SOON: Duration = Duration::from_secs(20);

/// Refusals of the first moments pass by themselves.
#[tokio::test]
async fn a_ping_right_after_a_start_is_refused_and_soon_answered() {
    for version in [Version::V1_80, Version::V1_102] {
        let tailnet = Tailnet::start().await;
        let db = tailnet.node("db", Version::V1_102, Mode::Userspace).await;
        let worker = tailnet.node("worker", version, Mode::Userspace).await;
        let client = LocalApi::new(Some(worker.socket().to_owned()), Arc::new(|_, _| {}));
        let peer = [IpAddr::from(db.ip())];
        let mut refused = false;
        for _ in 0..3 {
            worker.kill().await;
            let answered = async {
                let begun = Instant::now();
                loop {
                    let ping = client.dialer().ping(peer[0], &peer, PingKind::Disco { size: 0 });
                    match timeout(Duration::from_secs(1), ping).await {
                        Ok(Ok(PingReply::Pong(_))) => return,
                        Ok(Ok(PingReply::Refused)) => refused = true,
                        // Not yet there, or not yet on its way.
                        Ok(Err(_)) | Err(_) => {}
                    }
                    assert!(begun.elapsed() < SOON);
                    sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::join!(worker.launch(), answered);
        }
        assert!(refused, "before the first netmap the peer is unknown");
    }
}

#[tokio::test]
async fn the_bus_ends_with_tailscaled_and_tells_of_the_next_start() {
    for version in [Version::V1_80, Version::V1_102] {
        let tailnet = Tailnet::start().await;
        let worker = tailnet.node("worker", version, Mode::Userspace).await;
        let client = LocalApi::new(Some(worker.socket().to_owned()), Arc::new(|_, _| {}));
        let mut bus = client.dialer().watch(MASK).await.unwrap();
        worker.kill().await;
        while timeout(SOON, bus.next()).await.expect("an end").expect("no error, for it happens often").is_some() {}
        assert!(client.dialer().watch(MASK).await.is_err());
        worker.launch().await;
        let mut bus = client.dialer().watch(MASK).await.unwrap();
        let first = timeout(SOON, bus.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(first.health.unwrap()[0].code, "warming-up", "for the first seconds");
        let warm = async {
            loop {
                let event = bus.next().await.unwrap().unwrap();
                if event.health.is_some_and(|warnings| warnings.is_empty()) {
                    return;
                }
            }
        };
        timeout(SOON, warm).await.expect("it gets warm");
    }
}
