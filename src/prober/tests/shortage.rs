//! What telltail itself lacks: states stay, probes are aborted, and few sockets leave no target out.

use super::*;
use crate::descriptor_budget::TURN_SOCKETS;

/// Out of resources in these seconds.
const LACKS: std::ops::Range<u64> = 100..400;

fn lacks(at: Duration) -> bool {
    LACKS.contains(&at.as_secs())
}

fn success(played: &Played) -> u64 {
    played.counter(r#"telltail_probes_total{result="success",target="db"}"#)
}

#[tokio::test(start_paused = true)]
async fn a_probe_for_which_telltail_lacks_something_is_aborted_and_the_target_stays_as_it_is() {
    for (usual, state) in [(good(), TrackState::Up), (refused(), TrackState::Down)] {
        let script = move |_: &str, _, at| if lacks(at) { (FAST, Err(Reason::NodeOutOfResources)) } else { usual };
        let played = play("a-pod", &[], |_| running(), script, 10 * MINUTES).await;
        assert_eq!(played.track("db").state(), state);
        assert!(played.changed("db") < LACKS.start as f64);
        let turns = played.turns("db");
        let aborted = turns.iter().filter(|turn| LACKS.contains(&(turn.started as u64))).count() as u64;
        assert_eq!(played.counter(r#"telltail_probes_total{result="aborted",target="db"}"#), aborted);
        assert_eq!(played.counter("telltail_out_of_resources_total"), aborted);
        assert!(aborted >= 9, "{aborted}");
        assert!(played.turns("db").last().expect("turns").started > 500.0, "it goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_for_which_telltail_lacks_something_says_nothing_of_the_node() {
    let reads = Arc::new(Mutex::new(Vec::new()));
    let reader = Arc::clone(&reads);
    let node = move |at: Duration| {
        lock(&reader).push(at.as_secs());
        if lacks(at) { Err(Failure::new(Reason::NodeOutOfResources, "a test")) } else { running() }
    };
    let played = play("a-pod", &[], node, |_, _, _| good(), 10 * MINUTES).await;
    let snapshot = played.state.snapshot(Instant::now());
    assert!(snapshot.node.is_fine() && snapshot.node_track.state() == TrackState::Up);
    assert!((snapshot.node_track.since() - played.begun).as_secs() < LACKS.start);
    assert_eq!(played.track("db").state(), TrackState::Up);
    assert!(played.changed("db") < LACKS.start as f64);
    assert_eq!(played.counter(r#"telltail_probes_total{result="failure",target="db"}"#), 0);
    let failed = lock(&reads).iter().filter(|second| LACKS.contains(second)).count();
    assert!((30..=160).contains(&failed), "{failed} statuses: often enough, and no spin");
    assert_eq!(played.counter("telltail_out_of_resources_total"), failed as u64);
    assert!(played.turns("db").iter().any(|turn| (400.0..405.0).contains(&turn.started)), "soon after");
    assert!(success(&played) > 20);
}

#[tokio::test(start_paused = true)]
async fn with_few_sockets_turns_wait_for_each_other_and_none_is_left_out() {
    let names: Vec<_> = (0..64).map(|n| format!("postgres://t{n}:1")).collect();
    let targets = names.join(",");
    let (source, config) = configuration(&[("TELLTAIL_TARGETS", targets.as_str())]);
    let (metrics, state) = books(&config);
    let (begun, seen) = (Instant::now(), ProbeSpans::default());
    let probe = |_: &str, _: usize, _: Duration| (Duration::from_millis(100), Ok(Detail::Answering));
    let backend = Script { begun, node: Box::new(|_| running()), probe, seen: Arc::clone(&seen) };
    let sockets = 4 * TURN_SOCKETS as usize;
    let prober = Prober::new(Arc::clone(&state), metrics, config, source, backend, "a-pod").with_turn_sockets(sockets);
    let (stop, stopped) = watch::channel(false);
    let end = async {
        sleep_until(begun + 2 * MINUTES).await;
        stop.send_replace(true);
    };
    tokio::join!(prober.run(Arc::default(), Arc::default(), stopped), end);
    let seen = lock(&seen).clone();
    let mut all: Vec<ProbeSpan> = seen.values().flatten().copied().collect();
    all.sort_by(|a, b| a.started.total_cmp(&b.started));
    let at_once = |at: f64| all.iter().filter(|span| span.started <= at && at < span.ended).count();
    assert_eq!(all.iter().map(|span| at_once(span.started)).max(), Some(4));
    assert!(seen.len() == 64 && seen.values().all(|spans| spans.len() >= 9), "{seen:?}");
    assert!(state.snapshot(Instant::now()).targets.iter().all(|view| view.track.state() == TrackState::Up));
}
