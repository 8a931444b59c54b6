//! A real kube-apiserver on a real etcd, in a network of its own: nothing runs there, but it judges what it is given.

use crate::tools::{built, output, run};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use telltail_testkit::Process;
use tempfile::TempDir;

/// Port 6443 is this process's own: the network has no other host.
const SERVER: &str = "https://127.0.0.1:6443";
const TOKEN: &str = "administrator";

const START: &str = r#"
set -eu
cd "$1"
ip link set lo up
etcd --data-dir etcd --logger zap --log-outputs etcd.log >/dev/null 2>&1 &
openssl genrsa -out key.pem 2048 2>/dev/null
echo "$3,admin,admin,system:masters" >tokens.csv
# No controller makes service accounts here.
"$2" --etcd-servers http://127.0.0.1:2379 --cert-dir certs --token-auth-file tokens.csv \
  --service-account-issuer https://telltail.test --service-account-key-file key.pem \
  --service-account-signing-key-file key.pem --disable-admission-plugins ServiceAccount \
  --service-cluster-ip-range 10.96.0.0/16 --advertise-address 10.0.0.1 --endpoint-reconciler-type none >apiserver.log 2>&1 &
# Ends with whoever started it, in whatever way that ends; the kernel ends the rest of this process namespace.
cat
"#;

/// The running server; dropping it ends it with its etcd and its network.
#[derive(Debug)]
pub struct Apiserver {
    // Dropped first: a server shall not outlive its folder.
    process: Process,
    folder: TempDir,
}

impl Apiserver {
    /// Starts one, and waits until it is ready and knows the kinds of Prometheus and Argo CD.
    ///
    /// # Panics
    /// When it does not become ready, with its log.
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let program = built("kube-apiserver").get_program().to_owned();
        let mut command = Command::new("unshare");
        command.args(["--net", "--pid", "--fork", "--kill-child", "sh", "-c", START, "start"]);
        command.arg(folder.path()).args([program, TOKEN.into()]);
        let process = Process::spawn(&mut command, folder.path().join("start.log"));
        let server = Self { process, folder };
        server.until(&["get", "--raw", "/readyz"]);
        let definitions = built("crds").get_program().to_owned();
        run(server.kubectl(&["create", "--filename"]).arg(&definitions));
        server.until(&["wait", "--for=condition=Established", "crd", "--all"]);
        server
    }

    /// Asks until kubectl is content.
    fn until(&self, arguments: &[&str]) {
        let begun = SystemTime::now();
        while !output(&mut self.kubectl(arguments)).status.success() {
            let late = begun.elapsed().is_ok_and(|time| time > Duration::from_secs(120));
            assert!(!late, "kubectl {arguments:?} fails:\n{}", self.log());
            #[expect(clippy::disallowed_methods, reason = "nobody else is on this thread")]
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("apiserver.log")).unwrap_or_default()
    }

    /// A `kubectl` of the same release that talks to it.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.inside(Path::new(built("kubectl").get_program()));
        command.args(["--server", SERVER, "--token", TOKEN, "--insecure-skip-tls-verify"]).args(arguments);
        command
    }

    /// Puts its address and an administrator's token into a kubeconfig, as the cluster and the user of this name.
    ///
    /// # Panics
    /// When kubectl cannot write the file.
    pub fn write_credentials(&self, kubeconfig: &Path, name: &str) {
        for arguments in [
            ["set-cluster", name, "--server", SERVER, "--insecure-skip-tls-verify"].as_slice(),
            ["set-credentials", name, "--token", TOKEN].as_slice(),
        ] {
            let mut kubectl = built("kubectl");
            run(kubectl.env("KUBECONFIG", kubeconfig).arg("config").args(arguments));
        }
    }

    /// A program in the server's network.
    pub fn inside(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.process.id().to_string(), "--"]).arg(program);
        // Not whoever runs the tests' own clusters.
        command.env("KUBECONFIG", "/dev/null").env("HOME", self.folder.path());
        command
    }

    /// What it says to objects: everything is judged, nothing is kept.
    pub fn judge(&self, objects: &[Value]) -> Output {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let mut kubectl = self.kubectl(&["create", "--dry-run=server", "--validate=strict", "--filename", "-"]);
        let mut child =
            kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl");
        let mut input = child.stdin.take().expect("kubectl's input");
        input.write_all(list.to_string().as_bytes()).expect("kubectl reads");
        drop(input);
        child.wait_with_output().expect("kubectl ends")
    }
}
