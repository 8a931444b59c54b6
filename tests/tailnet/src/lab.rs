use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use serde::Deserialize;
use serde_json::{Value, json};
use telltail_testkit::repository;
use tokio::sync::oneshot;

type Reply = Result<Value, String>;

/// The process that everything of a tailnet lives in, and the questions it has not answered yet.
///
/// A thread of its own reads the answers, so that nothing here depends on the runtime of a test, and
/// a drop can still talk to it.
#[derive(Debug)]
pub(crate) struct Lab {
    folder: PathBuf,
    process: Mutex<Child>,
    stdin: Mutex<Option<ChildStdin>>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    ended: bool,
    replies: HashMap<u64, oneshot::Sender<Reply>>,
}

#[derive(Deserialize)]
struct Line {
    id: u64,
    #[serde(default)]
    result: Value,
    error: Option<String>,
}

impl Lab {
    pub(crate) fn start() -> Self {
        must_be_root();
        must_be_built();
        let folder = new_folder();
        let mut process = supervisor(&folder).spawn().expect("sh starts");
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().expect("stdout is a pipe");
        let waiting = Arc::default();
        read_answers(stdout, Arc::clone(&waiting));
        Self { folder, process: Mutex::new(process), stdin: Mutex::new(stdin), waiting }
    }

    /// Where the tailnet keeps its files. Gone with the tailnet, unless `TELLTAIL_TAILNET_KEEP` is set.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Sends a command and waits for its result; panics if the lab cannot do it.
    pub(crate) async fn ask(&self, op: &str, args: Value) -> Value {
        let reply = self.send(op, args).await.unwrap_or_else(|_| Err("the lab has ended".to_owned()));
        reply.unwrap_or_else(|error| panic!("{error}\n--- lab.log ends with\n{}", self.log_tail()))
    }

    /// Sends a command whose result nobody waits for: all that a drop can do.
    pub(crate) fn tell(&self, op: &str, args: Value) {
        drop(self.send(op, args));
    }

    fn send(&self, op: &str, mut args: Value) -> oneshot::Receiver<Reply> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        if waiting.ended {
            return receiver;
        }
        waiting.last += 1;
        args["id"] = json!(waiting.last);
        args["op"] = json!(op);
        let id = waiting.last;
        waiting.replies.insert(id, sender);
        drop(waiting);
        if let Some(stdin) = lock(&self.stdin).as_mut() {
            // An error means that the lab has ended; the reading thread then says so to everybody.
            let _ = stdin.write_all(format!("{args}\n").as_bytes());
        }
        receiver
    }

    /// Ends the lab and everything in it, and waits until it has ended.
    pub(crate) fn end(&self) {
        let Some(stdin) = lock(&self.stdin).take() else { return };
        if thread::panicking() {
            self.save_logs();
        }
        drop(stdin);
        let _ = lock(&self.process).wait();
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.folder.join("lab.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// The folder goes with the lab, and whoever reads a failure wants the logs.
    fn save_logs(&self) {
        let test = thread::current().name().unwrap_or("test").replace("::", "-");
        let saved = target().join("failed").join(test);
        let _ = fs::remove_dir_all(&saved);
        for folder in files(&self.folder).into_iter().chain([self.folder.clone()]) {
            for log in files(&folder).iter().filter(|file| file.extension().is_some_and(|e| e == "log")) {
                let name = log.strip_prefix(&self.folder).unwrap_or(log).to_string_lossy().replace('/', "-");
                let _ = fs::create_dir_all(&saved).and_then(|()| fs::copy(log, saved.join(name)));
            }
        }
        eprintln!("the tailnet's logs are in {}", saved.display());
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.end();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_answers(stdout: ChildStdout, waiting: Arc<Mutex<Waiting>>) {
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
            if let Some(reply) = lock(&waiting).replies.remove(&line.id) {
                // Nobody waits for what a drop has asked.
                let _ = reply.send(line.error.map_or(Ok(line.result), Err));
            }
        }
        let mut waiting = lock(&waiting);
        waiting.ended = true;
        waiting.replies.clear();
    });
}

/// A shell that outlives the lab by as much as it takes to remove the folder.
///
/// It has a process group of its own, or Ctrl-C would end it together with the test.
fn supervisor(folder: &Path) -> Command {
    let keep = std::env::var_os("TELLTAIL_TAILNET_KEEP").is_some();
    let clean = if keep { "" } else { "rm -rf \"$1\"" };
    let namespaces = "unshare --pid --net --mount --ipc --fork --kill-child --mount-proc";
    let log = fs::File::create(folder.join("lab.log")).expect("the folder is writable");
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{namespaces} \"$0\" --dir \"$1\"; {clean}")])
        .arg(program("1.102.5/lab"))
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0);
    command
}

fn new_folder() -> PathBuf {
    let folder = tempfile::Builder::new().prefix("telltail-tailnet-").tempdir().expect("a temporary folder").keep();
    // Servers and agents that are not root have their files and sockets below.
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&folder, all).expect("own folder");
    folder
}

fn must_be_root() {
    let uid = fs::metadata("/proc/self").expect("/proc is mounted").uid();
    assert!(uid == 0, "a tailnet needs network namespaces and so root; this is uid {uid}");
}

/// Old programs would prove nothing, so they are not run.
fn must_be_built() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("build");
    let built = Command::new(&script).arg("--check").output().expect("tests/tailnet/build can be run");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

fn target() -> PathBuf {
    repository().join("target/tailnet")
}

/// The path of a program, or of a folder of them, that `build` has made.
pub fn program(name: &str) -> PathBuf {
    let bin = std::env::var_os("TELLTAIL_TAILNET_BIN").map_or_else(|| target().join("bin"), PathBuf::from);
    let path = bin.join(name);
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}; run tests/tailnet/build", path.display()))
}
