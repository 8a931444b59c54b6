//! The harness itself: every state that a scenario will rely on can be made, seen and undone.

mod login;
mod registrations;

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use telltail_tailnet::{Dial, Mode, Node, Pong, Region, Tailnet, Version};
use telltail_testkit::{eventually, eventually_some};

const SOON: Duration = Duration::from_secs(10);

async fn pair(tailnet: &Tailnet, mode: Mode) -> (Node, Node) {
    let worker = tailnet.node("worker", Version::V1_102, mode).await;
    let database = tailnet.node("stackeye-db-prd", Version::V1_102, Mode::Userspace).await;
    eventually("direct", SOON, async || matches!(worker.ping(&database).await, Pong::Direct(_))).await;
    (worker, database)
}

async fn dials(from: &Node, to: &Node) -> Dial {
    from.dial(to.ip(), 5432, Duration::from_secs(3)).await
}

#[tokio::test]
async fn udp_blocked_goes_over_derp_and_back() {
    for mode in [Mode::Userspace, Mode::Tun] {
        let tailnet = Tailnet::start().await;
        let (worker, database) = pair(&tailnet, mode).await;
        assert_eq!(worker.status().await["TUN"], mode == Mode::Tun);
        assert!(worker.peer(&database).await["CurAddr"].as_str().is_some_and(|a| a.ends_with(":41641")));
        worker.block_udp(&database).await;
        eventually("derp", SOON, async || worker.ping(&database).await == Pong::Derp("nyc".to_owned())).await;
        eventually("no address", SOON, async || worker.peer(&database).await["CurAddr"] == "").await;
        worker.unblock_udp().await;
        eventually("direct again", SOON, async || matches!(worker.ping(&database).await, Pong::Direct(_))).await;
    }
}

#[tokio::test]
async fn a_service_is_dialled_refused_and_dropped_by_policy() {
    for mode in [Mode::Userspace, Mode::Tun] {
        let tailnet = Tailnet::start().await;
        let (worker, database) = pair(&tailnet, mode).await;
        assert!(matches!(dials(&worker, &database).await, Dial::Refused(502, why) if why.contains("refused")));
        let postgres = database.postgres(&[]).await;
        assert_eq!(dials(&worker, &database).await, Dial::Connected);
        database.deny_everybody().await;
        eventually("silent", SOON, async || dials(&worker, &database).await == Dial::Silent).await;
        assert!(matches!(worker.ping(&database).await, Pong::Direct(_)), "disco passes the packet filter");
        database.admit_everybody().await;
        eventually("dialled again", SOON, async || dials(&worker, &database).await == Dial::Connected).await;
        postgres.stop().await;
        assert!(matches!(dials(&worker, &database).await, Dial::Refused(502, _)));
    }
}

#[tokio::test]
async fn the_map_can_lie_about_a_peer_and_tell_the_truth_again() {
    let tailnet = Tailnet::start().await;
    let (worker, database) = pair(&tailnet, Mode::Userspace).await;
    let _postgres = database.postgres(&[]).await;

    worker.hide(&database).await;
    eventually("gone", SOON, async || worker.peer(&database).await.is_null()).await;
    assert_eq!(dials(&worker, &database).await, Dial::DialSelf);
    worker.unhide(&database).await;
    eventually("back", SOON, async || dials(&worker, &database).await == Dial::Connected).await;

    worker.show_offline(&database).await;
    eventually("offline", SOON, async || worker.peer(&database).await["Online"] == false).await;
    assert_eq!(dials(&worker, &database).await, Dial::Connected, "Online is a hint");
    worker.show_online(&database).await;
    eventually("online", SOON, async || worker.peer(&database).await["Online"] == true).await;

    worker.expire_key_of(&database).await;
    eventually("expired", SOON, async || worker.peer(&database).await["Expired"] == true).await;
    assert_eq!(worker.ping(&database).await, Pong::Lost("peer's node key has expired".to_owned()));
    worker.set_key_expiry_of(&database, None).await;
    eventually("renewed", SOON, async || dials(&worker, &database).await == Dial::Connected).await;
}

