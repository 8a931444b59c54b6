//! Valkey and Redis in every state that a probe can meet.

use telltail_servers::{DialVia, Flavour, Nutcracker, Postgres, Redis, Telltail, verdict};
use telltail_testkit::{PATIENCE, eventually, eventually_some};

const BOTH: [Flavour; 2] = [Flavour::Valkey, Flavour::Redis];

fn valkey(verdict: &str) -> [(&str, &str); 2] {
    [("valkey://HERE?depth=tcp", "connected"), ("valkey://HERE", verdict)]
}

#[tokio::test]
async fn a_server_that_lives_is_up_whatever_it_asks_of_the_user() {
    for flavour in BOTH {
        let redis = Redis::start(flavour, &[]).await;
        let telltail = Telltail::beside(redis.address());
        telltail.sees("alive", &valkey("accepting")).await;
        telltail.sees("alive", &[("redis://HERE", "accepting")]).await;
        assert_eq!(redis.ask("ACL SETUSER default -ping").await, "+OK\r\n");
        telltail.sees("PING not permitted", &valkey("auth_required")).await;

        for renaming in ["PING ", "PING HIDDEN"] {
            let redis = Redis::start(flavour, &[("rename-command", renaming)]).await;
            Telltail::beside(redis.address()).sees("PING renamed", &valkey("answering")).await;
        }

        let redis = Redis::start(flavour, &[("requirepass", "x")]).await;
        Telltail::beside(redis.address()).sees("requirepass", &valkey("auth_required")).await;
    }
}

