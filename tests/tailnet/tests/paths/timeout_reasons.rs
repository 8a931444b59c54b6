//! What a silence is named after: packet size, policy, or a dead tunnel.

use telltail_tailnet::{Mode, Tailnet};
use telltail_testkit::eventually_some;
use tokio::time::sleep;

use super::*;

/// A user and a database that make the first message of a login some 170 bytes long.
const LONG: &str = "a-user-with-a-name-that-is-very-long-but-below-the-limit-of-63";
/// WireGuard adds 32 bytes, UDP and IP 28: a SYN becomes 124 bytes, a disco ping has 152, a handshake 176, the login more
/// than 280.
const LENGTH: u16 = 200;

#[tokio::test]
async fn a_silence_is_named_after_what_the_layers_below_answer() {
    join!(a_silence_is_named(Mode::Userspace), a_silence_is_named(Mode::Tun));
}

async fn a_silence_is_named(mode: Mode) {
    let tailnet = Tailnet::start().await;
    let worker = node(&tailnet, "worker", mode).await;
    let (narrow, denying, frozen) = join!(
        node(&tailnet, "db-narrow", Mode::Userspace),
        node(&tailnet, "db-denying", Mode::Userspace),
        node(&tailnet, "db-frozen", Mode::Userspace),
    );
    let _servers = join!(narrow.postgres(&[]), denying.postgres(&[]), frozen.postgres(&[]));
    let login = format!("postgres://{LONG}@db-narrow:5432/{LONG}");
    let (narrows, denies, freezes) = join!(
        Watch::direct(&worker, &narrow, &login, EACH_FIVE_SECONDS),
        Watch::direct(&worker, &denying, "postgres://db-denying:5432", EACH_FIVE_SECONDS),
        Watch::direct(&worker, &frozen, "postgres://db-frozen:5432", EACH_FIVE_SECONDS),
    );
    // One that is frozen counts nothing.
    let (narrows, denies) = (Watch { counts: Counts::Peer, ..narrows }, Watch { counts: Counts::Peer, ..denies });

    worker.drop_udp_longer_than(LENGTH, &narrow).await;
    denying.deny_everybody().await;
    frozen.freeze().await;
    let before = (narrows.pings().await, denies.pings().await, freezes.pings().await);
    join!(
        narrows.is_down_for("protocol_mtu"),
        denies.is_down_for("connect_dropped"),
        freezes.is_down_for("connect_tunnel_dead"),
    );
    freezes.becomes("unknown", DERP_WITHIN).await;

    // Evidence is gathered once; that no more is asked for 35 s, in which a target that is down is asked again, is asserted.
    let gathered = (narrows.pings().await, denies.pings().await, freezes.pings().await);
    println!("pings before {before:?}, with the evidence {gathered:?}");
    assert!(gathered.0 - before.0 <= 8.0 && gathered.1 - before.1 <= 8.0 && gathered.2 - before.2 <= 14.0);
    let (narrowed, denied, froze) = join!(narrows.judge(), denies.judge(), freezes.judge());
    sleep(Duration::from_secs(35)).await;
    let later = (narrows.pings().await, denies.pings().await, freezes.pings().await);
    println!("35 s later {later:?}");
    assert!(later.0 - gathered.0 <= 1.0 && later.1 - gathered.1 <= 1.0 && later.2 - gathered.2 <= 4.0);

    join!(narrowed.finds("direct"), denied.finds("direct"), froze.finds("unknown"));

    worker.pass_udp_of_any_length().await;
    denying.admit_everybody().await;
    frozen.thaw().await;
    let healed = async |watch: &Watch<'_>| {
        watch.becomes("direct", Duration::from_secs(60)).await;
        watch.is_judged("direct").await;
        watch.seconds_add_up().await;
    };
    join!(healed(&narrows), healed(&denies), healed(&freezes));
}

impl Watch<'_> {
    /// Waits until the target is down, and asserts why.
    async fn is_down_for(&self, reason: &str) {
        let page = eventually_some(&format!("{} is down", self.target), Duration::from_secs(30), async || {
            let page = self.page().await;
            (page.state(self.target) == "down").then_some(page)
        })
        .await;
        let why = Some((reason.to_owned(), "path".to_owned()));
        assert_eq!(page.failing(self.target), why, "{}", self.agent.log());
    }
}