#[tokio::test]
async fn the_own_node_can_fail_and_recover() {
    let tailnet = Tailnet::start().await;
    let (worker, database) = pair(&tailnet, Mode::Userspace).await;
    let state = async |state: &str| {
        let reached = async || worker.status().await["BackendState"] == state;
        eventually(state, SOON, reached).await;
    };

    worker.expire_own_key().await;
    state("NeedsLogin").await;
    worker.set_own_key_expiry(None).await;
    state("Running").await;

    worker.down().await;
    state("Stopped").await;
    worker.up().await;
    state("Running").await;

    worker.kill().await;
    assert!(worker.socket().exists(), "a stale socket stays behind");
    assert!(tokio::net::UnixStream::connect(worker.socket()).await.is_err());
    eventually("seen offline", SOON, async || database.peer(&worker).await["Online"] == false).await;
    worker.restart().await;
    eventually("direct", SOON, async || matches!(worker.ping(&database).await, Pong::Direct(_))).await;
}

#[tokio::test]
async fn a_frozen_peer_is_silent_and_wakes() {
    let tailnet = Tailnet::start().await;
    let (worker, database) = pair(&tailnet, Mode::Userspace).await;
    database.freeze().await;
    eventually("silent", SOON, async || matches!(worker.ping(&database).await, Pong::Lost(_))).await;
    assert_eq!(worker.peer(&database).await["Online"], true, "nobody is told");
    database.thaw().await;
    eventually("awake", SOON, async || matches!(worker.ping(&database).await, Pong::Direct(_))).await;
}

#[tokio::test]
async fn versions_see_each_other() {
    let tailnet = Tailnet::start().await;
    let old = tailnet.node("old", Version::V1_80, Mode::Userspace).await;
    let old_tun = tailnet.node("old-tun", Version::V1_80, Mode::Tun).await;
    let new = tailnet.node("new", Version::V1_102, Mode::Tun).await;
    for (from, to) in [(&old, &new), (&new, &old), (&old_tun, &old), (&new, &old_tun)] {
        eventually("direct", SOON, async || matches!(from.ping(to).await, Pong::Direct(_))).await;
        assert_eq!(from.peer(to).await["HostName"], to.name());
    }
    assert!(old.status().await["Version"].as_str().is_some_and(|v| v.starts_with("1.80.3-")));
    assert!(new.status().await["Version"].as_str().is_some_and(|v| v.starts_with("1.102.5-")));
}

#[tokio::test]
async fn a_home_region_moves_away_and_back() {
    let tailnet = Tailnet::start().await;
    let (worker, database) = pair(&tailnet, Mode::Userspace).await;
    assert_eq!(worker.status().await["Self"]["Relay"], "nyc");
    tailnet.stop_region(Region::Nyc).await;
    let minute = Duration::from_secs(60);
    eventually("sfo", minute, async || worker.status().await["Self"]["Relay"] == "sfo").await;
    assert!(matches!(worker.ping(&database).await, Pong::Direct(_)), "direct needs no relay");
    tailnet.start_region(Region::Nyc).await;
}

#[tokio::test]
async fn a_peer_relays() {
    let tailnet = Tailnet::start().await;
    tailnet.grant_peer_relays().await;
    // Nodes look for relays once in 30 s, and the first time was at their first word to a peer.
    let relay = tailnet.node("relay", Version::V1_102, Mode::Userspace).await;
    relay.tailscale(["set", "--relay-server-port=40000"]).await.expect_success("relay");
    let (worker, database) = pair(&tailnet, Mode::Userspace).await;
    worker.block_udp(&database).await;
    database.block_udp(&worker).await;
    let relayed = async || matches!(worker.ping(&database).await, Pong::PeerRelay(_));
    eventually("relayed", Duration::from_secs(60), relayed).await;
}

