use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, SystemTime},
};

use crate::{eventually, localapi::Answer, node::Node, process::Process};

/// The image runs telltail as this user, beside a tailscaled of root.
const USER: &str = "65532";

/// A telltail beside a node's tailscaled, as in a pod: not root, and told everything by environment variables.
#[derive(Debug)]
pub struct Agent<'a> {
    node: &'a Node,
    port: u16,
    process: Process,
}

/// One answer of `/metrics`: what holds at one moment.
#[derive(Debug, Clone)]
pub struct Page(String);

/// Whether each readiness mode would answer ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "telltail's documentation describes the modes")]
pub struct Modes {
    pub strict: bool,
    pub local: bool,
    pub observe: bool,
}

impl<'a> Agent<'a> {
    /// Starts telltail and waits until it answers at all. `settings` are environment variables without `TELLTAIL_`.
    pub async fn start(node: &'a Node, targets: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_program(&telltail(), node, targets, settings).await
    }

    /// Like [`Agent::start`], with another build.
    pub async fn start_program(program: &Path, node: &'a Node, targets: &str, settings: &[(&str, &str)]) -> Self {
        // Several may watch one node, each at a port of its own.
        static LAST_PORT: AtomicU16 = AtomicU16::new(8245);
        let port = LAST_PORT.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new(program);
        command.arg("run").env("TELLTAIL_TARGETS", targets).env("TELLTAIL_SOCKET", node.socket());
        command.env("TELLTAIL_LISTEN", format!("0.0.0.0:{port}"));
        for (name, value) in settings {
            command.env(format!("TELLTAIL_{name}"), value);
        }
        let process = node.spawn_as(USER, &command).await;
        let agent = Self { node, port, process };
        eventually("telltail answers", Duration::from_secs(10), async || {
            assert_eq!(agent.process.exited().await, None, "telltail has ended: {}", agent.log());
            agent.try_get("/livez").await.is_ok()
        })
        .await;
        agent
    }

    /// Where it answers.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where other nodes reach its pages, beside the tailnet.
    pub fn outside_address(&self) -> String {
        format!("{}:{}", self.node.host_ip(), self.port)
    }

    /// Asks for a page.
    pub async fn get(&self, path: &str) -> Answer {
        self.node.get(self.port, path).await
    }

    /// Asks for a page of a telltail that may have ended.
    ///
    /// # Errors
    ///
    /// What went wrong, where there was no answer.
    pub async fn try_get(&self, path: &str) -> Result<Answer, String> {
        self.node.try_get(self.port, path).await
    }

    /// Does `/healthz` answer 200?
    pub async fn ready(&self) -> bool {
        self.get("/healthz").await.status == 200
    }

    /// Does `/startupz` answer 200?
    pub async fn started(&self) -> bool {
        self.get("/startupz").await.status == 200
    }

    /// `/metrics`.
    pub async fn page(&self) -> Page {
        Page(self.get("/metrics").await.body)
    }

    /// See [`Page::modes`].
    pub async fn modes(&self) -> Modes {
        self.page().await.modes()
    }

    /// See [`Page::state`].
    pub async fn state(&self, target: &str) -> String {
        self.page().await.state(target)
    }

    /// See [`Page::failing`].
    pub async fn failing(&self, target: &str) -> Option<(String, String)> {
        self.page().await.failing(target)
    }

