//! Which probes are told that their failure takes the target down.

use super::*;

/// A service that works, fails from `FAILS` to `WORKS`, and works again; and whether each probe was told that it decides.
struct Outage {
    begun: Instant,
    told: Arc<Mutex<Vec<(u64, bool)>>>,
}

const FAILS: u64 = 100;
const WORKS: u64 = 400;

impl Backend for Outage {
    async fn status(&self, _: &PeerFilter) -> Result<Status, Failure> {
        running()
    }

    async fn probe(
        &self,
        _: &Target,
        _: &Resolution,
        _: &mut ProbeMemory,
        _: NetworkMode,
        decides: bool,
    ) -> ProbeResult {
        let second = self.begun.elapsed().as_secs();
        lock(&self.told).push((second, decides));
        let outcome = if (FAILS..WORKS).contains(&second) {
            Err(Failure::new(Reason::ProtocolClosed, "as the script says"))
        } else {
            Ok(Detail::Answering)
        };
        result(outcome, FAST)
    }

    no_paths!();
}

#[tokio::test(start_paused = true)]
async fn a_probe_decides_at_the_threshold_and_while_the_target_is_down() {
    let (source, config) = configuration(&[]);
    let fall = usize::try_from(config.fall).expect("a small number");
    let (metrics, state) = books(&config);
    let (begun, told) = (Instant::now(), Arc::default());
    let backend = Outage { begun, told: Arc::clone(&told) };
    let prober = Prober::new(state, metrics, config, source, backend, "pod");
    let (stop, stopped) = watch::channel(false);
    let end = async {
        sleep_until(begun + Duration::from_secs(600)).await;
        stop.send_replace(true);
    };
    tokio::join!(prober.run(Arc::default(), Arc::default(), stopped), end);
    let told = lock(&told).clone();
    let decides = |from: u64, to: u64| {
        told.iter().filter(|(second, _)| (from..to).contains(second)).map(|(_, told)| *told).collect::<Vec<_>>()
    };
    assert!(decides(20, FAILS).iter().all(|told| !told), "{told:?}");
    let failing = decides(FAILS, WORKS);
    assert!(failing.len() > fall, "{told:?}");
    assert!(failing.iter().enumerate().all(|(number, told)| *told == (number + 1 >= fall)), "{told:?}");
    assert!(decides(WORKS + 60, 600).iter().all(|told| !told), "{told:?}");
}
