//! The loop: when whose turn is, one status for all that are due, turns that overlap, and the record of each.
//!
//! A round reads the status once and begins a turn of every target that has none. Each turn is a task of its own and is
//! recorded when it ends, so that no target waits for another.

mod backend;
mod entry;
mod lag_window;
mod localapi_backend;
mod node_reader;
mod round;
#[cfg(test)]
mod tests;
mod turn;

pub use backend::Backend;
pub use localapi_backend::LocalApiBackend;

use crate::config::{Config, ReloadError, Source, carry_over, needs_restart};
use crate::metrics::Metrics;
use crate::probe::peer_filter::PeerFilter;
use crate::schedule::Schedule;
use crate::shortage::ShortageLog;
use crate::state::{State, TurnRecord};
use crate::transition_log::TransitionLog;
use entry::{Entry, TurnState};
use lag_window::LagWindow;
use node_reader::{HomeRegion, StatusReading};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use turn::TurnMemory;

/// Runs the probes and records what they find out.
pub struct Prober<B> {
    state: Arc<State>,
    metrics: Arc<Metrics>,
    source: Source,
    config: Arc<Config>,
    filter: Arc<PeerFilter>,
    backend: Arc<B>,
    schedule: Schedule,
    /// In the configuration's order.
    entries: Vec<Entry>,
    tasks: JoinSet<Event>,
    /// The status that is being read.
    reading: Option<AbortHandle>,
    home: Option<HomeRegion>,
    /// When the last round began.
    round_began: Instant,
    /// When the last status had been read.
    status_read: Instant,
    /// When the node is read if no target is due before, for targets that are down are rarely due.
    next_round: Instant,
    lags: LagWindow,
    log: TransitionLog,
    shortages: ShortageLog,
    /// One for each socket that turns may have open. A turn that waits for its own is late, and its target not at fault.
    sockets: Arc<Semaphore>,
}

/// What a task of the loop brings.
enum Event {
    Status(StatusReading),
    Turn(TurnMemory, TurnRecord),
}

/// Shortest time from one round to another that the IPN bus asks for: in a large tailnet it always has notifications.
const MIN_WAKE_INTERVAL: Duration = Duration::from_secs(2);

impl<B: Backend> Prober<B> {
    /// A loop that has not begun.
    pub fn new(
        state: Arc<State>,
        metrics: Arc<Metrics>,
        config: Arc<Config>,
        source: Source,
        backend: B,
        pod_uid: &str,
    ) -> Self {
        let now = Instant::now();
        let schedule = Schedule::new(pod_uid, now);
        let first = schedule.first(shortest_interval(&config));
        let mut prober = Self {
            state,
            metrics,
            source,
            filter: Arc::default(),
            backend: Arc::new(backend),
            schedule,
            entries: Vec::new(),
            tasks: JoinSet::new(),
            reading: None,
            home: None,
            round_began: now,
            status_read: now,
            next_round: first,
            lags: LagWindow::default(),
            log: TransitionLog::new(now),
            shortages: ShortageLog::default(),
            sockets: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            config,
        };
        let none_kept = vec![None; prober.config.targets.len()];
        prober.fill_entries(&none_kept, first);
        prober
    }

    /// With at most so many sockets of turns: see [`crate::descriptor_budget`].
    #[must_use]
    pub fn with_turn_sockets(self, count: usize) -> Self {
        Self { sockets: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))), ..self }
    }

    /// Runs until `shutdown` is true. `reload` asks for the configuration to be read again, `wake` for a round in
    /// between: the IPN bus has a notification.
    pub async fn run(mut self, reload: Arc<Notify>, wake: Arc<Notify>, mut shutdown: watch::Receiver<bool>) {
        loop {
            let due = self.entries.iter().filter_map(Entry::next_turn).fold(self.next_round, Instant::min);
            // What came due while the status was read is not late by our own fault.
            let due = due.max(self.status_read);
            let earliest = self.round_began + MIN_WAKE_INTERVAL;
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|down| *down) => break,
                () = reload.notified() => self.reload(true),
                Some(event) = self.tasks.join_next_with_id() => self.handle(event),
                () = sleep_until(due), if self.reading.is_none() => self.begin_round(due),
                () = woken(&wake, earliest), if self.reading.is_none() => self.begin_round(Instant::now()),
            }
        }
        // A turn that has just ended is no turn that was cut short.
        while let Some(event) = self.tasks.try_join_next_with_id() {
            if let Ok((task, Event::Turn(memory, record))) = event {
                self.take_turn(task, memory, record);
            }
        }
        for entry in &self.entries {
            if matches!(entry.turn, TurnState::Running { probing: true, .. }) {
                entry.metrics.aborted();
            }
        }
        self.log.end();
    }

    fn handle(&mut self, event: Result<(Id, Event), JoinError>) {
        match event {
            Ok((task, Event::Status(reading))) => {
                if self.reading.take_if(|abort| abort.id() == task).is_some() {
                    self.take_status(reading);
                }
            }
            Ok((task, Event::Turn(memory, record))) => self.take_turn(task, memory, record),
            Err(error) if error.is_cancelled() => {}
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Reads the configuration and puts it in force if it has changed, or in any case if `force`.
    fn reload(&mut self, force: bool) {
        match self.source.changed(force) {
            None => {}
            Some(Err(ReloadError::NotRead(shortage))) => self.note_shortage(&shortage, Instant::now()),
            Some(Err(ReloadError::Rejected(problems))) => {
                self.log.reload_refused(&problems, Instant::now());
                self.state.refuse_reload(problems, SystemTime::now());
                self.report(&[], Instant::now());
            }
            Some(Ok(config)) => {
                let needs_restart = needs_restart(&self.config, &config);
                let config = Arc::new(self.config.reloaded(config));
                self.log.reloaded(&self.config, &config, &needs_restart, Instant::now());
                let kept = self.state.reconfigure(Arc::clone(&config), Instant::now(), SystemTime::now());
                self.config = config;
                self.fill_entries(&kept, Instant::now());
                self.report(&[], Instant::now());
            }
        }
    }

    /// An entry for each target: the old one that `kept` names, or a new one that is due at `due`.
    fn fill_entries(&mut self, kept: &[Option<usize>], due: Instant) {
        let gone = self.entries.iter().enumerate().filter(|(index, _)| !kept.contains(&Some(*index)));
        gone.for_each(|(_, entry)| self.metrics.remove_target(&entry.target.name));
        let old = carry_over(std::mem::take(&mut self.entries), kept);
        for (target, old) in self.config.targets.iter().zip(old) {
            let entry = match old {
                Some(mut entry) => {
                    entry.reconfigure(Arc::clone(target), due);
                    entry
                }
                None => Entry::new(Arc::clone(target), self.metrics.target(target), due),
            };
            self.entries.push(entry);
        }
        let filter = PeerFilter::of(self.config.targets.iter().map(|target| &**target));
        if *self.filter != filter {
            self.filter = Arc::new(filter);
            // What is being read has the peers of the old targets only.
            if let Some(reading) = self.reading.take() {
                reading.abort();
                // It may have been due to a notification, which is not repeated.
                self.next_round = Instant::now();
            }
        }
    }
}

fn shortest_interval(config: &Config) -> Duration {
    config.targets.iter().map(|target| target.interval).min().unwrap_or_default()
}

/// Returns when the IPN bus has a notification, but not before `earliest`. It is taken last, so that a reload meanwhile loses
/// none.
async fn woken(wake: &Notify, earliest: Instant) {
    sleep_until(earliest).await;
    wake.notified().await;
}
