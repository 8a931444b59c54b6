//! The metrics page as its readers see it.

#[path = "../support/golden.rs"]
mod golden;
mod hostile;
mod page;
mod sample;

use page::Page;
use sample::SamplePod;
use std::collections::BTreeSet;
use std::time::Duration;
use telltail::config::{Depth, Host, Kind, Mode, Target, Via};
use telltail::health::{Thresholds, TrackState};
use telltail::node::{Node, NodeState};
use telltail::reason::{AppliesTo, Failure, Reason};
use telltail::state::GateRelease;
use telltail_testkit::Sample;

fn page(pod: &SamplePod) -> Page {
    Page::parse(&pod.metrics.render(&pod.snapshot)).expect("the page is well-formed")
}

/// Values that differ from run to run, made 0.
fn masked(page: &str) -> String {
    let mask = |line: &str| match line.split_once(' ') {
        Some((name, _)) if name.starts_with("process_") => format!("{name} 0\n"),
        _ => format!("{line}\n"),
    };
    page.lines().map(mask).collect()
}

#[test]
fn the_page_is_a_contract() {
    let pod = sample::everything();
    let text = pod.metrics.render(&pod.snapshot);
    Page::parse(&text).expect("the page is well-formed");
    golden::golden("tests/metrics.prom", &masked(&text));
}

/// The limit is 280, tailscaled's health warnings apart, of which there are rarely more than one.
#[test]
fn two_targets_stay_within_the_budget_of_series() {
    let mut pod = sample::everything();
    // The most that there can be at one moment: everything fails.
    for view in &mut pod.snapshot.targets {
        view.last = Some(sample::failure(50.0, Reason::ConnectTimeout, ""));
    }
    let page = page(&pod);
    let counted = page.samples().count();
    let mut names: Vec<_> = page.families.iter().map(|family| (family.samples.len(), &family.name)).collect();
    names.sort();
    assert!(counted <= 280, "{counted} {names:#?}");
}

/// Of PostgreSQL with a user, which has the most reasons: all that there can be of a target at one moment. A series more is
/// 64 more in the largest pod, and with each pod of a fleet: see docs/metrics.md.
const SERIES_PER_TARGET: usize = 106;
/// With a name of 18 bytes. A scrape of 16 such targets is 160 kB, one of 64 is 614 kB.
const BYTES_PER_TARGET: usize = 9_500;

#[test]
fn a_scrape_grows_with_the_number_of_targets_and_with_nothing_else() {
    let (one, rest) = (size_of_scrape(1), [16, 64].map(|targets| (targets - 1, size_of_scrape(targets))));
    println!("series and bytes of 1, 16 and 64 targets: {one:?}, {rest:?}");
    for (more, (series, bytes)) in rest {
        assert_eq!(series - one.0, more * SERIES_PER_TARGET, "{more}");
        assert!(bytes - one.1 <= more * BYTES_PER_TARGET, "{more}: {} bytes each", (bytes - one.1) / more);
    }
}

/// Series and bytes of a page of which every target fails, and has every series that comes and goes.
fn size_of_scrape(targets: usize) -> (usize, usize) {
    let user = Some("telltail".to_owned());
    let target =
        |n| Target { user: user.clone(), ..sample::target(&format!("stackeye-db-prd-{n:02}"), Kind::Postgres, 5432) };
    let mut pod = SamplePod::new(&sample::config((0..targets).map(target).collect()));
    let everything = sample::everything().snapshot;
    pod.snapshot.node = everything.node;
    for view in &mut pod.snapshot.targets {
        let target = std::sync::Arc::clone(&view.target);
        *view = telltail::state::TargetView { target, ..everything.targets[0].clone() };
        view.last = Some(sample::failure(1e7, Reason::ConnectTimeout, ""));
    }
    let text = pod.metrics.render(&pod.snapshot);
    (Page::parse(&text).expect("the page is well-formed").samples().count(), text.len())
}

