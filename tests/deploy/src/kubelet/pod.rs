use std::{
    collections::BTreeMap,
    fmt::Write,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use telltail_tailnet::{Answer, Process, Sandbox, Signal, Tailnet, eventually, eventually_some};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{
    container::{self, Image, Mount},
    environment::{self, Fields},
    event::Event,
    life::{Action, Kind, Life, Turn},
    spec::{Container, PodSpec},
    volume::{self, Files, Mounted, Objects},
};

/// How often the pod is looked at: a small part of the shortest period of a probe.
const SYNC: Duration = Duration::from_millis(20);

/// A running pod. Its containers end when it is dropped.
#[derive(Debug)]
pub struct Pod {
    inner: Arc<Inner>,
    _kubelet: JoinSet<()>,
    sync: AbortHandle,
}

#[derive(Debug)]
struct Inner {
    sandbox: Sandbox,
    template: Value,
    spec: PodSpec,
    containers: Vec<Container>,
    images: BTreeMap<String, Image>,
    fields: Fields,
    begin: Instant,
    volumes: BTreeMap<String, Mounted>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    life: Life,
    objects: Objects,
    running: BTreeMap<usize, Arc<Process>>,
    timeline: Vec<(Duration, Event)>,
}

/// What one of the kubelet's tasks has to say.
enum News {
    Exited(usize, i32),
    Probed(Turn, Result<(), String>),
}

impl Pod {
    /// Starts the pod of the one Deployment among these manifests. Images are given by repository; Secrets, which no chart
    /// holds, by name.
    pub async fn start(
        tailnet: &Tailnet,
        manifests: &[Value],
        images: &BTreeMap<String, Image>,
        secrets: &BTreeMap<String, Files>,
    ) -> Self {
        let template = pod_template(manifests).clone();
        let spec: PodSpec = serde_json::from_value(template["spec"].clone()).unwrap_or_else(|error| panic!("pod: {error}"));
        let name = format!("{}-5d4f7c9b8-x2x7q", deployment(manifests)["metadata"]["name"].as_str().expect("a name"));
        let sandbox = tailnet.sandbox(&name).await;
        let objects = Objects { config_maps: config_maps(manifests), secrets: secrets.clone() };
        let below = sandbox.folder().join("volumes");
        let volumes = spec.volumes.iter().map(|v| (v.name.clone(), volume::make(v, &below, &objects))).collect();
        let namespace = deployment(manifests)["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let life = Life::new(&spec);
        let state = State { life, objects, running: BTreeMap::new(), timeline: Vec::new() };
        let inner = Inner {
            fields: fields(&name, namespace, &sandbox),
            containers: spec.init_containers.iter().chain(&spec.containers).cloned().collect(),
            images: images.clone(),
            begin: Instant::now(),
            state: Mutex::new(state),
            sandbox,
            template,
            spec,
            volumes,
        };
        inner.write_network_files();
        let inner = Arc::new(inner);
        let mut kubelet = JoinSet::new();
        let sync = kubelet.spawn(Arc::clone(&inner).sync());
        Self { inner, sync, _kubelet: kubelet }
    }

    /// Takes ConfigMaps as they are rendered now into the running pod, at once, where a kubelet takes up to two minutes.
    /// Panics if the rendered pod differs from the one that runs: a cluster would then replace it.
    pub fn apply(&self, manifests: &[Value]) {
        assert_eq!(pod_template(manifests), &self.inner.template, "a new pod template rolls every pod");
        for volume in &self.inner.spec.volumes {
            if let super::spec::VolumeSource::ConfigMap { name } = &volume.source {
                let maps = config_maps(manifests);
                let path = &self.inner.volumes[&volume.name].path;
                volume::write_all_at_once(path, volume::lookup("ConfigMap", &maps, name));
            }
        }
    }

    /// Is every container ready?
    pub fn ready(&self) -> bool {
        self.inner.state().life.ready()
    }

    /// Waits until something has happened at or after a time since the pod's start, and says when.
    pub async fn sees(&self, event: &Event, from: Duration, within: Duration) -> Duration {
        let seen = async || {
            assert!(!self.sync.is_finished() || self.over(), "the kubelet has failed, see above\n{}", self.timeline());
            self.inner.state().timeline.iter().find(|(at, seen)| *at >= from && seen == event).map(|(at, _)| *at)
        };
        let found = timeout(within, eventually_some("seen", Duration::MAX, seen)).await;
        found.unwrap_or_else(|_| panic!("not within {within:?}: {event}\n{}", self.timeline()))
    }

    /// Whether something has happened at or after a time since the pod's start.
    pub fn saw(&self, from: Duration, mut wanted: impl FnMut(&Event) -> bool) -> bool {
        self.inner.state().timeline.iter().any(|(at, event)| *at >= from && wanted(event))
    }

    /// Writes into the time line what the test does now, and gives the time.
    pub fn note(&self, what: &str) -> Duration {
        let now = self.inner.now();
        self.inner.state().timeline.push((now, Event::Note(what.to_owned())));
        now
    }

    /// Asks a page of the pod, as the kubelet would.
    pub async fn get(&self, port: u16, path: &str) -> Answer {
        let answer = self.inner.sandbox.probe(port, path, Duration::from_secs(5)).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Kills a container's first process, and with it the container.
    pub async fn kill(&self, container: &str) {
        self.process(container).signal(Signal::Kill).await;
    }

    /// What a container has written, over all its restarts.
    pub fn log(&self, container: &str) -> String {
        std::fs::read_to_string(self.inner.log(container)).unwrap_or_default()
    }

    /// Deletes the pod and waits for its end.
    pub async fn delete(&self) {
        let now = self.inner.now();
        self.inner.state().life.delete(now);
        let grace = Duration::from_secs(self.inner.spec.termination_grace_period_seconds);
        eventually("the pod has ended", grace * 2, async || self.over()).await;
    }

    /// Everything that has happened, a line each, with seconds since the pod's start.
    pub fn timeline(&self) -> String {
        let mut text = String::new();
        for (at, event) in &self.inner.state().timeline {
            let _ = writeln!(text, "{:>7.2} s  {event}", at.as_secs_f64());
        }
        text
    }

    fn over(&self) -> bool {
        self.inner.state().life.over()
    }

    fn process(&self, container: &str) -> Arc<Process> {
        let index = self.inner.containers.iter().position(|c| c.name == container).expect("a container of the pod");
        self.inner.state().running.get(&index).expect("the container runs").clone()
    }
}

impl Inner {
    /// Looks at the pod again and again, and does what is to be done, until it is over.
    async fn sync(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        loop {
            for action in self.decide() {
                self.carry_out(action, &mut tasks).await;
            }
            if self.state().life.over() {
                return;
            }
            tokio::select! {
                Some(news) = tasks.join_next() => self.learn(news.expect("no task of the kubelet panics")),
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

    fn learn(&self, news: News) {
        let now = self.now();
        let mut state = self.state();
        match news {
            News::Exited(index, code) => {
                state.running.remove(&index);
                state.life.exited(index, code, now);
            }
            News::Probed(turn, answer) => state.life.probed(turn, &answer, now),
        }
        state.record(now);
    }

    async fn carry_out(self: &Arc<Self>, action: Action, tasks: &mut JoinSet<News>) {
        match action {
            Action::Start(index) => {
                let process = Arc::new(self.launch(index).await);
                self.state().running.insert(index, Arc::clone(&process));
                tasks.spawn(async move { News::Exited(index, process.wait().await) });
            }
            Action::Probe(turn) => {
                let this = Arc::clone(self);
                tasks.spawn(async move { News::Probed(turn, this.probe(turn).await) });
            }
            Action::Terminate(index) => self.signal(index, Signal::Term).await,
            Action::Kill(index) => self.signal(index, Signal::Kill).await,
        }
    }

    async fn launch(&self, index: usize) -> Process {
        let container = &self.containers[index];
        let image = self.images.get(container.repository());
        let image = image.unwrap_or_else(|| panic!("no program for the image {}", container.image));
        let variables = environment::variables(container, &self.fields, &self.state().objects);
        let entrypoint = if container.command.is_empty() { &image.entrypoint } else { &container.command };
        let argv = entrypoint.iter().chain(&container.args).map(|word| environment::expand(word, &variables));
        let name = self.sandbox.name();
        let argv: Vec<_> = argv.collect();
        let mut command: Command = container::command(container, &argv, &self.mounts(container, image), name);
        command.envs(variables);
        self.sandbox.spawn_container(&command, &self.log(&container.name)).await
    }

    fn mounts(&self, container: &Container, image: &Image) -> Vec<Mount> {
        let network = ["hosts", "resolv.conf"].map(|name| Mount::given(self.sandbox.folder().join(name), format!("/etc/{name}")));
        let contents = image.contents.iter().map(|(source, target)| Mount::given(source, target));
        let volumes = container.volume_mounts.iter().map(|mount| {
            let volume = self.volumes.get(&mount.name);
            let volume = volume.unwrap_or_else(|| panic!("{} mounts {:?}, which is no volume", container.name, mount.name));
            Mount {
                source: volume.path.clone(),
                target: mount.mount_path.clone().into(),
                folder: volume.folder,
                read_only: mount.read_only || volume.read_only,
            }
        });
        network.into_iter().chain(contents).chain(volumes).collect()
    }

    async fn probe(&self, turn: Turn) -> Result<(), String> {
        let container = &self.containers[turn.container];
        let probe = match turn.kind {
            Kind::Startup => &container.startup_probe,
            Kind::Readiness => &container.readiness_probe,
            Kind::Liveness => &container.liveness_probe,
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
    fn write_network_files(&self) {
        let dns = &self.spec.dns_config;
        let resolv = match self.spec.dns_policy {
            super::spec::DnsPolicy::ClusterFirst => {
                "nameserver 10.99.0.1\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n".to_owned()
            }
            super::spec::DnsPolicy::None => {
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

    fn log(&self, container: &str) -> PathBuf {
        self.sandbox.folder().join(format!("{container}.log"))
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, now: Duration) {
        let events = self.life.take_events();
        self.timeline.extend(events.into_iter().map(|event| (now, event)));
    }
}

fn deployment(manifests: &[Value]) -> &Value {
    let mut found = manifests.iter().filter(|manifest| manifest["kind"] == "Deployment");
    let first = found.next().expect("a Deployment among the manifests");
    assert!(found.next().is_none(), "one Deployment");
    first
}

fn pod_template(manifests: &[Value]) -> &Value {
    &deployment(manifests)["spec"]["template"]
}

fn config_maps(manifests: &[Value]) -> BTreeMap<String, Files> {
    let maps = manifests.iter().filter(|manifest| manifest["kind"] == "ConfigMap");
    maps.map(|map| {
        let files = serde_json::from_value(map["data"].clone()).expect("a ConfigMap's data is text");
        (map["metadata"]["name"].as_str().expect("a name").to_owned(), files)
    })
    .collect()
}

fn fields(name: &str, namespace: String, sandbox: &Sandbox) -> Fields {
    Fields::from([
        ("metadata.name", name.to_owned()),
        ("metadata.namespace", namespace),
        ("metadata.uid", "6f1c3f0e-8f7b-4d6c-9a3e-5b8f0c2d1a47".to_owned()),
        ("spec.nodeName", "node-1".to_owned()),
        ("status.hostIP", "10.99.0.1".to_owned()),
        ("status.podIP", sandbox.ip().to_string()),
    ])
}
