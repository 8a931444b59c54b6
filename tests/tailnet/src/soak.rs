//! UDP toggled at random times, under the eyes of telltail.

use std::time::Duration;

use tokio::{
    join,
    time::{Instant, sleep_until},
};

use telltail_testkit::eventually;

use crate::{Agent, Mode, Pong, Tailnet, Version};

/// What happened and what was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SoakCounts {
    pub blocked: u32,
    /// Blocked so long that it has to be seen, or so short that it must not be.
    pub blocked_long: u32,
    pub blocked_short: u32,
    pub derp_seen: u32,
    pub unblocked: u32,
    pub direct_seen: u32,
}

const DB: &str = "stackeye-db-prd";
/// After this time a block has to be seen: 6.5 s of trust, a round of 5 s, 8 s of confirmation, and a margin.
const LONG: Duration = Duration::from_secs(21);
/// Before this time it must not: 3.5 s of trust at least, and 7 s of confirmation.
const SHORT: Duration = Duration::from_secs(10);
/// Within this time after the end of a block the path has to be direct again: a round of 5 s, and a margin.
const BACK: Duration = Duration::from_secs(8);

/// Over this time at the end of a long block tailscaled's own count of bytes is looked at: a round, and a margin.
const LAST: Duration = Duration::from_secs(6);

/// Toggles for so long, and panics if a toggle that lasts is not seen exactly once, or one is seen that was none.
#[expect(clippy::print_stdout, reason = "whoever runs it for ten minutes wants to see something")]
pub async fn run(time: Duration, seed: u64) -> SoakCounts {
    let tailnet = Tailnet::start().await;
    let (worker, db) = join!(
        tailnet.node("worker", Version::V1_102, Mode::Userspace),
        tailnet.node(DB, Version::V1_102, Mode::Userspace)
    );
    let _postgres = db.postgres(&[]).await;
    let agent =
        Agent::start(&worker, "postgres://stackeye-db-prd:5432", &[("INTERVAL", "5s"), ("TIMEOUT", "2s")]).await;
    let path = async || agent.page().await.path(DB);
    eventually("direct", Duration::from_secs(15), async || path().await == "direct").await;

    let seen = async |to| agent.metric("telltail_path_changes_total", &[("target", DB), ("to", to)]).await;
    let both = async || (seen("derp").await, seen("direct").await);
    let mut random = Random(seed);
    let mut counts = SoakCounts::default();
    let end = Instant::now() + time;
    while Instant::now() + LONG + BACK < end {
        let before = both().await;
        let long = random.below(3) > 0;
        let length = if long { LONG + random.up_to(8.0) } else { Duration::from_secs(2) + random.up_to(7.5) };
        worker.block_udp(&db).await;
        let blocked = Instant::now();
        let last = blocked + length - LAST;
        sleep_until(last.max(blocked)).await;
        let before_last = worker.bytes().await;
        sleep_until(blocked + length).await;
        let carried = worker.bytes().await - before_last;
        assert!(!long || carried.derp > 0 && carried.direct == 0, "{carried:?}");
        let blocked = both().await;
        worker.unblock_udp().await;
        counts.blocked += 1;
        counts.blocked_long += u32::from(length >= LONG);
        counts.blocked_short += u32::from(length < SHORT);
        let derps = difference(blocked.0, before.0);
        assert_eq!(derps, u32::from(long), "blocked for {length:?}\n{}", agent.log());

        sleep_until(Instant::now() + BACK + random.up_to(10.0)).await;
        counts.unblocked += 1;
        let after = both().await;
        assert_eq!(path().await, "direct", "{}", agent.log());
        assert_eq!(after.0, blocked.0, "over DERP without a reason\n{}", agent.log());
        assert_eq!(difference(after.1, before.1), derps, "blocked for {length:?}\n{}", agent.log());
        counts.derp_seen += derps;
        counts.direct_seen += difference(after.1, before.1);
        println!("blocked for {:>4.1} s: DERP seen {derps} times", length.as_secs_f64());
    }
    let (pong, page) = (worker.ping(&db).await, agent.page().await);
    assert!(matches!(pong, Pong::Direct(_)), "{pong:?}");
    assert_eq!(page.total("telltail_target_transitions_total", &[("to", "down")]), 0.0, "{}", agent.log());
    println!("{counts:?}");
    counts
}

fn difference(after: Option<f64>, before: Option<f64>) -> u32 {
    (after.unwrap_or_default() - before.unwrap_or_default()) as u32
}

/// The same times for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // Steele's SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn up_to(&mut self, seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds * self.below(10_000) as f64 / 10_000.0)
    }
}