/// `increase` needs a counter's 0 before its first 1.
#[test]
fn every_counter_of_a_target_is_there_before_it_counts() {
    for target in one_of_each_kind() {
        let pod = SamplePod::new(&sample::config(vec![target.clone()]));
        let before = page(&pod);
        // The seconds on the path, which is still unknown, are counted from the start.
        let counts =
            |s: &&Sample| s.name.ends_with("_total") && s.label("target").is_some() && s.label("path").is_none();
        assert!(before.samples().filter(counts).all(|sample| sample.value == 0.0));
        for reason in reasons(&before, "t") {
            let reason = Reason::ALL.iter().find(|known| known.slug() == reason).expect("a reason of ours");
            pod.targets[0].probe(&sample::failure(0.0, *reason, ""));
        }
        pod.targets[0].probe(&sample::success(0.0, Some(1.0), Some(1.0)));
        pod.targets[0].aborted();
        [TrackState::Up, TrackState::Down].into_iter().for_each(|to| pod.targets[0].transition(to));
        assert_eq!(page(&pod).series(), before.series(), "{target:?}");
    }
}

#[test]
fn a_row_whose_condition_has_ended_is_gone() {
    let mut pod = sample::everything();
    let before = page(&pod);
    assert_eq!(before.get("telltail_target_failing_info", &[("reason", "connect_refused")]), Some(1.0));
    assert_eq!(before.get("telltail_startup_gate_release_info", &[("cause", "condition")]), Some(1.0));
    assert_eq!(before.get("telltail_node_online", &[]), Some(1.0));

    pod.snapshot.targets[1].last = Some(sample::success(60.0, None, None));
    pod.snapshot.node = Node::unreachable(Failure::new(Reason::NodeSocketMissing, "no such file"));
    pod.snapshot.gate = None;
    let after = page(&pod);
    let names: BTreeSet<_> = after.families.iter().map(|family| family.name.as_str()).collect();
    for gone in [
        "telltail_target_failing_info",
        "telltail_startup_gate_release_info",
        "telltail_node_online",
        "telltail_node_info",
    ] {
        assert!(!names.contains(gone), "{gone}");
    }
}

#[test]
fn before_the_first_probe_counts_are_zero_and_times_are_absent() {
    let config = sample::config(sample::two());
    let pod = SamplePod::new(&config);
    let page = page(&pod);
    let db = ("target", "stackeye-db-prd");
    for result in ["success", "failure", "aborted"] {
        assert_eq!(page.get("telltail_probes_total", &[db, ("result", result)]), Some(0.0));
    }
    for stage in ["resolve", "connect", "protocol"] {
        assert_eq!(page.get("telltail_probe_duration_seconds_count", &[db, ("stage", stage)]), Some(0.0));
    }
    assert_eq!(page.get("telltail_probe_success", &[db]), Some(0.0));
    assert_eq!(page.get("telltail_target_state", &[db, ("state", "unknown")]), Some(1.0));
    assert_eq!(page.get("telltail_probe_last_timestamp_seconds", &[db]), None);
    assert_eq!(page.get("telltail_probe_last_success_timestamp_seconds", &[db]), None);
    assert_eq!(page.get("telltail_startup_gate_open", &[]), Some(0.0));
    assert!(page.families.iter().all(|family| family.name != "telltail_http_requests_total"));
}

#[test]
fn of_a_set_of_states_exactly_one_is_1() {
    let mut pod = sample::everything();
    for state in NodeState::ALL {
        pod.snapshot.node.state = state;
        let page = page(&pod);
        let ones = |name: &str, target: Option<&str>| {
            let of = |s: &&Sample| s.name == name && s.label("target") == target && s.value == 1.0;
            page.samples().filter(of).count()
        };
        assert_eq!(ones("telltail_node_state", None), 1);
        assert_eq!(page.get("telltail_node_state", &[("state", state.slug())]), Some(1.0));
        for view in &pod.snapshot.targets {
            assert_eq!(ones("telltail_target_state", Some(&view.target.name)), 1);
        }
    }
}

fn reasons(page: &Page, target: &str) -> BTreeSet<String> {
    let failures = page.samples().filter(|s| s.name == "telltail_probe_failures_total");
    let of_target = failures.filter(|s| s.label("target") == Some(target));
    of_target.filter_map(|s| s.label("reason").map(str::to_owned)).collect()
}

