//! Whom the loop asks when a target's machine is silent, how often, and what it concludes.

use super::*;
use crate::config::Mode;
use crate::state::TargetView;
use crate::tailscale::Peer;
use futures_util::future::join_all;

/// A tailnet of two databases and some other peers, in which machines die by a script.
struct Deaths {
    begun: Instant,
    pod: String,
    /// The peers beside the targets that were in touch with this node.
    others: &'static [&'static str],
    /// Is this machine silent at this second?
    dead: fn(&str, u64) -> bool,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// Pings of one peer as a witness.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    second: u64,
    witness: String,
}

const BOTH: &str = "postgres://db:5432,postgres://cache:6379";
const CUT: u64 = 60;
const INFRASTRUCTURE: &[&str] =
    &["infra-0", "infra-1", "infra-2", "infra-3", "infra-4", "infra-5", "infra-6", "infra-7"];

impl Deaths {
    fn second(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }

    fn is_dead(&self, name: &str) -> bool {
        (self.dead)(name.split('.').next().unwrap_or_default(), self.second())
    }

    fn peer(name: &str, last: u8) -> Peer {
        Peer {
            id: format!("n-{name}"),
            dns_name: format!("{name}.tail1234.ts.net"),
            addresses: vec![[100, 64, 0, last].into()],
            last_handshake: Some(SystemTime::UNIX_EPOCH),
            ..Peer::default()
        }
    }
}

impl Backend for Deaths {
    async fn status(&self, _: &PeerFilter) -> Result<Status, Failure> {
        let peers = vec![Self::peer("db", 2), Self::peer("cache", 3)];
        let others = (10..).zip(self.others).map(|(last, name)| Self::peer(name, last)).collect();
        let status = running()?;
        let own = SelfNode { dns_name: format!("{}.tail1234.ts.net", self.pod), ..status.own };
        Ok(Status { suffix: Some("tail1234.ts.net".to_owned()), own, peers, others, ..status })
    }

    async fn region_id(&self, _: &str) -> Option<u32> {
        None
    }

    async fn probe(
        &self,
        target: &Target,
        _: &Resolution,
        _: &mut ProbeMemory,
        _: NetworkMode,
        _: bool,
    ) -> ProbeResult {
        let (took, outcome) = if self.is_dead(&target.name) { silent() } else { good() };
        sleep(took).await;
        result(outcome.map_err(|reason| Failure::new(reason, "as the script says")), took)
    }

    async fn probe_path(&self, _: &Resolved, _: PingPolicy) -> PathProbe {
        PathProbe::default()
    }

    async fn ping_evidence(
        &self,
        peer: &TargetPeer,
        witnesses: impl Future<Output = Testimony> + Send,
    ) -> PingEvidence {
        let (outcome, witnesses) = if self.is_dead(&peer.name) {
            sleep(Duration::from_secs(1)).await;
            (PingOutcome::Timeout, witnesses.await)
        } else {
            (PingOutcome::Reply, Testimony::NotAsked)
        };
        PingEvidence { disco: outcome, tunnel: outcome, full_size: outcome, witnesses }
    }

    async fn ask_witnesses(&self, witnesses: &[Witness]) -> Testimony {
        let names: Vec<_> = witnesses.iter().map(|witness| witness.name.clone()).collect();
        let asked = names.iter().map(|name| Asked { second: self.second(), witness: name.clone() });
        lock(&self.asked).extend(asked);
        match names.iter().find(|name| !self.is_dead(name)) {
            Some(name) => Testimony::Answered(name.clone()),
            None if names.is_empty() => Testimony::NotAsked,
            None => {
                sleep(Duration::from_secs(2)).await;
                Testimony::Silent(names)
            }
        }
    }
}

/// A pod after its script.
struct Outcomes {
    views: Vec<TargetView>,
    asked: Vec<Asked>,
    ready_in_local: bool,
    begun: Instant,
}

impl Outcomes {
    fn failures(&self) -> Vec<(Reason, &str)> {
        let failures = self.views.iter().filter_map(TargetView::failure);
        failures.map(|failure| (failure.reason, failure.cause.rsplit("; ").next().unwrap_or_default())).collect()
    }

    fn reasons(&self) -> Vec<Reason> {
        self.failures().into_iter().map(|(reason, _)| reason).collect()
    }

    fn seconds(&self) -> Vec<u64> {
        self.asked.iter().map(|asked| asked.second).collect()
    }
}

async fn play_out(others: &'static [&'static str], dead: fn(&str, u64) -> bool, length: Duration) -> Outcomes {
    play_out_with(BOTH, others, dead, length).await
}

async fn play_out_with(
    targets: &str,
    others: &'static [&'static str],
    dead: fn(&str, u64) -> bool,
    length: Duration,
) -> Outcomes {
    let (source, config) = configuration(&[("TELLTAIL_TARGETS", targets)]);
    let (metrics, state) = books(&config);
    let (begun, asked) = (Instant::now(), Arc::default());
    let backend = Deaths { begun, pod: "worker".to_owned(), others, dead, asked: Arc::clone(&asked) };
    let prober = Prober::new(Arc::clone(&state), metrics, config, source, backend, "a-pod");
    let (stop, stopped) = watch::channel(false);
    let end = async {
        sleep_until(begun + length).await;
        stop.send_replace(true);
    };
    tokio::join!(prober.run(Arc::default(), Arc::default(), stopped), end);
    let snapshot = state.snapshot(Instant::now());
    let ready_in_local = snapshot.verdict(Mode::Local).ready;
    let asked = lock(&asked).clone();
    Outcomes { views: snapshot.targets, asked, ready_in_local, begun }
}