#[tokio::test]
async fn postgres_takes_every_state() {
    let tailnet = Tailnet::start().await;
    let (worker, database) = pair(&tailnet, Mode::Userspace).await;
    let postgres = database.postgres(&[("max_connections", "5"), ("superuser_reserved_connections", "1")]).await;
    drop(postgres.fill().await);
    eventually("free again", SOON, async || postgres.psql("select 1").await.code == 0).await;
    postgres.freeze().await;
    assert_eq!(dials(&worker, &database).await, Dial::Connected, "the kernel accepts");
    postgres.thaw().await;
    let client = postgres.shut_down_and_never_finish().await;
    client.kill().await;
    postgres.server().wait().await;
    postgres.start_again().await;
    postgres.restart_and_never_finish().await;
    assert!(postgres.log().contains("FATAL:  the database system is starting up"));
}

#[tokio::test]
async fn valkey_takes_settings_and_fills_up() {
    let tailnet = Tailnet::start().await;
    let (worker, database) = pair(&tailnet, Mode::Tun).await;
    let valkey = worker.valkey(&[("requirepass", "secret"), ("maxclients", "3")]).await;
    let there = async || database.dial(worker.ip(), 6379, SOON).await;
    assert_eq!(there().await, Dial::Connected, "on the tailnet address of a TUN node");
    let holder = valkey.fill(3).await;
    holder.kill().await;
    valkey.stop().await;
    assert!(matches!(there().await, Dial::Refused(502, _)));
    valkey.start_again().await;
    assert_eq!(there().await, Dial::Connected);
}

#[tokio::test]
async fn programs_run_in_a_node_and_are_owned() {
    let tailnet = Tailnet::start().await;
    let node = tailnet.node("worker", Version::V1_102, Mode::Userspace).await;
    let mut command = Command::new("sh");
    command.args(["-c", "id -u; echo $NAME; env | grep -c TELLTAIL; ip -br addr show eth0"]).env("NAME", "x");
    let output = node.run_as("65532", &command).await;
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(lines[..3], ["65532", "x", "0"]);
    assert!(lines[3].contains(&node.host_ip().to_string()));

    let web = node.spawn(Command::new("python3").args(["-m", "http.server", "8245", "-d", "/proc/sys/kernel"])).await;
    eventually("served", SOON, async || node.try_get(8245, "/ostype").await.is_ok()).await;
    assert_eq!(node.get(8245, "/ostype").await.status, 200);
    assert!(web.usage().await.rss_bytes > 1 << 20);
    assert_eq!(web.exited().await, None);
    web.terminate().await;
    assert!(node.try_get(8245, "/").await.is_err());
}

/// Started by the test below, to be killed.
#[tokio::test]
#[ignore = "a victim, not a test"]
async fn victim() {
    let tailnet = Tailnet::start().await;
    let node = tailnet.node("victim", Version::V1_102, Mode::Tun).await;
    let _postgres = node.postgres(&[]).await;
    eprintln!("folder={}", tailnet.folder().display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_outlives_a_test_that_is_ended() {
    for signal in ["INT", "TERM", "KILL"] {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "victim", "--nocapture"]);
        let mut victim = command.stderr(log.reopen().unwrap()).stdout(Stdio::null()).spawn().unwrap();
        let folder = eventually_some("the victim's tailnet is up", Duration::from_secs(60), async || {
            let log = fs::read_to_string(log.path()).unwrap();
            log.split_once("folder=")?.1.split_once('\n').map(|(folder, _)| folder.to_owned())
        })
        .await;
        assert!(processes_with(&folder) >= 3, "tailscaled, PostgreSQL and the lab are there");
        // The shell's own: a bare Debian has no program of this name.
        Command::new("sh").args(["-c", &format!("kill -s {signal} {}", victim.id())]).status().unwrap();
        victim.wait().unwrap();
        eventually("no process is left", SOON, async || processes_with(&folder) == 0).await;
        eventually("no file is left", SOON, async || !fs::exists(&folder).unwrap()).await;
    }
    // The victim's namespaces never were in the machine's own list.
    let namespaces = Command::new("ip").args(["netns", "list"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&namespaces.stdout).contains("victim"));
}