fn one_of_each_kind() -> [Target; 6] {
    let plain = |kind| sample::target("t", kind, 1);
    let proxy = Via::Socks5(([127, 0, 0, 1], 1055).into());
    let user = Some("telltail".to_owned());
    [
        plain(Kind::Postgres),
        Target { user: user.clone(), ..plain(Kind::Postgres) },
        Target { user, depth: Depth::Tcp, ..plain(Kind::Postgres) },
        plain(Kind::Valkey),
        plain(Kind::Tcp),
        Target { via: proxy, ..plain(Kind::Tcp) },
    ]
}

#[test]
fn a_target_has_the_reasons_that_its_kind_can_have() {
    let speakers: [&[AppliesTo]; 6] = [
        &[AppliesTo::Protocol],
        &[AppliesTo::Protocol, AppliesTo::Postgres],
        &[],
        &[AppliesTo::Protocol, AppliesTo::Valkey],
        &[],
        &[AppliesTo::Socks],
    ];
    for (target, speakers) in one_of_each_kind().into_iter().zip(speakers) {
        let config = sample::config(vec![target]);
        let pod = SamplePod::new(&config);
        let can = |r: &&Reason| r.applies_to() == AppliesTo::Any || speakers.contains(&r.applies_to());
        let expected: BTreeSet<_> = Reason::ALL.iter().filter(can).map(|r| r.slug().to_owned()).collect();
        assert_eq!(reasons(&page(&pod), "t"), expected, "{:?}", config.targets);
    }
}

#[test]
fn an_address_is_never_asked_of_a_resolver() {
    let target = Target { host: Host::Ip([100, 64, 0, 7].into()), ..sample::target("t", Kind::Tcp, 1) };
    let config = sample::config(vec![target]);
    let pod = SamplePod::new(&config);
    let page = page(&pod);
    assert!(reasons(&page, "t").iter().all(|reason| !reason.starts_with("resolve_dns_")));
    assert_eq!(page.get("telltail_target_info", &[("host", "100.64.0.7")]), Some(1.0));
}

#[test]
fn a_reason_that_a_target_should_not_have_is_counted_and_goes_with_the_target() {
    let config = sample::config(vec![sample::target("t", Kind::Tcp, 1)]);
    let pod = SamplePod::new(&config);
    pod.targets[0].probe(&sample::failure(0.0, Reason::ProtocolLoading, ""));
    let before = page(&pod);
    assert_eq!(before.get("telltail_probe_failures_total", &[("reason", "protocol_loading")]), Some(1.0));
    pod.metrics.remove_target("t");
    assert!(reasons(&page(&pod), "t").is_empty());
}

#[test]
fn only_stages_that_succeeded_are_timed() {
    let config = sample::config(sample::two());
    let pod = SamplePod::new(&config);
    let db = "stackeye-db-prd";
    pod.targets[0].probe(&sample::failure(0.0, Reason::ConnectTimeout, ""));
    pod.targets[0].probe(&sample::success(0.0, None, Some(3.0)));
    pod.targets[0].aborted();
    let page = page(&pod);
    let timed = |stage| page.get("telltail_probe_duration_seconds_count", &[("target", db), ("stage", stage)]);
    assert_eq!([timed("resolve"), timed("connect"), timed("protocol")], [Some(2.0), Some(0.0), Some(1.0)]);
    let bucket = |le| {
        let labels = [("target", db), ("stage", "protocol"), ("le", le)];
        page.get("telltail_probe_duration_seconds_bucket", &labels)
    };
    assert_eq!([bucket("0.0025"), bucket("0.005"), bucket("2.5")], [Some(0.0), Some(1.0), Some(1.0)]);
}