    /// See [`Page::metric`].
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.page().await.metric(name, labels)
    }

    /// What telltail has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process: for signals, its end and its cost.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl Page {
    /// The value of the first series of this name that has these labels, and perhaps others.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.series(name)
            .find(|(row, _)| labels.iter().all(|(key, value)| label(row, key) == Some(*value)))
            .map(|s| s.1)
    }

    /// The state that a target is in: `unknown`, `up` or `down`.
    pub fn state(&self, target: &str) -> String {
        let mut states = self.series("telltail_target_state").filter(|(_, value)| *value == 1.0);
        let state = states.find(|(row, _)| label(row, "target") == Some(target));
        state.and_then(|(row, _)| label(row, "state")).unwrap_or("none").to_owned()
    }

    /// Reason and scope, if the target's last probe failed.
    pub fn failing(&self, target: &str) -> Option<(String, String)> {
        let (row, _) =
            self.series("telltail_target_failing_info").find(|(row, _)| label(row, "target") == Some(target))?;
        Some((label(row, "reason")?.to_owned(), label(row, "scope")?.to_owned()))
    }

    /// The path that a target's packets take; panics unless it is exactly one.
    pub fn path(&self, target: &str) -> String {
        let paths = self.series("telltail_path").filter(|(row, _)| label(row, "target") == Some(target));
        let taken: Vec<_> = paths.filter(|(_, value)| *value == 1.0).collect();
        assert_eq!(taken.len(), 1, "exactly one path: {taken:?}");
        label(taken[0].0, "path").unwrap_or_default().to_owned()
    }

    /// The DERP region that relays to a target, if one does: code and number.
    pub fn region(&self, target: &str) -> Option<(String, String)> {
        let mut rows = self.series("telltail_path_derp_info");
        let (row, _) = rows.find(|(row, _)| label(row, "target") == Some(target))?;
        Some((label(row, "region")?.to_owned(), label(row, "region_id")?.to_owned()))
    }

    /// Seconds on a path, or on all of them.
    pub fn path_seconds(&self, target: &str, path: Option<&str>) -> f64 {
        let rows = self.series("telltail_path_seconds_total");
        let of = |row: &str| label(row, "target") == Some(target) && (path.is_none() || label(row, "path") == path);
        rows.filter(|(row, _)| of(row)).map(|(_, value)| value).sum()
    }

    /// The values of a label in all series of a name.
    pub fn label_values(&self, name: &str, key: &str) -> Vec<String> {
        self.series(name).filter_map(|(row, _)| Some(label(row, key)?.to_owned())).collect()
    }

    /// The sum of all series of a name that have these labels.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let rows = self.series(name);
        let fits = |row: &str| labels.iter().all(|(key, value)| label(row, key) == Some(*value));
        rows.filter(|(row, _)| fits(row)).map(|(_, value)| value).sum()
    }

    /// Would each mode answer ready?
    pub fn modes(&self) -> Modes {
        let ready = |mode| self.metric("telltail_ready_by_mode", &[("mode", mode)]) == Some(1.0);
        Modes { strict: ready("strict"), local: ready("local"), observe: ready("observe") }
    }

    /// tailscaled's state, as telltail names it.
    pub fn node_state(&self) -> String {
        let mut states = self.series("telltail_node_state").filter(|(_, value)| *value == 1.0);
        states.next().and_then(|(row, _)| label(row, "state")).unwrap_or("none").to_owned()
    }

    /// The page itself.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Labels and value of each series of a name.
    fn series(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(labelled) => labelled.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.parse().ok()?))
        })
    }
}

/// The value of a label. None of the values here has a quote or a comma in it.
fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    labels.split(',').find_map(|label| label.strip_prefix(key)?.strip_prefix("=\"")?.strip_suffix('"'))
}

/// Runs `telltail check` beside a node's tailscaled.
pub fn check(node: &Node, target: &str) -> Command {
    let mut command = Command::new(telltail());
    command.args(["check", target]).env("TELLTAIL_SOCKET", node.socket());
    command
}

/// Runs `telltail doctor` beside a node's tailscaled, as if the node were a pod of its name in Kubernetes.
pub fn doctor(node: &Node, targets: &str, args: &[&str]) -> Command {
    let mut command = Command::new(telltail());
    command.arg("doctor").args(args).env("TELLTAIL_TARGETS", targets).env("TELLTAIL_SOCKET", node.socket());
    command.env("KUBERNETES_SERVICE_HOST", "10.96.0.1").env("POD_NAMESPACE", "prd").env("POD_NAME", node.name());
    command
}

/// The debug build of telltail. Cargo does not make it for the tests of another package, and an old one proves nothing.
pub fn telltail() -> PathBuf {
    let program = target_folder().join("debug/telltail");
    let built = fs::metadata(&program).and_then(|meta| meta.modified());
    let built = built.unwrap_or_else(|error| panic!("{}: {error}; run cargo build --bin telltail", program.display()));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src");
    assert!(built >= newest(&sources), "{} is older than src; run cargo build --bin telltail", program.display());
    program
}

/// Where cargo builds: the folder above `debug/deps/TEST` or `debug/examples/EXAMPLE`.
pub fn target_folder() -> PathBuf {
    let me = std::env::current_exe().expect("a program has a path");
    me.ancestors().nth(3).expect("cargo's folders are three deep").to_owned()
}

fn newest(path: &Path) -> SystemTime {
    if path.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|entry| newest(&entry.path())).max().unwrap_or(SystemTime::UNIX_EPOCH);
    }
    fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}
