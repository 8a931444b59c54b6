//! Carries out what [`PodLifecycle`] decides: containers, probes and signals.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use telltail_tailnet::{NodeProcess, Sandbox};
use telltail_testkit::Signal;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    container::{self, Image, Mount},
    environment::{self, Fields},
    event::Event,
    lifecycle::{Action, DueProbe, PodLifecycle},
    managed_container::ProbeKind,
    spec::{Container, DnsPolicy, PodSpec},
    volume::{Mounted, Objects},
};

/// How often the pod is looked at: a small part of the shortest period of a probe.
const SYNC: Duration = Duration::from_millis(20);
/// The lab's cluster DNS.
const CLUSTER_DNS: &str = "10.99.0.1";

#[derive(Debug)]
pub(super) struct Kubelet {
    pub sandbox: Sandbox,
    pub spec: PodSpec,
    /// Sidecars, then the others.
    pub containers: Vec<Container>,
    pub images: BTreeMap<String, Image>,
    pub fields: Fields,
    pub objects: Objects,
    pub volumes: BTreeMap<String, Mounted>,
    pub begin: Instant,
    pub state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub life: PodLifecycle,
    pub running: BTreeMap<usize, Arc<NodeProcess>>,
    pub timeline: Vec<(Duration, Event)>,
}

/// What one of the kubelet's tasks has to say.
enum TaskResult {
    Exited(usize, i32),
    Probed(DueProbe, Result<(), String>),
}

impl Kubelet {
    /// Looks at the pod again and again, and does what is to be done, until it is over.
    pub(super) async fn sync(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        loop {
            for action in self.decide() {
                self.carry_out(action, &mut tasks).await;
            }
            if self.state().life.over() {
                return;
            }
            tokio::select! {
                Some(result) = tasks.join_next() => self.record(result.expect("no task of the kubelet panics")),
                () = sleep(SYNC) => {}
            }
        }
    }

    fn decide(&self) -> Vec<Action> {
        let now = self.now();
        let mut state = self.state();
        let actions = state.life.next(now);
        state.record(now);
        actions
    }

    fn record(&self, result: TaskResult) {
        let now = self.now();
        let mut state = self.state();
        match result {
            TaskResult::Exited(index, code) => {
                state.running.remove(&index);
                state.life.exited(index, code, now);
            }
            TaskResult::Probed(due, answer) => state.life.probed(due, &answer, now),
        }
        state.record(now);
    }

    async fn carry_out(self: &Arc<Self>, action: Action, tasks: &mut JoinSet<TaskResult>) {
        match action {
            Action::Start(index) => {
                let process = Arc::new(self.launch(index).await);
                self.state().running.insert(index, Arc::clone(&process));
                tasks.spawn(async move { TaskResult::Exited(index, process.wait().await) });
            }
            Action::Probe(due) => {
                let this = Arc::clone(self);
                tasks.spawn(async move { TaskResult::Probed(due, this.probe(due).await) });
            }
            Action::Terminate(index) => self.signal(index, Signal::Term).await,
            Action::Kill(index) => self.signal(index, Signal::Kill).await,
        }
    }

    async fn launch(&self, index: usize) -> NodeProcess {
        let container = &self.containers[index];
        let image = self.images.get(container.repository());
        let image = image.unwrap_or_else(|| panic!("no program for the image {}", container.image));
        let variables = environment::variables(container, &self.fields, &self.objects);
        let entrypoint = if container.command.is_empty() { &image.entrypoint } else { &container.command };
        let argv = entrypoint.iter().chain(&container.args).map(|word| environment::expand(word, &variables));
        let name = self.sandbox.name();
        let argv: Vec<_> = argv.collect();
        let mut command: Command = container::command(container, &argv, &self.mounts(container, image), name);
        command.envs(variables);
        self.sandbox.spawn_container(&command, &self.log(&container.name)).await
    }

    fn mounts(&self, container: &Container, image: &Image) -> Vec<Mount> {
        let network = ["hosts", "resolv.conf"]
            .map(|name| Mount::read_only(self.sandbox.folder().join(name), format!("/etc/{name}")));
        let contents = image.contents.iter().map(|(source, target)| Mount::read_only(source, target));
        let volumes = container.volume_mounts.iter().map(|mount| {
            let volume = self.volumes.get(&mount.name);
            let volume =
                volume.unwrap_or_else(|| panic!("{} mounts {:?}, which is no volume", container.name, mount.name));
            Mount {
                source: volume.path.clone(),
                target: mount.mount_path.clone().into(),
                folder: volume.folder,
                read_only: mount.read_only || volume.read_only,
            }
        });
        network.into_iter().chain(contents).chain(volumes).collect()
    }

    async fn probe(&self, due: DueProbe) -> Result<(), String> {
        let container = &self.containers[due.container];
        let probe = match due.kind {
            ProbeKind::Startup => &container.startup_probe,
            ProbeKind::Readiness => &container.readiness_probe,
            ProbeKind::Liveness => &container.liveness_probe,
        };
        let Some(probe) = probe else { return Ok(()) };
        let within = Duration::from_secs(probe.timeout_seconds.into());
        let answer = self.sandbox.probe(container.port(&probe.http_get.port), &probe.http_get.path, within).await?;
        match answer.status {
            200..400 => Ok(()),
            status => Err(format!("HTTP probe failed with statuscode: {status}")),
        }
    }

    async fn signal(&self, index: usize, signal: Signal) {
        let process = self.state().running.get(&index).cloned();
        if let Some(process) = process {
            process.signal(signal).await;
        }
    }

    /// One of each for the pod, as the kubelet makes them, and not one for each container.
    pub(super) fn write_network_files(&self) {
        let dns = &self.spec.dns_config;
        let resolv = match self.spec.dns_policy {
            DnsPolicy::ClusterFirst => {
                format!("nameserver {CLUSTER_DNS}\nsearch svc.cluster.local cluster.local\noptions ndots:5\n")
            }
            DnsPolicy::None => {
                let servers: String = dns.nameservers.iter().map(|server| format!("nameserver {server}\n")).collect();
                let options: Vec<_> = dns.options.iter().map(|o| format!("{}:{}", o.name, o.value)).collect();
                servers + &format!("search {}\noptions {}\n", dns.searches.join(" "), options.join(" "))
            }
        };
        let hosts = format!("127.0.0.1 localhost\n::1 localhost\n{} {}\n", self.sandbox.ip(), self.sandbox.name());
        for (name, text) in [("resolv.conf", resolv), ("hosts", hosts)] {
            std::fs::write(self.sandbox.folder().join(name), text).expect("own folder");
        }
    }

    pub(super) fn log(&self, container: &str) -> PathBuf {
        self.sandbox.folder().join(format!("{container}.log"))
    }

    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, now: Duration) {
        let events = self.life.take_events();
        self.timeline.extend(events.into_iter().map(|event| (now, event)));
    }
}