#[test]
fn a_reload_keeps_what_stays_and_removes_what_goes() {
    let [db, cache] = sample::two().try_into().expect("two targets");
    let mut pod = sample::everything();
    // The cache speaks another protocol now, the database is only probed more often, and one target is new.
    let db = Target { interval: Duration::from_secs(5), ..db };
    let cache = Target { kind: Kind::Tcp, depth: Depth::Tcp, ..cache };
    let new = sample::target("new", Kind::Tcp, 80);
    pod.metrics.remove_target(&cache.name);
    let targets = [pod.metrics.target(&cache), pod.metrics.target(&new)];
    pod.snapshot = sample::fresh(&sample::config(vec![db, cache, new]));
    let successes = |page: &Page, name| page.get("telltail_probes_total", &[("target", name), ("result", "success")]);
    // What the removed target's own counters still count is not on the page.
    pod.targets[1].probe(&sample::success(60.0, None, None));
    let reloaded = page(&pod);
    assert_eq!(successes(&reloaded, "stackeye-db-prd"), Some(4.0));
    assert_eq!(successes(&reloaded, "stackeye-valkey-prd"), Some(0.0));
    assert_eq!(successes(&reloaded, "new"), Some(0.0));
    assert!(reasons(&reloaded, "stackeye-valkey-prd").iter().all(|reason| !reason.starts_with("protocol_")));
    targets[0].probe(&sample::success(60.0, None, None));
    assert_eq!(successes(&page(&pod), "stackeye-valkey-prd"), Some(1.0));

    for name in ["stackeye-db-prd", "stackeye-valkey-prd"] {
        pod.metrics.remove_target(name);
    }
    pod.snapshot = sample::fresh(&sample::config(vec![sample::target("new", Kind::Tcp, 80)]));
    let text = pod.metrics.render(&pod.snapshot);
    assert!(!text.contains("stackeye-"), "{text}");
}

#[test]
fn the_way_in_force_is_told() {
    let mut pod = SamplePod::new(&sample::config(vec![sample::target("t", Kind::Tcp, 1)]));
    let via = |pod: &SamplePod, via| page(pod).get("telltail_target_info", &[("via", via)]);
    assert_eq!(via(&pod, "auto"), Some(1.0));
    pod.snapshot.node = sample::running();
    assert_eq!(via(&pod, "localapi"), Some(1.0));
    pod.snapshot.node.facts = pod
        .snapshot
        .node
        .facts
        .map(|facts| telltail::node::Facts { mode: telltail::network_mode::NetworkMode::Tun, ..facts });
    assert_eq!(via(&pod, "tcp"), Some(1.0));
}

#[test]
fn the_rest_of_the_snapshot_is_on_the_page() {
    let mut pod = sample::everything();
    pod.snapshot.draining = true;
    pod.snapshot.gate = Some(GateRelease::Timeout);
    pod.snapshot.reload.problem = Some("line 3: unknown key".to_owned());
    pod.snapshot.lag = Duration::from_millis(1500);
    pod.snapshot.targets[0].last = Some(sample::failure(50.5, Reason::ConnectRefused, "connection refused"));
    for _ in 0..3 {
        let now = pod.snapshot.at;
        pod.snapshot.targets[0].track.record(false, Thresholds { rise: 2, fall: 3 }, now);
    }
    let page = page(&pod);
    let get = |name| page.get(name, &[]);
    assert_eq!(get("telltail_ready"), Some(0.0));
    assert_eq!(get("telltail_draining"), Some(1.0));
    for mode in Mode::ALL {
        assert_eq!(page.get("telltail_ready_by_mode", &[("mode", mode.slug())]), Some(0.0));
    }
    assert_eq!(page.get("telltail_startup_gate_release_info", &[("cause", "timeout")]), Some(1.0));
    assert_eq!(get("telltail_config_last_reload_successful"), Some(0.0));
    assert_eq!(get("telltail_config_last_reload_timestamp_seconds"), Some(1_767_225_600.0));
    assert_eq!(get("telltail_probe_lag_seconds"), Some(1.5));
    let interval = page.get("telltail_probe_interval_seconds", &[("target", "stackeye-db-prd")]);
    assert_eq!(interval, Some(30.0));
}

#[test]
fn the_process_tells_of_itself() {
    let pod = sample::everything();
    let page = page(&pod);
    let get = |name| page.get(name, &[]).expect(name);
    assert!(get("process_resident_memory_bytes") > 100_000.0);
    assert!(get("process_virtual_memory_bytes") >= get("process_resident_memory_bytes"));
    assert!(get("process_threads") >= 1.0);
    assert!((3.0..get("process_max_fds")).contains(&get("process_open_fds")));
    assert!(get("process_cpu_seconds_total") < 3600.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!((now - 3600.0..now + 5.0).contains(&get("process_start_time_seconds")));
}