/// How many processes of the whole machine name the folder in their arguments.
fn processes_with(folder: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let arguments = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments.filter(|arguments| String::from_utf8_lossy(arguments).contains(folder)).count()
}

#[tokio::test]
async fn names_beyond_the_nodes() {
    let tailnet = Tailnet::start().await;
    let (userspace, database) = pair(&tailnet, Mode::Userspace).await;
    let tun = tailnet.node("tun", Version::V1_102, Mode::Tun).await;
    let _postgres = database.postgres(&[]).await;

    let address = "100.99.0.1".parse().expect("an address");
    tailnet.offer_service("svc:pg", address, &[&database]).await;
    let serve = ["serve", "--service=svc:pg", "--tcp=5432", "tcp://localhost:5432"];
    database.tailscale(serve).await.expect_success("serve");
    for worker in [&userspace, &tun] {
        let connected = async || worker.dial(address, 5432, SOON).await == Dial::Connected;
        eventually("the service answers", SOON, connected).await;
        assert_eq!(worker.status().await["ExtraRecords"][0]["Name"], "pg.lab.ts.net");
    }

    tailnet.set_dns_records(&[("db.lab.ts.net", "100.64.0.2")]).await;
    let known = async || userspace.dial("db.lab.ts.net", 5432, SOON).await == Dial::Connected;
    eventually("the extra record is known", SOON, known).await;

    let unknown = userspace.dial("nobody", 5432, SOON).await;
    assert!(matches!(&unknown, Dial::Refused(502, why) if why.contains("no such host")), "{unknown:?}");
    tailnet.set_cluster_name("nobody.default.svc.cluster.local", Some("10.99.0.1".parse().expect("an address"))).await;
    assert_eq!(userspace.dial("nobody", 5432, SOON).await, Dial::DialSelf, "the trap of a name in the cluster");
}

#[tokio::test]
async fn a_worker_reaches_its_services_through_the_proxy_of_userspace_mode() {
    let tailnet = Tailnet::start().await;
    let (worker, database) = pair(&tailnet, Mode::Userspace).await;
    let _valkey = database.valkey(&[]).await;
    let script = "exec 3<>/dev/tcp/localhost/1055; printf '\\5\\1\\0' >&3; head -c2 <&3 | od -An -tx1";
    let output = worker.run(Command::new("bash").args(["-c", script])).await;
    assert_eq!(output.stdout.trim(), "05 00", "{output:?}");
}

#[tokio::test]
async fn a_node_keeps_its_way_out_while_others_are_plugged_in() {
    let tailnet = Tailnet::start().await;
    let [first, _second] = [tailnet.sandbox("first").await, tailnet.sandbox("second").await];
    for number in 0..8 {
        let _next = tailnet.sandbox(&format!("next-{number}")).await;
        let connect = ["-c", "timeout 5 bash -c 'exec 3<>/dev/tcp/10.99.0.1/8080'"];
        first.run(Command::new("sh").args(connect)).await.expect_success("the control server is reached");
    }
}

#[tokio::test]
async fn an_unplugged_node_loses_control_and_finds_it_again() {
    let tailnet = Tailnet::start().await;
    let (worker, database) = pair(&tailnet, Mode::Tun).await;
    worker.unplug().await;
    eventually("silent", SOON, async || matches!(worker.ping(&database).await, Pong::Lost(_))).await;
    worker.plug_in().await;
    let direct = async || matches!(worker.ping(&database).await, Pong::Direct(_));
    eventually("direct", Duration::from_secs(30), direct).await;
}
