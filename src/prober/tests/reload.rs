//! A reload while something is under way.

use super::*;
use crate::tailscale::Peer;
use std::fs;

/// A tailscaled that takes its time for a status, and gives the peers that match only.
struct SlowStatus {
    begun: Arc<Notify>,
}

const STATUS_TAKES: Duration = Duration::from_millis(500);

impl Backend for SlowStatus {
    async fn status(&self, filter: &PeerFilter) -> Result<Status, Failure> {
        self.begun.notify_one();
        sleep(STATUS_TAKES).await;
        let peer = |(name, address): (&str, &str)| Peer {
            dns_name: format!("{name}.tail1234.ts.net"),
            addresses: vec![address.parse().expect("an address")],
            ..Peer::default()
        };
        let peers = [("db", "100.64.0.2"), ("other", "100.64.0.3")].map(peer);
        let head = Status::default();
        let peers = peers.into_iter().filter(|peer| filter.matches(&head, peer)).collect();
        Ok(Status { suffix: Some("tail1234.ts.net".to_owned()), peers, ..running()? })
    }

    async fn probe(
        &self,
        _: &Target,
        resolution: &Resolution,
        _: &mut ProbeMemory,
        _: NetworkMode,
        _: bool,
    ) -> ProbeResult {
        result(resolution.dialable().map(|_| Detail::Answering).map_err(Failure::clone), FAST)
    }

    no_paths!();
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_new_is_not_looked_up_in_a_status_that_was_asked_for_before() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let write = |targets: &str| fs::write(file.path(), format!("targets: [{targets}]")).expect("a file");
    write("postgres://db:5432");
    let mut source = Source::new(Environment::default(), Some(file.path().to_owned()));
    let config = Arc::new(source.load().expect("a valid configuration").config);
    let (metrics, state) = books(&config);
    let begun = Arc::new(Notify::new());
    let backend = SlowStatus { begun: Arc::clone(&begun) };
    let prober = Prober::new(Arc::clone(&state), Arc::clone(&metrics), config, source, backend, "a-pod");
    let (stop, stopped) = watch::channel(false);
    let reload = Arc::new(Notify::new());
    let meanwhile = async {
        begun.notified().await;
        sleep(STATUS_TAKES / 2).await;
        write("postgres://db:5432, postgres://other:5432");
        reload.notify_one();
        sleep(MINUTES).await;
        stop.send_replace(true);
    };
    tokio::join!(prober.run(Arc::clone(&reload), Arc::default(), stopped), meanwhile);
    let page = metrics.render(&state.snapshot(Instant::now()));
    let failures: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("telltail_probe_failures_total") && !line.ends_with(" 0"))
        .collect();
    assert_eq!(failures, Vec::<&str>::new());
    for target in ["db", "other"] {
        assert!(page.contains(&format!("telltail_target_up{{target=\"{target}\"}} 1")), "{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_notification_is_not_lost_with_the_status_that_a_reload_drops() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let write = |targets: &str| fs::write(file.path(), format!("interval: 60s\ntargets: [{targets}]")).expect("a file");
    write("postgres://db:5432, postgres://other:5432");
    let mut source = Source::new(Environment::default(), Some(file.path().to_owned()));
    let config = Arc::new(source.load().expect("a valid configuration").config);
    let (metrics, state) = books(&config);
    let begun = Arc::new(Notify::new());
    let backend = SlowStatus { begun: Arc::clone(&begun) };
    let prober = Prober::new(Arc::clone(&state), metrics, config, source, backend, "a-pod");
    let (stop, stopped) = watch::channel(false);
    let (reload, wake) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let meanwhile = async {
        begun.notified().await;
        sleep(Duration::from_secs(10)).await;
        wake.notify_one();
        begun.notified().await;
        sleep(STATUS_TAKES / 2).await;
        // One target less: nothing new is due.
        write("postgres://db:5432");
        reload.notify_one();
        let dropped = Instant::now();
        begun.notified().await;
        stop.send_replace(true);
        dropped.elapsed()
    };
    let (_, waited) = tokio::join!(prober.run(Arc::clone(&reload), Arc::clone(&wake), stopped), meanwhile);
    assert!(waited < Duration::from_secs(1), "the status is read again after {waited:?}");
}
