use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use telltail_tailnet::{HttpResponse, Tailnet};
use telltail_testkit::{Signal, eventually, eventually_some};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};

use super::{
    container::Image,
    event::Event,
    lifecycle::PodLifecycle,
    manifest::{config_maps, fields, pod_name, pod_template},
    spec::{PodSpec, VolumeSource},
    sync::{Kubelet, State},
    volume::{self, Files, Objects},
};

/// A running pod. Its containers end when it is dropped.
#[derive(Debug)]
pub struct Pod {
    kubelet: Arc<Kubelet>,
    template: Value,
    wall_clock: SystemTime,
    sync: AbortHandle,
    _task: JoinSet<()>,
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
        let spec: PodSpec =
            serde_json::from_value(template["spec"].clone()).unwrap_or_else(|error| panic!("the pod: {error}"));
        let (name, namespace) = pod_name(manifests);
        let sandbox = tailnet.sandbox(&name).await;
        let objects = Objects { config_maps: config_maps(manifests), secrets: secrets.clone() };
        let below = sandbox.folder().join("volumes");
        let volumes = spec.volumes.iter().map(|v| (v.name.clone(), volume::make(v, &below, &objects))).collect();
        let state = State { life: PodLifecycle::new(&spec), running: BTreeMap::new(), timeline: Vec::new() };
        let kubelet = Arc::new(Kubelet {
            fields: fields(&namespace, &sandbox),
            containers: spec.init_containers.iter().chain(&spec.containers).cloned().collect(),
            images: images.clone(),
            begin: Instant::now(),
            state: Mutex::new(state),
            sandbox,
            spec,
            objects,
            volumes,
        });
        kubelet.write_network_files();
        let mut task = JoinSet::new();
        let sync = task.spawn(Arc::clone(&kubelet).sync());
        Self { kubelet, template, wall_clock: SystemTime::now(), sync, _task: task }
    }

    /// Takes ConfigMaps as they are rendered now into the running pod, at once, where a kubelet takes up to two minutes.
    /// Panics if the rendered pod differs from the one that runs: a cluster would then replace it.
    pub fn apply(&self, manifests: &[Value]) {
        assert_eq!(pod_template(manifests), &self.template, "a new pod template rolls every pod");
        let maps = config_maps(manifests);
        for volume in &self.kubelet.spec.volumes {
            if let VolumeSource::ConfigMap { name } = &volume.source {
                let path = &self.kubelet.volumes[&volume.name].path;
                volume::write_all_at_once(path, volume::lookup("ConfigMap", &maps, name));
            }
        }
    }

    /// Is every container ready?
    pub fn ready(&self) -> bool {
        self.kubelet.state().life.ready()
    }

    /// Waits until something has happened at or after a time since the pod's start, and says when.
    pub async fn sees(&self, event: &Event, from: Duration, within: Duration) -> Duration {
        let seen = async || {
            assert!(!self.sync.is_finished() || self.over(), "the kubelet has failed, see above\n{}", self.timeline());
            let state = self.kubelet.state();
            state.timeline.iter().find(|(at, seen)| *at >= from && seen == event).map(|(at, _)| *at)
        };
        let found = timeout(within, eventually_some("seen", Duration::MAX, seen)).await;
        found.unwrap_or_else(|_| panic!("not within {within:?}: {event}\n{}", self.timeline()))
    }

    /// Whether something has happened at or after a time since the pod's start.
    pub fn saw(&self, from: Duration, mut wanted: impl FnMut(&Event) -> bool) -> bool {
        self.kubelet.state().timeline.iter().any(|(at, event)| *at >= from && wanted(event))
    }

    /// Writes into the time line what the test does now, and gives the time.
    pub fn note(&self, what: &str) -> Duration {
        let now = self.kubelet.now();
        self.kubelet.state().timeline.push((now, Event::Note(what.to_owned())));
        now
    }

    /// The Unix time of a time since the pod's start.
    pub fn wall_clock(&self, at: Duration) -> Duration {
        (self.wall_clock + at).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// Asks a page of the pod, as the kubelet would.
    pub async fn get(&self, port: u16, path: &str) -> HttpResponse {
        let answer = self.kubelet.sandbox.probe(port, path, Duration::from_secs(5)).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Kills a container's first process, and with it the container.
    pub async fn kill(&self, container: &str) {
        let index = self.kubelet.containers.iter().position(|c| c.name == container).expect("a container of the pod");
        let process = self.kubelet.state().running.get(&index).cloned();
        process.expect("the container runs").signal(Signal::Kill).await;
    }

    /// What a container has written, over all its restarts.
    pub fn log(&self, container: &str) -> String {
        std::fs::read_to_string(self.kubelet.log(container)).unwrap_or_default()
    }

    /// Deletes the pod and waits for its end.
    pub async fn delete(&self) {
        let now = self.kubelet.now();
        self.kubelet.state().life.delete(now);
        let grace = Duration::from_secs(self.kubelet.spec.termination_grace_period_seconds);
        eventually("the pod has ended", grace * 2, async || self.over()).await;
    }

    /// Everything that has happened, a line each: wall clock, seconds since the pod's start, and what.
    pub fn timeline(&self) -> String {
        let mut text = String::new();
        for (at, event) in &self.kubelet.state().timeline {
            let wall = humantime::format_rfc3339_seconds(self.wall_clock + *at);
            let _ = writeln!(text, "{wall} {:>7.2} s  {event}", at.as_secs_f64());
        }
        text
    }

    fn over(&self) -> bool {
        self.kubelet.state().life.over()
    }
}