#[tokio::test]
async fn a_server_in_trouble_is_told_apart_from_one_that_is_gone() {
    for flavour in BOTH {
        let mut redis = Redis::start(flavour, &[("maxclients", "10"), ("busy-reply-threshold", "1")]).await;
        let telltail = Telltail::beside(redis.address());

        redis.freeze();
        telltail.sees("frozen", &valkey("protocol_timeout service")).await;
        redis.thaw();
        telltail.sees("thawed", &valkey("accepting")).await;

        let mut clients = Vec::new();
        for _ in 0..10 {
            // A probe that ended a moment ago may still have a place, and this client none.
            clients.push(eventually_some("a place for a client", PATIENCE, async || redis.log_in().await).await);
        }
        telltail.sees("max clients", &valkey("protocol_full service")).await;
        drop(clients);
        eventually("room for clients", PATIENCE, async || redis.ask("PING").await == "+PONG\r\n").await;

        let script = redis.tell("EVAL \"while true do end\" 0").await;
        eventually("a busy server", PATIENCE, async || redis.ask("PING").await.starts_with("-BUSY")).await;
        telltail.sees("busy", &valkey("protocol_rejected service")).await;
        assert_eq!(redis.ask("SCRIPT KILL").await, "+OK\r\n");
        drop(script);

        redis.stop().await;
        let gone =
            [("valkey://HERE?depth=tcp", "connect_refused service"), ("valkey://HERE", "connect_refused service")];
        telltail.sees("stopped", &gone).await;
        redis.start_again().await;
        telltail.sees("started again", &valkey("accepting")).await;
    }
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_loading() {
    for flavour in BOTH {
        let mut redis = Redis::start(flavour, &[("enable-debug-command", "yes"), ("rdbcompression", "no")]).await;
        let telltail = Telltail::beside(redis.address());
        assert_eq!(redis.ask("DEBUG POPULATE 2000 key 2048").await, "+OK\r\n");
        assert_eq!(redis.ask("SAVE").await, "+OK\r\n");
        redis.kill();
        redis.start_and_load_slowly(10_000).await;
        telltail.sees("loading", &valkey("protocol_loading service")).await;
    }
}

#[tokio::test]
async fn a_protected_server_rejects() {
    for flavour in BOTH {
        let redis = Redis::start_beyond_loopback(flavour).await;
        Telltail::beside(redis.address()).sees("protected mode", &valkey("protocol_rejected service")).await;
    }
}

#[tokio::test]
async fn whoever_says_pong_is_taken_at_its_word() {
    for flavour in BOTH {
        let sentinel = Redis::start_sentinel(flavour).await;
        assert_eq!(sentinel.ask("GET key").await.split(' ').next(), Some("-ERR"), "it serves no data");
        Telltail::beside(sentinel.address()).sees("a Sentinel", &valkey("accepting")).await;

        let node = Redis::start(flavour, &[("cluster-enabled", "yes")]).await;
        assert_eq!(node.ask("GET key").await, "-CLUSTERDOWN Hash slot not served\r\n");
        Telltail::beside(node.address()).sees("a cluster without slots", &valkey("accepting")).await;
    }
    let proxy = Nutcracker::start(telltail_servers::free_port(), "").await;
    assert_eq!(proxy.ask("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n").await, "-ERR Connection refused\r\n");
    Telltail::beside(proxy.address()).sees("twemproxy, backend dead", &valkey("accepting")).await;
    let proxy = Nutcracker::start(telltail_servers::free_port(), "redis_auth: x").await;
    Telltail::beside(proxy.address()).sees("twemproxy, password", &valkey("auth_required")).await;
}

#[tokio::test]
async fn a_server_that_cannot_write_is_in_trouble() {
    for flavour in BOTH {
        let redis = Redis::start(flavour, &[]).await;
        assert_eq!(redis.ask("CONFIG SET save \"3600 1\"").await, "+OK\r\n");
        redis.lose_folder();
        assert_eq!(redis.ask("BGSAVE").await, "+Background saving started\r\n");
        eventually("a failed save", PATIENCE, async || redis.ask("SET key x").await.starts_with("-MISCONF")).await;
        Telltail::beside(redis.address()).sees("no disk", &valkey("protocol_rejected service")).await;
    }
}

#[tokio::test]
async fn a_replica_without_master_is_up_as_long_as_it_serves() {
    for flavour in BOTH {
        let master = telltail_servers::free_port();
        let replica = Redis::start(flavour, &[]).await;
        let telltail = Telltail::beside(replica.address());
        let command = format!("REPLICAOF {} {}", master.ip(), master.port());
        assert_eq!(replica.ask(&command).await, "+OK\r\n");
        telltail.sees("stale data served", &valkey("accepting")).await;
        assert_eq!(replica.ask("CONFIG SET replica-serve-stale-data no").await, "+OK\r\n");
        telltail.sees("stale data refused", &valkey("protocol_rejected service")).await;
    }
}

#[tokio::test]
async fn a_port_that_expects_tls_is_named_and_not_asked_again() {
    for protocols in ["TLSv1.2 TLSv1.3", "TLSv1.2"] {
        let redis = Redis::start_with_tls(protocols).await;
        let telltail = Telltail::beside(redis.address());
        telltail.sees(protocols, &valkey("protocol_tls service")).await;
        let rows = [
            ("tcp://HERE", "connected"),
            ("postgres://HERE", "protocol_tls service"),
            ("postgres://app@HERE", "protocol_tls service"),
        ];
        telltail.sees(protocols, &rows).await;

        let redis = Redis::start_with_tls(protocols).await;
        let telltail = Telltail::beside(redis.address());
        telltail.keeps_seeing(3, &[("valkey://HERE", "protocol_tls service")]).await;
        // Each of two ways: a PING per probe, and one ClientHello.
        let refused = "Error accepting a client connection";
        assert_eq!(redis.stop().await.matches(refused).count(), 2 * (3 + 1), "{protocols}");
    }
}

#[tokio::test]
async fn another_protocol_on_the_port_is_no_valkey() {
    let postgres = Postgres::start(&[]).await;
    Telltail::beside(postgres.address()).sees("PostgreSQL", &valkey("protocol_closed service")).await;
    // It waits for the end of a line, which a question of PostgreSQL has not got.
    let redis = Redis::start(Flavour::Valkey, &[]).await;
    let postgres = [("postgres://HERE", "protocol_timeout service")];
    Telltail::beside(redis.address()).sees("Valkey", &postgres).await;
}

#[tokio::test]
async fn a_connection_is_held_and_replaced_within_the_probe_when_the_server_restarts() {
    for flavour in BOTH {
        for way in [DialVia::LocalApi, DialVia::Tcp] {
            let mut redis = Redis::start(flavour, &[]).await;
            let telltail = Telltail::beside(redis.address());
            let mut probing = telltail.probing("valkey://HERE", way);
            let first = probing.probe().await;
            assert_eq!((verdict(&first).as_str(), first.timings.connect.is_some()), ("accepting", true));
            let second = probing.probe().await;
            assert_eq!((verdict(&second).as_str(), second.timings.connect.is_some()), ("accepting", false));

            redis.kill();
            redis.start_again().await;
            let third = probing.probe().await;
            assert_eq!((verdict(&third).as_str(), third.timings.connect.is_some()), ("accepting", true));

            redis.freeze();
            assert_eq!(verdict(&probing.probe().await), "protocol_timeout service", "{flavour:?} {way:?}");
            redis.thaw();
            assert_eq!(verdict(&probing.probe().await), "accepting", "{flavour:?} {way:?}");

            redis.kill();
            assert_eq!(verdict(&probing.probe().await), "connect_refused service", "{flavour:?} {way:?}");
        }
    }
}

#[tokio::test]
async fn a_healthy_probe_leaves_no_line_in_the_log() {
    for flavour in BOTH {
        for settings in [&[][..], &[("requirepass", "x")]] {
            let detail = if settings.is_empty() { "accepting" } else { "auth_required" };
            let mut redis = Redis::start(flavour, settings).await;
            let telltail = Telltail::beside(redis.address());
            // A server that has ended has written all it had to say, so whole lives are compared.
            let without = redis.stop().await;
            redis.start_again().await;
            telltail.keeps_seeing(50, &valkey(detail)).await;
            let with = redis.stop().await;
            assert_eq!(with.lines().count(), without.lines().count(), "{flavour:?} {detail}:\n{with}");
        }
    }
}