#[tokio::test(start_paused = true)]
async fn while_all_is_well_nobody_is_asked() {
    let well = play_out(INFRASTRUCTURE, |_, _| false, 5 * MINUTES).await;
    assert_eq!((well.reasons(), well.asked), (Vec::new(), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_asks_two_once_and_then_each_five_minutes_and_stays_ready_in_local() {
    let cut = play_out(INFRASTRUCTURE, |_, second| second >= CUT, Duration::from_secs(CUT + 960)).await;
    assert_eq!(cut.reasons(), [Reason::ConnectIsolated; 2]);
    assert!(cut.ready_in_local);
    // Two targets, two witnesses for each: with the fall, and after 300, 600 and 900 s.
    assert_eq!(cut.asked.len(), 16, "{:?}", cut.asked);
    let first: Vec<_> = cut.seconds().into_iter().filter(|second| *second < CUT + 25).collect();
    assert_eq!(first.len(), 4, "{:?}", cut.asked);
    for view in &cut.views {
        let down = (view.track.since() - cut.begun).as_secs_f64();
        assert!(down <= CUT as f64 + 23.1, "asking delays no detection: down at {down}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_another_is_reached_beside_asks_nobody() {
    let dead = |name: &str, second| name == "db" && second >= CUT;
    let beside = play_out(INFRASTRUCTURE, dead, 12 * MINUTES).await;
    assert_eq!(beside.failures(), [(Reason::ConnectTunnelDead, "cache answered")]);
    assert_eq!(beside.asked, Vec::new());
}

#[tokio::test(start_paused = true)]
async fn one_witness_that_answers_blames_the_targets_machines() {
    let dead = |name: &str, second| !name.starts_with("infra") && second >= CUT;
    let blamed = play_out(&["infra-0", "infra-1"], dead, 3 * MINUTES).await;
    assert_eq!(blamed.reasons(), [Reason::ConnectTunnelDead; 2]);
    assert!(blamed.failures().iter().all(|(_, told)| told.ends_with(" answered")), "{:?}", blamed.failures());
    // One is enough: the other may be the other target, or dead itself.
    let dead = |name: &str, second| name != "infra-1" && second >= CUT;
    let blamed = play_out(&["infra-1"], dead, 3 * MINUTES).await;
    assert_eq!(blamed.failures(), [(Reason::ConnectTunnelDead, "infra-1 answered"); 2]);
}

#[tokio::test(start_paused = true)]
async fn with_both_machines_dead_and_no_other_peer_both_possibilities_are_named_and_local_stays_ready() {
    let both = play_out(&[], |_, second| second >= CUT, 3 * MINUTES).await;
    let told = ["no reply from cache either", "no reply from db either"];
    assert_eq!(both.failures(), told.map(|told| (Reason::ConnectIsolated, told)));
    assert!(both.ready_in_local);
}

#[tokio::test(start_paused = true)]
async fn what_was_reached_before_the_silence_is_no_witness() {
    // Cut off at second 75; the cache is probed again at about 120, and until then its last probe is a success.
    let targets = "postgres://db:5432,postgres://cache:6379?interval=60s";
    let cut = play_out_with(targets, &[], |_, second| second >= 75, Duration::from_secs(105)).await;
    assert_eq!(cut.failures(), [(Reason::ConnectIsolated, "no reply from cache either")]);
    assert!(cut.views[1].last.as_ref().is_some_and(|last| last.outcome.is_ok()));
}

/// The pings that 1,000 pods send to one peer: most in a second at onset, and a second later on.
async fn fleet(others: &'static [&'static str]) -> (usize, f64, usize) {
    const PODS: u64 = 1000;
    const LENGTH: u64 = 960;
    let (begun, asked) = (Instant::now(), Arc::<Mutex<Vec<Asked>>>::default());
    let dead = |name: &str, second| !name.starts_with("infra") && second >= CUT;
    let (_stop, stopped) = watch::channel(false);
    let pods = uids(PODS).enumerate().map(|(n, uid)| {
        let (source, config) = configuration(&[]);
        let (metrics, state) = books(&config);
        let backend = Deaths { begun, pod: format!("worker-{n}"), others, dead, asked: Arc::clone(&asked) };
        Prober::new(state, metrics, config, source, backend, &uid).run(Arc::default(), Arc::default(), stopped.clone())
    });
    let ended = tokio::time::timeout_at(begun + Duration::from_secs(LENGTH), join_all(pods)).await;
    assert!(ended.is_err(), "a loop ends only if it is told to");

    let asked = lock(&asked).clone();
    let mut by_witness: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    asked.into_iter().for_each(|Asked { second, witness }| by_witness.entry(witness).or_default().push(second));
    by_witness.remove("cache.tail1234.ts.net");
    let busiest = by_witness.into_values().max_by_key(Vec::len).expect("somebody is asked");
    let onset = CUT + 60;
    let peak = (CUT..onset).map(|at| busiest.iter().filter(|second| **second == at).count()).max().unwrap_or_default();
    let later: Vec<_> = busiest.iter().filter(|second| **second >= onset).collect();
    (peak, later.len() as f64 / (LENGTH - onset) as f64, busiest.len() - later.len())
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_do_not_flood_a_witness() {
    let (peak, later, once) = fleet(&["infra-0"]).await;
    println!("one witness for all: {once} pings at onset, at most {peak} in a second, later {later:.1} a second");
    assert!(once == 1000 && peak <= 150 && later <= 4.0);
    let (peak, later, once) = fleet(INFRASTRUCTURE).await;
    println!("eight: the busiest gets {once} pings at onset, at most {peak} in a second, later {later:.1} a second");
    assert!(once <= 300 && peak <= 50 && later <= 1.0);
}
